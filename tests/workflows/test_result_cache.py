"""The cache of relaxations: relaxed once, found again, never half a document. The relaxer is a stand-in that counts its calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jobflow import Maker
from pymatgen.core import Lattice, Structure

from ccdcgan_al.types import Method, Relaxed
from workflows.documents import read_relaxation
from workflows.guards import RelaxationError
from workflows.jobs import Relaxer
from workflows.relax import GuardedForceFieldRelaxMaker
from workflows.result_cache import ResultCache, job_key, relaxation_key
from workflows.vasp import GuardedVaspRelaxMaker

CALLS: list[str] = []


@dataclass
class StandInRelaxer(Maker):
    """Gives the volume as the energy; no physics."""

    name: str = "stand-in"
    method: str = "stand-in"
    fails: str = ""
    options: dict[str, float] = field(default_factory=dict)

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        CALLS.append(structure_id)
        if self.fails == "bug":
            raise RuntimeError("out of memory")
        if self.fails:
            raise RelaxationError("unphysical", self.fails, structure)
        return Relaxed(structure, -structure.volume, Method("stand-in", "volume", "1"), 1, 0.0, converged=True)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def bise(a: float = 3.0) -> Structure:
    return Structure(Lattice.cubic(a), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_relaxed_once(tmp_path: Path) -> None:
    cache, maker = ResultCache(tmp_path / "new"), StandInRelaxer()
    assert cache.find(bise(), maker) is None
    first = cache.relax(bise(), maker)
    again = ResultCache(tmp_path / "new").relax(bise(), maker)
    assert len(CALLS) == 1
    assert again == json.loads(json.dumps(first)) == cache.find(bise(), maker)
    result = read_relaxation(again)
    assert isinstance(result, Relaxed)
    assert result.energy_per_atom == pytest.approx(-27)
    assert Structure.from_dict(again["start"]) == bise()
    assert list(cache.documents()) == [again]
    assert [file.name for file in cache.folder.iterdir()] == [f"{relaxation_key(bise(), maker)}.json"]


def test_what_makes_another_relaxation() -> None:
    keys = {
        relaxation_key(structure, maker)
        for structure in (bise(), bise(3.001), Structure(bise().lattice, ["Se", "Bi"], bise().frac_coords))
        for maker in (
            StandInRelaxer(),
            StandInRelaxer(options={"fmax": 0.1}),
            GuardedForceFieldRelaxMaker(),
            GuardedForceFieldRelaxMaker(fmax=0.1),
        )
    }
    assert len(keys) == 12


def test_what_makes_none() -> None:
    key = relaxation_key(bise(), GuardedForceFieldRelaxMaker())
    moved = bise()
    moved.translate_sites([1], [1, 0, -1], to_unit_cell=False)
    moved.lattice = Lattice(moved.lattice.matrix + 1e-9)
    moved.add_site_property("magmom", [0.0, 1.0])
    assert relaxation_key(moved, GuardedForceFieldRelaxMaker(name="another name")) == key
    nearly = Structure(bise().lattice, ["Bi", "Se"], [[-1e-12, 0, 1 - 1e-12], [0.5, 0.5, 0.5]])
    assert relaxation_key(nearly, GuardedForceFieldRelaxMaker()) == key


def test_the_potentials_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    key = relaxation_key(bise(), GuardedForceFieldRelaxMaker())
    monkeypatch.setattr("workflows.result_cache.version", lambda _: "99")
    assert relaxation_key(bise(), GuardedForceFieldRelaxMaker()) != key


def test_a_failure_is_kept_but_not_the_machines(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    for _ in range(2):
        assert cache.relax(bise(), StandInRelaxer(fails="a hole"))["reason"] == "unphysical"
    assert len(CALLS) == 1
    for _ in range(2):
        assert cache.relax(bise(), StandInRelaxer(fails="bug"))["reason"] == "calculator_error"
    assert len(CALLS) == 3
    assert len(list(cache.documents())) == 2


def test_the_rattle_depends_on_the_start_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ResultCache(tmp_path / name).relax(bise(), StandInRelaxer())
    assert CALLS[0] == CALLS[1]


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    cache, maker = ResultCache(tmp_path), StandInRelaxer()
    file = tmp_path / f"{relaxation_key(bise(), maker)}.json"
    file.write_text("{")
    with pytest.raises(ValueError, match=rf"{file.name} is no relaxation document.*remove it"):
        cache.relax(bise(), maker)


def test_a_write_that_dies_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    cache = ResultCache(tmp_path)
    monkeypatch.setattr("ccdcgan_al.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cache.relax(bise(), StandInRelaxer())
    assert list(cache.documents()) == []
    monkeypatch.undo()
    assert cache.relax(bise(), StandInRelaxer())["state"] == "relaxed"
    assert len(list(cache.documents())) == 1


@pytest.mark.parametrize(
    ("maker", "job", "experiment"),
    [
        (
            GuardedForceFieldRelaxMaker(),
            "21b5af195cec127c",
            "5fba6c607d72e8d11db2becac365358a791740a0340cc8440064850c44160f8c",
        ),
        (
            GuardedVaspRelaxMaker(static=True),
            "2a2647b0db9d30f9",
            "2a1319900876e67414630a18fa53fb1fa37edcb3a1774a2bb1037bcf8b141d7e",
        ),
    ],
)
def test_files_that_older_versions_left_keep_their_names(
    maker: Relaxer, job: str, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.result_cache.version", lambda _: "1")
    assert (
        job_key(bise(), "Bi-Se-r0-0001", maker) == f"Bi-Se-r0-0001-{job}"
    )  # as ccdcgan-al named them at schema version 2
    assert relaxation_key(bise(), maker) == experiment
