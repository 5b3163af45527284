"""Finished relaxations on disk: taken up once more, but not by other packages, and a full disk loses no result."""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jobflow import run_locally
from pymatgen.core import Lattice, Structure

from ccdcgan_al.files import write_atomically, write_json
from ccdcgan_al.types import Method, Relaxed
from workflows.jobs import RELAXATION_FILE, Relaxer, name_job
from workflows.schemas import plain

BISE = Structure(Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


CALLS: list[str] = []


@dataclass
class CountingRelaxer(Relaxer):
    """A stand-in that counts its relaxations."""

    method: str = "stand-in"
    fmax: float = 0.05

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        CALLS.append(structure_id)
        return Relaxed(structure, -3.5, Method("stand-in", "none", "0"), 1, 0.0, converged=True)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def relaxed_by_job(structure: Structure, structure_id: str, maker: CountingRelaxer) -> dict[str, Any]:
    """What the job puts out when it is run, as the database would hold it."""
    relaxation = name_job(maker.make(structure), structure_id)
    output = run_locally(relaxation, ensure_success=True, log=False)[relaxation.uuid][1].output
    document: dict[str, Any] = json.loads(json.dumps(plain(output)))
    return document


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of finished relaxations; the test runs in another."""
    (tmp_path / "launch").mkdir()
    monkeypatch.chdir(tmp_path / "launch")
    monkeypatch.setenv("CCDCGAN_AL_RELAXED_FOLDER", str(tmp_path / "relaxed"))
    return tmp_path / "relaxed"


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file takes more than 100 bytes, as if the disk were full then; not for longer than needed, since pytest writes too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_rerun_takes_up_what_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = CountingRelaxer()
    first = relaxed_by_job(BISE, "Bi-Se-r0-0001", maker)
    assert len(list(folder.iterdir())) == 1
    Path(RELAXATION_FILE).unlink()
    assert relaxed_by_job(BISE, "Bi-Se-r0-0001", maker) == first
    assert json.loads(Path(RELAXATION_FILE).read_text()) == first
    assert len(CALLS) == 1
    relaxed_by_job(BISE, "Bi-Se-r0-0002", maker)  # another structure
    assert len(CALLS) == 2
    relaxed_by_job(BISE, "Bi-Se-r0-0001", CountingRelaxer(fmax=0.01))  # other choices
    assert len(CALLS) == 3
    monkeypatch.setattr("workflows.result_cache.package_versions", lambda: {"torch": "99"})
    relaxed_by_job(BISE, "Bi-Se-r0-0001", maker)  # by other packages
    assert len(CALLS) == 4


def test_a_torn_file_is_relaxed_again(folder: Path) -> None:
    maker = CountingRelaxer()
    first = relaxed_by_job(BISE, "Bi-Se-r0-0001", maker)
    (kept,) = folder.iterdir()
    kept.write_text(kept.read_text()[:50])
    again = relaxed_by_job(BISE, "Bi-Se-r0-0001", maker)
    assert len(CALLS) == 2
    assert again["energy_per_atom"] == first["energy_per_atom"]


def test_a_full_disk_loses_no_result_and_keeps_no_half_file(folder: Path) -> None:
    with full_disk():
        document = relaxed_by_job(BISE, "Bi-Se-r0-0001", CountingRelaxer())
    assert document["state"] == "relaxed"
    assert list(folder.iterdir()) == list(Path.cwd().iterdir()) == []


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    target = write_atomically(tmp_path / "state.json", "old")
    with full_disk(), pytest.raises(OSError, match="too large"):
        write_atomically(target, "x" * 5000)
    with full_disk(), pytest.raises(OSError, match="too large"):
        write_json({"x": "x" * 5000}, target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_nothing_is_kept_without_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCDCGAN_AL_RELAXED_FOLDER")
    maker = CountingRelaxer()
    for _ in range(2):
        relaxed_by_job(BISE, "Bi-Se-r0-0001", maker)
    assert len(CALLS) == 2
    assert not folder.exists()
