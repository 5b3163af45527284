"""Families: copies never stand apart."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.structures.families import merged_families


def rock_salt(a: float = 5.9) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Bi", "Se"], [[0] * 3, [0.5] * 3])


def caesium_chloride() -> Structure:
    return Structure(Lattice.cubic(3.6), ["Bi", "Se"], [[0] * 3, [0.5] * 3])


@pytest.mark.parametrize(
    ("structures", "labels", "energies", "wanted"),
    [
        ([rock_salt(), rock_salt(6.0).get_primitive_structure()], ["b", "a"], [-0.1, -0.1], ["a", "a"]),
        ([rock_salt(), rock_salt(6.0)], ["b", "a"], [-0.1, 0.1], ["b", "a"]),  # so far apart in energy: no copies
        ([rock_salt(), caesium_chloride()], ["a", "b"], [0, 0], ["a", "b"]),
        ([rock_salt(), caesium_chloride(), rock_salt()], ["a", "a", "c"], [0, 0, 0], ["a", "a", "a"]),
        ([rock_salt(), rock_salt(), rock_salt()], ["c", "b", "a"], [0, 0.015, 0.03], ["a", "a", "a"]),
    ],
    ids=["a copy", "another energy", "another structure", "whole families", "a chain"],
)
def test_copies(structures: list[Structure], labels: list[str], energies: list[float], wanted: list[str]) -> None:
    assert merged_families(structures, labels, energies) == wanted
