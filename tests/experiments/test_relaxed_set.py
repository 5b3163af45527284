"""A data set from a pool and a cache; the relaxer is a stand-in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jobflow import Maker
from pymatgen.core import Lattice, Structure

from ccdcgan_al.benchmarks.relaxed_set import LabelledStructure, read_set, write_set
from ccdcgan_al.benchmarks.starting_pool import Start
from ccdcgan_al.hull.element_references import materials_project_energies
from ccdcgan_al.types import Method, Relaxed
from workflows.experiments.relaxed_set import extended_set, relax_pool, relaxed_set
from workflows.guards import RelaxationError
from workflows.result_cache import ResultCache


@dataclass
class StandInRelaxer(Maker):
    """Leaves a structure as it is, with an energy by composition; no physics."""

    name: str = "stand-in"
    method: str = "stand-in"
    version: str = "1"
    functional: str = "made up"  # so that the elements below set the zero

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        if len(structure) > 2:
            raise RelaxationError("unphysical", f"too many sites in {structure_id}", structure)
        bismuth = structure.composition.get_atomic_fraction("Bi")
        energy = -3 - bismuth - 0.5 * (0 < bismuth < 1)
        return Relaxed(
            structure,
            energy,
            Method("stand-in", "by composition", self.version, self.functional),
            1,
            0.0,
            converged=True,
        )


def pool() -> list[Start]:
    def cubic(a: float, *symbols: str) -> Structure:
        return Structure(Lattice.cubic(a), symbols, [[0.5 * i] * 3 for i in range(len(symbols))])

    return [
        Start(cubic(3.2, "Bi"), "element", "bismuth"),
        Start(cubic(2.9, "Se"), "element", "selenium"),
        Start(cubic(3.5, "Bi", "Se"), "aflow", "CsCl"),
        Start(cubic(3.55, "Se", "Bi"), "random", "the same again"),
        Start(cubic(9.0, "Bi", "Se"), "random", "a gas"),
        Start(cubic(4.0, "Bi", "Se", "Se"), "random", "fails"),
    ]


def test_a_data_set(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache")
    data = relaxed_set(relax_pool(pool(), cache, StandInRelaxer()), ("Bi", "Se"))
    assert data["left_out"] == {"no crystal": 1, "unphysical": 1}
    assert data["references"] == data["own_elements"] == {"Bi": -4.0, "Se": -3.0}
    assert data["element_references"] == "own"
    write_set(data, tmp_path / "set.json.gz")
    structures, about = read_set(tmp_path / "set.json.gz")
    assert about["method"]["calculator"] == "by composition"
    assert [item.label for item in structures] == ["bismuth", "selenium", "CsCl", "the same again"]
    assert [item.formation_energy for item in structures] == pytest.approx([0, 0, -0.5, -0.5])
    assert structures[2].family == structures[3].family == "AB-221"
    assert structures[2].relaxed == pool()[2].structure


def test_a_data_set_is_extended_by_what_is_no_copy(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache")
    write_set(relaxed_set(relax_pool(pool(), cache, StandInRelaxer()), ("Bi", "Se")), tmp_path / "set.json.gz")
    structures, about = read_set(tmp_path / "set.json.gz")
    zincblende = Structure.from_spacegroup("F-43m", Lattice.cubic(6.2), ["Bi", "Se"], [[0] * 3, [0.25] * 3])
    cache.relax(zincblende.get_primitive_structure(), StandInRelaxer())
    cache.relax(Structure(Lattice.cubic(3.5), ["Bi", "Te"], [[0] * 3, [0.5] * 3]), StandInRelaxer())
    data = extended_set(structures, about, cache.documents(), ("Bi", "Se"))
    assert data["left_out"] == {"copy": 4, "no crystal": 2, "unphysical": 2}  # those of the data set are in the cache
    assert [item["label"] for item in data["structures"][:4]] == [item.label for item in structures]
    (added,) = data["structures"][4:]
    assert added["kind"] == "campaign"
    assert added["formation_energy"] == pytest.approx(-0.5)
    assert data["references"] == {"Bi": -4.0, "Se": -3.0}
    assert data["method"] == about["method"]


def test_a_data_set_of_a_pbe_potential_has_the_materials_projects_elements(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    maker = StandInRelaxer(functional="PBE")
    data = relaxed_set(relax_pool(pool(), cache, maker), ("Bi", "Se"))
    known = materials_project_energies()
    assert data["element_references"] == "materials_project"
    assert data["references"] == {symbol: known[symbol] for symbol in ("Bi", "Se")}
    assert data["own_elements"] == {"Bi": -4.0, "Se": -3.0}
    energies = {item["label"]: item["formation_energy"] for item in data["structures"]}
    assert energies["bismuth"] == energies["selenium"] == 0
    assert energies["CsCl"] == pytest.approx(-4.0 - (known["Bi"] + known["Se"]) / 2, abs=1e-5)
    # what is added has the same zero, or is refused
    structures = [*read(data, tmp_path / "set.json.gz")]
    about = {name: value for name, value in data.items() if name != "structures"}
    assert extended_set(structures, about, [], ("Bi", "Se"))["structures"] == data["structures"]
    with pytest.raises(ValueError, match=r"one data set, one zero: its elements are own .*, wanted materials_project"):
        extended_set(structures, {**about, "element_references": "own"}, [], ("Bi", "Se"))


def read(data: dict[str, Any], file: Path) -> list[LabelledStructure]:
    write_set(data, file)
    return read_set(file)[0]


def test_two_methods_are_refused(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    both = [
        *relax_pool(pool()[:2], cache, StandInRelaxer()),
        *relax_pool(pool()[2:3], cache, StandInRelaxer(version="2")),
    ]
    with pytest.raises(ValueError, match="one data set, one method"):
        relaxed_set(both, ("Bi", "Se"))


def test_elements_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no relaxed structure of Se alone"):
        relaxed_set(relax_pool(pool()[:1], ResultCache(tmp_path), StandInRelaxer()), ("Bi", "Se"))
