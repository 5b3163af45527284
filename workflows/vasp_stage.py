"""One stage of a VASP relaxation in its own folder: start it, continue it after an interruption, or read its results.

This module chooses no stage and judges no energy (`workflows.vasp`). It does not read results itself (`workflows.vasp_result`).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcgan_al.files import write_json
from ccdcgan_al.settings import Settings
from workflows.guards import Reason, RelaxationError
from workflows.vasp_result import bare, custodian_log, last_valid_structure, summary, unconverged

if TYPE_CHECKING:
    from jobflow import Job
    from pymatgen.core import Structure

COMPARABLE = (
    *("ENCUT", "PREC", "ISPIN", "GGA", "METAGGA", "IVDW", "LUSE_VDW", "LHFCALC", "LASPH"),
    *("LDAU", "LDAUU", "LDAUJ", "LDAUL", "LDAUTYPE"),
    *("LSORBIT", "LNONCOLLINEAR", "NELECT", "NUPDOWN", "LSOL", "PSTRESS", "ISIF"),
)
"""INCAR tags that decide the energy scale or what is relaxed. If a run's tags differ from the input set's, its energy is not of this method."""
STAGE_FILE = "stage.json"
STAGE_MARK = "CCDCGAN_AL_STAGE"  # environment variable with the stage's folder, for all processes that its run starts
LOCK_POLL = 5.0  # s between two checks of whether another worker has left a run's folder
MONITOR_EVERY = 60.0  # s between two checks of a running VASP by custodian's monitors
LONGEST = 400  # maximum number of characters kept of an error message

logger = logging.getLogger("ccdcgan_al.relaxations")


def settings_of_run() -> Settings:
    """Return this machine's settings at the start of a relaxation. A batch job's end that is already past is ignored."""
    settings = Settings()
    if settings.job_end is None or _seconds_left(settings) > 0:
        return settings
    _tell_of_passed(settings.job_end)
    return settings.model_copy(update={"job_end": None})


@functools.cache  # once in each process
def _tell_of_passed(job_end: float) -> None:
    """Log the end of a batch job that is ignored."""
    when = datetime.fromtimestamp(job_end, UTC).isoformat(timespec="seconds")
    logger.warning(
        "the environment says that the batch job ended at %s, before this relaxation began; it is of another job and "
        "is ignored (unset CCDCGAN_AL_JOB_END and SLURM_JOB_END_TIME)",
        when,
    )


@contextlib.contextmanager
def own_folder(folder: Path, settings: Settings) -> Iterator[Path]:
    """Lock a run's folder for this process. If another worker has the lock, wait for its results."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        while True:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if _seconds_left(settings) <= 0:
                    raise RelaxationError("walltime", f"another worker holds {folder}, and time is up") from None
                time.sleep(LOCK_POLL)
        yield folder.resolve()


def _seconds_left(settings: Settings) -> float:
    """Return the seconds until the batch job ends. Inf if the end is not known."""
    return float("inf") if settings.job_end is None else settings.job_end - time.time()


def finish(
    stage: str, folder: Path, structure: Structure, previous: Path | None, max_attempts: int, settings: Settings
) -> dict[str, Any]:
    """Return a stage's results: those of an earlier attempt, or of a new attempt that continues from the last one.

    Raises
    ------
    RelaxationError
        If the stage did not converge, was stopped before the end of the batch job, or VASP gave no readable result. Also if
        this machine's settings would change the energy scale; then nothing is started.
    """
    from custodian.custodian import ReturnCodeError, ValidationError

    died = False
    while True:
        if (folder / STAGE_FILE).is_file():
            result: dict[str, Any] = json.loads((folder / STAGE_FILE).read_text())
            return result
        if problem := incar_updates_problem():
            raise RelaxationError("inconsistent", f"{stage} was not begun: {problem}", structure)
        attempts = len(list(folder.parent.glob(f"{stage}.attempt*")))
        if folder.exists():
            _end_orphans(folder)
            attempts += 1
            going_on = None if stage == "static" else last_valid_structure(folder, structure)
            folder.rename(folder.with_name(f"{stage}.attempt{attempts}"))
            structure = going_on or structure
        if attempts >= max_attempts:
            raise RelaxationError(
                "calculator_error",
                f"{stage} was begun {attempts} times and never ended; see {folder.parent}, and remove it to begin anew",
                structure,
            )
        if _seconds_left(settings) < settings.stop_before:
            time.sleep(max(0.0, _seconds_left(settings)))  # nothing else may start until the batch system ends this job
            raise RelaxationError("walltime", f"{stage} was not begun: the batch job ends too soon", structure)
        try:
            return _run(stage, folder, structure, previous, attempts + 1, settings)
        except RelaxationError as failure:
            # if VASP crashed after some progress, it gets one more attempt; other failures need a person
            moved = last_valid_structure(folder, structure, moved=True)
            crash = isinstance(failure.__cause__, ReturnCodeError | ValidationError)
            if died or not crash or failure.reason != "calculator_error" or moved in (None, bare(structure)):
                raise
            died = True


