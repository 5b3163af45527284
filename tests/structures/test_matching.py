"""Matching among many: StructureMatcher's own answers."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher

from ccdcgan_al.benchmarks.relaxed_set import read_set
from ccdcgan_al.strategies.selection import loose_matcher
from ccdcgan_al.structures.matching import ReducedCell, StructureIndex, group_structures, structure_matcher


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    """Sixty of the shipped structures, distorted by up to what the matcher forgives, and beyond."""
    generator = np.random.default_rng(5)
    shipped = [item.relaxed for item in read_set()[0] if len(item.relaxed) <= 12]
    found = []
    for number in generator.integers(0, 40, 60):
        structure = shipped[number].copy()
        structure.apply_strain(generator.uniform(-0.12, 0.12, 3))
        structure.perturb(float(generator.uniform(0, 0.5)))
        found.append(structure)
    return found


@pytest.mark.parametrize("matcher", [structure_matcher(), loose_matcher()], ids=["strict", "loose"])
def test_seen_structures_give_the_matchers_answers(structures: list[Structure], matcher: StructureMatcher) -> None:
    known, new = structures[:40], structures[40:]
    seen = StructureIndex(known, matcher)
    wanted = [any(matcher.fit(item, other) for other in known) for item in new]
    assert [item in seen for item in new] == wanted
    assert 0 < sum(wanted) < len(new)


def test_groups_are_the_matchers(structures: list[Structure]) -> None:
    position = {id(structure): number for number, structure in enumerate(structures)}
    groups = structure_matcher().group_structures(structures)
    wanted = sorted([position[id(item)] for item in group] for group in groups)
    assert group_structures(structures) == wanted
    assert 1 < len(wanted) < len(structures)


def test_lattices_that_cannot_be_mapped_are_told_without_the_matcher() -> None:
    cubic = ReducedCell(Structure(Lattice.cubic(4), ["Bi"], [[0, 0, 0]]))
    long = ReducedCell(Structure(Lattice.tetragonal(4, 9), ["Bi"], [[0, 0, 0]]))
    assert not cubic.may_match(long, structure_matcher())
    assert not long.may_match(cubic, structure_matcher())
    assert cubic.may_match(cubic, structure_matcher())


def test_what_is_added_later_is_seen() -> None:
    cscl = Structure(Lattice.cubic(3.6), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    seen = StructureIndex()
    assert cscl not in seen
    seen.add(cscl * (2, 1, 1))
    assert cscl in seen
    rocksalt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert rocksalt not in seen
    seen.add(rocksalt)
    assert rocksalt in seen
