"""Distances over covalent radii, by hand. Cordero 2008: Bi 1.48 Å, Se 1.20 Å, Fe 1.42 Å (between its spin states), H 0.31 Å."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.structures.covalent import BEYOND_TABLE, covalent_radii, covalent_ratio, nearest_ratios
from tests.hull.test_hull import rocksalt


def pair(distance: float) -> Structure:
    """Bi and Se, so far apart (Å) and farther from their images."""
    return Structure(Lattice.cubic(9), ["Bi", "Se"], [[0, 0, 0], [0, 0, distance / 9]])


def test_ratio_by_hand() -> None:
    assert covalent_ratio(pair(2.68)) == pytest.approx(1)
    assert covalent_ratio(pair(1.34)) == pytest.approx(0.5)
    assert covalent_ratio(rocksalt(length=5.8)) == pytest.approx(2.9 / 2.68)


def test_an_atoms_own_images_count() -> None:
    assert covalent_ratio(Structure(Lattice.tetragonal(2.96, 9), ["Bi"], [[0, 0, 0]])) == pytest.approx(1)
    assert covalent_ratio(Structure(Lattice.orthorhombic(1.2, 9, 9), ["Se"], [[0, 0, 0]])) == pytest.approx(0.5)


def test_a_lone_atom_and_two_in_one_place() -> None:
    assert covalent_ratio(Structure(Lattice.cubic(9), ["Bi"], [[0, 0, 0]])) == float("inf")
    assert covalent_ratio(Structure(Lattice.cubic(5), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0]])) == 0


def test_each_atom_has_its_own_nearest() -> None:
    three = Structure(Lattice.cubic(12), ["Bi", "Se", "Se"], [[0, 0, 0], [0, 0, 2.68 / 12], [0, 0, 5.08 / 12]])
    assert nearest_ratios(three) == pytest.approx([1, 1, 1])
    assert nearest_ratios(three, 2.5) == pytest.approx([float("inf"), 1, 1])


def test_every_element_has_a_radius() -> None:
    crystal = Structure(Lattice.cubic(9), ["H", "D", "Fe", "Bk"], [[0, 0, k / 4] for k in range(4)])
    assert covalent_radii(crystal) == pytest.approx([0.31, 0.31, 1.42, BEYOND_TABLE])
    assert covalent_radii(crystal.add_oxidation_state_by_element({"H": 1, "D": 1, "Fe": -2, "Bk": 0}))[2] == 1.42