def _run(
    stage: str, folder: Path, structure: Structure, previous: Path | None, attempt: int, settings: Settings
) -> dict[str, Any]:
    """Run atomate2's job of a stage in its folder, and keep its results."""
    maker = _stage_maker(stage, settings)
    folder.mkdir()
    try:
        with contextlib.chdir(folder), _marked(folder):  # atomate2 and custodian work in the working directory
            task = _run_here(maker.make(structure, prev_dir=None if previous is None else str(previous)))
    except Exception as error:  # custodian gave up, VASP crashed, or no input was written: kept with its reason
        errors = [name for entry in custodian_log(folder) for name in entry["errors"]]
        reason: Reason = "calculator_error"
        if "Walltime reached" in errors:
            reason = "walltime"
        elif {"Unconverged", "Non-converging job"} & set(errors):
            reason = "not_converged"
        told = f"; custodian saw: {', '.join(dict.fromkeys(errors))}" if errors else ""
        message = f"{stage}: {type(error).__name__}: {' '.join(str(error).split())[:LONGEST]}{told}; see {folder}"
        details = {"custodian": {stage: custodian_log(folder)}, "folder": str(folder.parent)}
        last = last_valid_structure(folder, structure) if (folder / "CONTCAR").exists() else None
        raise RelaxationError(reason, message, last or structure, details=details) from error
    result = summary(task, attempt)
    # pymatgen calls a relaxation converged if it ended before its last step, even if a STOPCAR ended it
    if result["stopped"] or str(getattr(task.state, "value", task.state)) != "successful":
        raise unconverged(stage, folder, task, result)
    write_json(result, folder / STAGE_FILE)
    return result


def _run_here(job: Job) -> Any:
    """Run one of atomate2's jobs in this process and folder, and return its output. Nothing is stored.

    Afterwards jobflow's current job is again the job of this process, which continues.
    """
    from jobflow import CURRENT_JOB, JobStore
    from maggma.stores import MemoryStore

    own = CURRENT_JOB.job
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    try:
        return job.run(store).output
    finally:
        CURRENT_JOB.job = own


def _stage_maker(stage: str, settings: Settings) -> Any:
    """Return atomate2's maker of a stage, with custodian configured for this machine."""
    from atomate2 import SETTINGS
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
    from atomate2.vasp.run import DEFAULT_HANDLERS
    from custodian.vasp.handlers import WalltimeHandler

    flow = MPGGADoubleRelaxStaticMaker()
    makers = {
        "relax_1": flow.relax_maker.relax_maker1,
        "relax_2": flow.relax_maker.relax_maker2,
        "static": flow.static_maker,
    }
    maker, handlers = makers[stage], list(DEFAULT_HANDLERS)
    if settings.job_end is not None:
        handler = WalltimeHandler(_seconds_left(settings), settings.stop_before, electronic_step_stop=stage == "static")
        handler.start_time = datetime.now()  # noqa: DTZ005 - custodian's own start time is that of the process's first VASP run
        handlers.append(handler)
    poll = settings.vasp_poll
    maker.run_vasp_kwargs = {
        "vasp_cmd": SETTINGS.VASP_CMD,
        "vasp_gamma_cmd": SETTINGS.VASP_GAMMA_CMD,
        "handlers": handlers,
        "custodian_kwargs": {"polling_time_step": poll, "monitor_freq": max(1, round(MONITOR_EVERY / poll))},
    }
    maker.stop_children_kwargs = {"handle_unsuccessful": False}  # judged here, with the reason
    return maker


def incar_updates_problem() -> str | None:
    """Return the problem with this machine's `VASP_INCAR_UPDATES`. Return None if there is none.

    atomate2 writes them into the INCAR before it copies the input set's INCAR. So a check of the run cannot find them.
    """
    from atomate2 import SETTINGS

    updates = {str(tag).upper(): value for tag, value in SETTINGS.VASP_INCAR_UPDATES.items()}  # as pymatgen's Incar
    foreign = [f"{tag} = {updates[tag]}" for tag in COMPARABLE if tag in updates]
    if not foreign:
        return None
    return (
        f"atomate2's VASP_INCAR_UPDATES set {', '.join(foreign)}, which decides the energy scale; take it out of "
        "ATOMATE2_VASP_INCAR_UPDATES or ~/.atomate2.yaml (parallel settings, such as NCORE and KPAR, may stay)"
    )


@contextlib.contextmanager
def _marked(folder: Path) -> Iterator[None]:
    """Mark all processes that this process starts as part of a stage's run."""
    os.environ[STAGE_MARK] = str(folder)
    try:
        yield
    finally:
        del os.environ[STAGE_MARK]


def _end_orphans(folder: Path) -> None:
    """End the processes that a killed worker's run of a stage left running. Custodian starts VASP in its own session.

    The mark distinguishes them from other processes in that folder.
    """
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(STAGE_MARK) == str(folder):
                process.kill()
