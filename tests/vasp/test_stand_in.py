"""The VASP path with the stand-in executable: real inputs, custodian, task documents; and runs that fail as VASP's do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from jobflow import JobStore
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar, Poscar

from workflows import vasp, vasp_stage
from workflows.documents import relax_to_document
from workflows.guards import RelaxationError
from workflows.jobs import RELAXATION_FILE, name_job
from workflows.schemas import plain
from workflows.vasp import GuardedVaspRelaxMaker
from workflows.vasp_result import last_valid_structure
from workflows.vasp_stage import STAGE_FILE

pytestmark = pytest.mark.slow

EMT_CUAU = -3.0105  # eV/atom, EMT's CuAu as the stand-in shifts it


@pytest.fixture
def alloy() -> Structure:
    """CuAu (L1_0) away from its minimum."""
    return Structure(Lattice.tetragonal(2.9, 3.9), ["Cu", "Au"], [[0, 0, 0], [0.48, 0.5, 0.5]])


def memory_store() -> JobStore:
    """Return a store of jobs that ends with the test."""
    store = JobStore(MemoryStore())
    store.connect()
    return store


def runs(log: Path) -> list[str]:
    """Stages that the stand-in ended, in order."""
    return [Path(line.split()[0]).name for line in log.read_text().splitlines()] if log.exists() else []


def folder_of(vasp_runs: Path) -> Path:
    """Folder of the only structure that was relaxed."""
    (folder,) = vasp_runs.iterdir()
    return folder


def test_a_relaxation_and_a_second_look_at_it(stand_in: Path, alloy: Structure, vasp_runs: Path) -> None:
    document = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert document["state"] == "relaxed", document["message"]
    assert document["energy_per_atom"] == pytest.approx(EMT_CUAU, abs=1e-3)
    assert document["method"]["calculator"] == "VASP MPRelaxSet, double relaxation"
    assert document["details"]["potcar"] == ["PAW_PBE Cu_pv 06Sep2000", "PAW_PBE Au 06Sep2000"]
    assert document["details"]["attempts"] == {"relax_1": 1, "relax_2": 1}
    assert runs(stand_in) == ["relax_1", "relax_2"]
    incar = Incar.from_file(next(folder_of(vasp_runs).glob("relax_1/INCAR.gz")))
    assert (incar["ENCUT"], incar["ISPIN"], incar["ISIF"], incar["NSW"]) == (520, 2, 3, 99)
    again = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert again["energy_per_atom"] == document["energy_per_atom"]
    assert runs(stand_in) == ["relax_1", "relax_2"]


def test_what_custodian_changed_is_kept_with_the_energy(
    stand_in: Path, alloy: Structure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILURE", "electronic:1")
    document = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert document["state"] == "relaxed", document["message"]
    assert document["details"]["incar_changes"]["relax_1"]["ALGO"] == ["Fast", "Normal"]
    (correction,) = document["details"]["custodian"]["relax_1"]
    assert (correction["handler"], correction["errors"]) == ("UnconvergedErrorHandler", ["Unconverged"])
    assert document["details"]["custodian"]["relax_2"] == []
    assert runs(stand_in) == ["relax_1", "relax_1", "relax_2"]


def test_electrons_that_never_converge_are_a_failure(
    stand_in: Path, alloy: Structure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILURE", "electronic")
    document = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert (document["state"], document["reason"]) == ("failed", "not_converged")
    assert "custodian saw: Unconverged" in document["message"]
    tried = [action for entry in document["details"]["custodian"]["relax_1"] for action in entry["actions"] or []]
    assert {"dict": "INCAR", "action": {"_set": {"ALGO": "Normal"}}} in tried
    assert set(runs(stand_in)) == {"relax_1"}


def test_a_killed_vasp_goes_on_once_from_contcar(
    stand_in: Path, alloy: Structure, vasp_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILURE", "killed:1")
    document = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert document["state"] == "relaxed", document["message"]
    assert document["details"]["attempts"] == {"relax_1": 2, "relax_2": 1}
    (second,) = folder_of(vasp_runs).glob("relax_1/POSCAR.orig.gz")
    (first,) = folder_of(vasp_runs).glob("relax_1.attempt1/CONTCAR")
    assert Poscar.from_file(second).structure == Poscar.from_file(first).structure != alloy
    monkeypatch.setenv("STAND_IN_FAILURE", "killed")
    dead = relax_to_document(alloy, "another", GuardedVaspRelaxMaker())
    assert (dead["state"], dead["reason"]) == ("failed", "calculator_error")
    assert len(list(vasp_runs.glob("another-*/relax_1*"))) == 2
    assert runs(stand_in) == ["relax_1", "relax_2"]


def test_an_empty_contcar_is_no_place_to_go_on_from(
    stand_in: Path, alloy: Structure, vasp_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILURE", "empty")
    document = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert (document["state"], document["reason"]) == ("failed", "calculator_error")
    folder = folder_of(vasp_runs)
    assert (folder / "relax_1" / "CONTCAR").read_text() == ""
    assert last_valid_structure(folder / "relax_1", alloy, moved=True) is None
    monkeypatch.delenv("STAND_IN_FAILURE")
    again = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert again["state"] == "relaxed", again["message"]
    assert again["details"]["attempts"]["relax_1"] == 2
    assert runs(stand_in) == ["relax_1", "relax_2"]


def test_a_walltime_stop_is_put_on_the_launchpad_again_and_goes_on(
    stand_in: Path, alloy: Structure, vasp_runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    job = name_job(GuardedVaspRelaxMaker().make(alloy), "cuau")
    job.update_metadata({"_category": "relaxation"}, dynamic=False)
    left = iter([1000.0, 1000.0])  # as the relaxation begins, and as its stage does
    with monkeypatch.context() as short:
        short.setattr(vasp_stage, "MONITOR_EVERY", 0.2)
        short.setattr(
            vasp_stage, "_seconds_left", lambda _: next(left, 1.0)
        )  # VASP is begun, and asked to stop at once
        short.setenv("STAND_IN_STEP_SECONDS", "1.5")
        short.setenv("CCDCGAN_AL_JOB_END", str(time.time() + 1000))
        answer = job.run(memory_store())
    assert "relax_1 was stopped by a STOPCAR after" in (answer.stored_data or {})["stopped"]
    assert not (tmp_path / RELAXATION_FILE).exists()
    folder = folder_of(vasp_runs)
    assert not (folder / "relax_1" / STAGE_FILE).exists()  # pymatgen would have called it converged
    replacement: Any = answer.replace
    (again,) = replacement.jobs
    document = plain(again.run(memory_store()).output)
    assert document["structure_id"] == "cuau"
    assert document["state"] == "relaxed", document["message"]
    assert document["details"]["attempts"] == {"relax_1": 2, "relax_2": 1}
    assert (tmp_path / RELAXATION_FILE).exists()
    assert runs(stand_in) == ["relax_1", "relax_1", "relax_2"]


def test_nothing_begins_shortly_before_the_end_of_a_batch_job(
    stand_in: Path, alloy: Structure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCDCGAN_AL_JOB_END", str(time.time() + 1))
    document = relax_to_document(alloy, "cuau", GuardedVaspRelaxMaker())
    assert (document["reason"], document["message"]) == (
        "walltime",
        "relax_1 was not begun: the batch job ends too soon",
    )
    assert runs(stand_in) == []


def test_an_end_that_has_passed_is_of_another_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, vasp_runs: Path
) -> None:
    end = time.time() - 5
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(end))
    begun: list[float | None] = []

    def finish(*arguments: Any) -> None:
        begun.append(arguments[-1].job_end)
        raise RelaxationError("bad_input", "VASP is not wanted here")

    monkeypatch.setattr(vasp, "finish", finish)
    crystal = Structure(Lattice.cubic(3.6), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    for name in ("first", "second"):
        relax_to_document(crystal, name, GuardedVaspRelaxMaker())
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(end + 1000))
    relax_to_document(crystal, "third", GuardedVaspRelaxMaker())
    assert begun == [None, None, end + 1000]
    (said,) = caplog.messages
    assert "before this relaxation began; it is of another job and is ignored" in said
    assert len([*vasp_runs.iterdir()]) == 3


def test_a_killed_worker_leaves_no_vasp_behind_and_its_rerun_goes_on(
    stand_in: Path, alloy: Structure, vasp_runs: Path, tmp_path: Path
) -> None:
    alloy.to(str(tmp_path / "start.json"))
    code = (
        "import sys; from pymatgen.core import Structure; from workflows.documents import relax_to_document; "
        "from workflows.vasp import GuardedVaspRelaxMaker; "
        "print(relax_to_document(Structure.from_file(sys.argv[1]), 'cuau', GuardedVaspRelaxMaker())['message'])"
    )
    line = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "start.json")]
    worker = subprocess.Popen(line, env={**os.environ, "STAND_IN_STEP_SECONDS": "30"})
    deadline = time.monotonic() + 300
    while not any(path.stat().st_size for path in vasp_runs.glob("*/relax_1/CONTCAR")):
        assert worker.poll() is None, "the worker ended"
        assert time.monotonic() < deadline, "VASP did not begin"
        time.sleep(0.2)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    inside = [p for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(str(vasp_runs))]
    assert inside, "custodian's VASP outlives its worker"
    onlooker = subprocess.Popen(
        ["tail", f"--pid={os.getpid()}", "-f", "CONTCAR"],
        cwd=folder_of(vasp_runs) / "relax_1",
        stdout=subprocess.DEVNULL,
    )
    start = Structure.from_file(tmp_path / "start.json")
    document = relax_to_document(start, "cuau", GuardedVaspRelaxMaker())
    assert document["state"] == "relaxed", document["message"]
    assert document["details"]["attempts"] == {"relax_1": 2, "relax_2": 1}
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in inside)
    assert onlooker.poll() is None, "what somebody else runs in the folder is left alone"
    onlooker.kill()
    onlooker.wait()
    assert runs(stand_in) == ["relax_1", "relax_2"]
