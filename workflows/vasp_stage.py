"""One stage of a VASP relaxation in a folder of its own: begun, gone on with after an interruption, or read where it ended before.

It chooses no stage and judges no energy (`workflows.vasp`), and reads no result itself (`workflows.vasp_result`).
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
"""INCAR tags that decide the energy scale, or what is relaxed: a run in which they are not the input set's is no energy of this method."""
STAGE_FILE = "stage.json"
STAGE_MARK = "CCDCGAN_AL_STAGE"  # names the stage's folder in the environment of all that its run starts
LOCK_POLL = 5.0  # s between two looks whether another worker has left a run's folder
MONITOR_EVERY = 60.0  # s between two looks of custodian's monitors at a running VASP
LONGEST = 400  # characters of an error message that are kept

logger = logging.getLogger("ccdcgan_al.relaxations")


def settings_of_run() -> Settings:
    """Return this machine's settings as a relaxation begins; an end of a batch job that has passed by then is no end of its own."""
    settings = Settings()
    if settings.job_end is None or _seconds_left(settings) > 0:
        return settings
    _tell_of_passed(settings.job_end)
    return settings.model_copy(update={"job_end": None})


@functools.cache  # once a process
def _tell_of_passed(job_end: float) -> None:
    """Say which end of a batch job is ignored."""
    when = datetime.fromtimestamp(job_end, UTC).isoformat(timespec="seconds")
    logger.warning(
        "the environment says that the batch job ended at %s, before this relaxation began; it is of another job and "
        "is ignored (unset CCDCGAN_AL_JOB_END and SLURM_JOB_END_TIME)",
        when,
    )


@contextlib.contextmanager
def own_folder(folder: Path, settings: Settings) -> Iterator[Path]:
    """Hold a run's folder for this process alone; where another worker has it, wait for what that one finishes."""
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
    """Return the seconds until the batch job ends; inf where no end is known."""
    return float("inf") if settings.job_end is None else settings.job_end - time.time()


def finish(
    stage: str, folder: Path, structure: Structure, previous: Path | None, max_attempts: int, settings: Settings
) -> dict[str, Any]:
    """Return a stage's results: those of an earlier attempt, or of a new one that goes on where the last one stopped.

    Raises
    ------
    RelaxationError
        The stage is not converged, was stopped before the batch job's end, or VASP gave no readable result; or this
        machine's settings would change the energy scale, and nothing was begun.
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
            time.sleep(max(0.0, _seconds_left(settings)))  # until the batch system ends us: nothing else may begin
            raise RelaxationError("walltime", f"{stage} was not begun: the batch job ends too soon", structure)
        try:
            return _run(stage, folder, structure, previous, attempts + 1, settings)
        except RelaxationError as failure:
            # VASP died: worth one more attempt where it got somewhere; another end needs somebody's thought
            moved = last_valid_structure(folder, structure, moved=True)
            crash = isinstance(failure.__cause__, ReturnCodeError | ValidationError)
            if died or not crash or failure.reason != "calculator_error" or moved in (None, bare(structure)):
                raise
            died = True


def _run(
    stage: str, folder: Path, structure: Structure, previous: Path | None, attempt: int, settings: Settings
) -> dict[str, Any]:
    """Run atomate2's job of a stage in its folder, and keep what it left."""
    maker = _stage_maker(stage, settings)
    folder.mkdir()
    try:
        with contextlib.chdir(folder), _marked(folder):  # atomate2 and custodian work in the working directory
            task = _run_here(maker.make(structure, prev_dir=None if previous is None else str(previous)))
    except Exception as error:  # custodian gave up, VASP died, an input could not be written: kept with its reason
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
    # pymatgen takes a relaxation for converged that ended before its last step, also where a STOPCAR ended it
    if result["stopped"] or str(getattr(task.state, "value", task.state)) != "successful":
        raise unconverged(stage, folder, task, result)
    write_json(result, folder / STAGE_FILE)
    return result


def _run_here(job: Job) -> Any:
    """Run one of atomate2's jobs in this process and folder, and return its output; nothing of it is stored.

    jobflow then knows this process's own job again, which runs on.
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
    """Return atomate2's maker of a stage, with custodian set for this machine."""
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
        handler.start_time = datetime.now()  # noqa: DTZ005 - custodian's own is that of the process's first VASP run
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
    """Return what is wrong with this machine's `VASP_INCAR_UPDATES`, None where nothing is.

    atomate2 writes them into the INCAR before its copy of what the input set wrote, so that no look at a run finds them.
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
    """Mark whatever this process starts as of a stage's run."""
    os.environ[STAGE_MARK] = str(folder)
    try:
        yield
    finally:
        del os.environ[STAGE_MARK]


def _end_orphans(folder: Path) -> None:
    """End what a killed worker's run of a stage left running: custodian starts VASP in a session of its own.

    Its mark tells it from what somebody else runs in that folder.
    """
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(STAGE_MARK) == str(folder):
                process.kill()
