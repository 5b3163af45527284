"""The pool of starting structures: varied, within the limits, the same for the same seed."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.benchmarks.starting_pool import MAX_SEED_LENGTH, MAX_SITES, starting_pool, table_prototypes
from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.structures.matching import structure_matcher

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
OTHER_ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
PEROVSKITE = Structure(
    Lattice.cubic(3.9), ["Sr", "Ti", "O", "O", "O"], [[0.5] * 3, [0] * 3, [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
)
HALF_HEUSLER = Structure.from_spacegroup(
    "F-43m", Lattice.cubic(6), ["Li", "Al", "Si"], [[0.5] * 3, [0] * 3, [0.25] * 3]
)
LONG = Structure(Lattice.tetragonal(3, 12), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "table.csv"
    with file.open("w", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(["material_id", "pretty_formula", "cif"])
        for i, structure in enumerate([ROCK_SALT, PEROVSKITE, OTHER_ROCK_SALT, LONG, HALF_HEUSLER]):
            rows.writerow([f"x-{i}", structure.composition.reduced_formula, structure.to(fmt="cif")])
    return file


def test_distinct_prototypes_of_a_table(table: Path) -> None:
    assert [(label, len(structure)) for structure, label in table_prototypes(table, 2)] == [("x-0", 2)]
    assert [(label, len(structure)) for structure, label in table_prototypes(table, 3)] == [("x-1", 5), ("x-4", 3)]


@pytest.mark.slow
def test_the_pool(table: Path) -> None:
    pool = starting_pool(("Bi", "Se"), table, random_count=3, per_element=5)
    kinds = Counter(start.kind for start in pool)
    assert kinds["element"] == 10
    assert kinds["random"] == 3
    assert kinds["aflow"] > 150
    assert 1 <= kinds["ternary"] <= 2
    for start in pool:
        assert set(start.structure.symbol_set) <= {"Bi", "Se"}
        assert len(start.structure) <= MAX_SITES
        assert max(start.structure.lattice.abc) <= MAX_SEED_LENGTH
    sizes = np.array([len(start.structure) for start in pool])
    assert sizes[: len(pool) // 2].mean() < sizes[len(pool) // 2 :].mean()
    matcher = structure_matcher()
    rock_salts = [
        start.label for start in pool if matcher.fit(start.structure, _bi_se(ROCK_SALT)) and start.kind != "random"
    ]
    assert len(rock_salts) == 1
    again = starting_pool(("Bi", "Se"), table, random_count=3, per_element=5)
    assert [start.label for start in again] == [start.label for start in pool]
    assert [start.structure for start in again] == [start.structure for start in pool]


def _bi_se(structure: Structure) -> Structure:
    replaced = structure.copy()
    replaced.replace_species({"Na": "Bi", "Cl": "Se"})
    return replaced


def test_a_foreign_table(tmp_path: Path) -> None:
    file = tmp_path / "foreign.csv"
    file.write_text("id,structure\n1,2\n")
    with pytest.raises(StructureInputError, match=r"foreign.csv: no column cif, material_id, pretty_formula"):
        list(table_prototypes(file, 2))


def test_two_elements() -> None:
    with pytest.raises(ValueError, match=r"got 3 elements \(Bi, Se, Te\): the pool is for a binary system"):
        starting_pool(("Bi", "Se", "Te"))
