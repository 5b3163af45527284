"""Selection, on structures whose counts can be made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.strategies.selection import is_valid, select
from ccdcgan_al.structures.matching import StructureIndex


def rocksalt(cation: str = "Bi", anion: str = "Se", length: float = 5.9) -> Structure:
    cell = Lattice.from_parameters(*[length / np.sqrt(2)] * 3, 60, 60, 60)
    return Structure(cell, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(length: float = 3.6) -> Structure:
    return Structure(Lattice.cubic(length), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def pair(distance: float) -> Structure:
    """Bi and Se at a distance (Å) in a large box."""
    return Structure(Lattice.cubic(9), ["Bi", "Se"], [[0, 0, 0], [0, 0, distance]], coords_are_cartesian=True)


def layered(n_bismuth: int, n_selenium: int, axis: float = 3.0) -> Structure:
    """Bi(n)Se(m): a column of sites 3 Å apart; another composition, or another `axis`, is another structure."""
    species = ["Bi"] * n_bismuth + ["Se"] * n_selenium
    count = len(species)
    sites = [[0, 0, k / count] for k in range(count)]
    return Structure(Lattice.tetragonal(axis, 3 * count), species, sites)


def no_hull(_: Structure) -> float:
    return 0.0


@pytest.mark.parametrize(("distance", "valid"), [(0.49, False), (0.51, True)])
def test_published_rule(distance: float, valid: bool) -> None:
    assert is_valid(pair(distance)) is valid


def test_periodic_images_count() -> None:
    across = Structure(Lattice.cubic(5), ["Bi", "Se"], [[0, 0, 0.02], [0, 0, 0.98]])
    assert not is_valid(across)
    assert not is_valid(Structure(Lattice.tetragonal(0.4, 9), ["Bi"], [[0, 0, 0]]))
    # edges of 5 Å whose difference, an image of the site itself, is 0.26 Å long
    assert not is_valid(Structure(Lattice.from_parameters(5, 5, 5, 90, 90, 3), ["Bi"], [[0, 0, 0]]))
    assert is_valid(Structure(Lattice.from_parameters(5, 5, 5, 90, 90, 20), ["Bi"], [[0, 0, 0]]))


def test_broken_cells_are_invalid() -> None:
    assert not is_valid(Structure(Lattice(np.diag([5, 5, 0.001])), ["Bi"], [[0, 0, 0]]))
    assert not is_valid(Structure(Lattice.cubic(5), ["Bi", "Se"], [[0, 0, 0], [np.nan, 0, 0]]))
    assert not is_valid(Structure(Lattice.cubic(5), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0]]))


def test_seen_structures() -> None:
    seen = StructureIndex([rocksalt()])
    assert rocksalt(length=6.1) in seen
    assert rocksalt() * (2, 1, 1) in seen
    assert rocksalt().perturb(0.02) in seen
    assert caesium_chloride() not in seen
    assert rocksalt("Sb") not in seen
    seen.add(caesium_chloride())
    assert caesium_chloride(3.7) in seen


def test_counts_by_hand() -> None:
    structures = [
        pair(0.3),  # invalid
        pair(1.0),  # valid, but 0.37 of the covalent radii
        rocksalt(),  # known
        caesium_chloride(),  # new
        caesium_chloride(3.7),  # duplicate of the one before
        Structure(Lattice.cubic(3.3), ["Bi"], [[0, 0, 0]]),  # a single element
        layered(1, 2),  # new
    ]
    selection = select(structures, [rocksalt(length=6.0)], 10, None, no_hull)
    assert (selection.valid, selection.strict, selection.unique, selection.novel) == (6, 5, 3, 2)
    assert selection.chosen == [3, 6]
    assert np.isnan(selection.energies).all()
    assert np.isnan(selection.uncertainties).all()
    assert select(structures, [], 10, None, no_hull, min_elements=1).chosen == [2, 3, 5, 6]
    assert select(structures, [], 1, None, no_hull).chosen == [2]


def test_nothing_to_choose_from() -> None:
    def never(_: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("there is nothing to predict")

    for structures in ([], [pair(0.1)], [rocksalt()]):
        selection = select(structures, [rocksalt()], 4, never, no_hull)
        assert selection.chosen == selection.energies == selection.uncertainties == []
        assert selection.novel == 0


def test_rank_is_the_upper_confidence_bound_above_the_hull() -> None:
    structures = [layered(1, 1), layered(1, 2), layered(1, 3), layered(2, 3)]
    energies = np.array([-0.10, -0.30, -0.20, -0.05])
    spreads = np.array([0.04, 0.15, 0.02, 0.40])
    hull = {"BiSe": -0.10, "BiSe2": -0.10, "BiSe3": -0.20, "Bi2Se3": -0.30}

    def choose(kappa: float, depth: float = 0) -> list[int]:
        def predict(given: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
            assert given == structures
            return energies, spreads

        def hull_energy(structure: Structure) -> float:
            return hull[structure.reduced_formula]

        selection = select(structures, [], 4, predict, hull_energy, kappa=kappa, depth=depth)
        assert selection.energies == [energies[k] for k in selection.chosen]
        assert selection.uncertainties == [spreads[k] for k in selection.chosen]
        return selection.chosen

    # above the hull: 0, -0.20, 0, 0.25; a tie keeps the order generated
    assert choose(0) == [1, 0, 2, 3]
    # and half of the spread: 0.02, -0.125, 0.01, 0.45
    assert choose(0.5) == [1, 2, 0, 3]
    # and twice the spread: 0.08, 0.10, 0.04, 1.05
    assert choose(2) == [2, 0, 1, 3]
    # and all of the hull's depth, which is 0.10, 0.10, 0.20, 0.30, taken off: -0.10, -0.30, -0.20, -0.05
    assert choose(0, depth=1) == [1, 2, 0, 3]


def test_what_resembles_a_known_structure_comes_last() -> None:
    """Rock salt with its anions 2.1 Å off is another structure, but one that may well relax back."""
    lattice = rocksalt().get_primitive_structure().lattice
    shifted = [Structure(lattice, ["Bi", "Se"], [[0, 0, 0], [x, x, x]]) for x in (0.2945, 0.29)]
    structures = [*shifted, caesium_chloride()]

    def predict(given: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(given)) / 10, np.zeros(len(given))

    selection = select(structures, [rocksalt()], 2, predict, no_hull)
    assert selection.novel == 2
    assert selection.chosen == [2, 0]
    assert select(structures, [], 2, predict, no_hull).chosen == [0, 2]
    assert select(structures, [rocksalt()], 2, None, no_hull).chosen == [0, 2]


def test_predictions_are_of_novel_structures_only() -> None:
    asked: list[Structure] = []

    def predict(given: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
        asked.extend(given)
        return np.zeros(len(given)), np.zeros(len(given))

    select([pair(0.1), rocksalt(), caesium_chloride(), caesium_chloride()], [rocksalt()], 4, predict, no_hull)
    assert asked == [caesium_chloride()]


def test_formula_quota() -> None:
    """Eight wanted: no formula takes more than two while another waits, and then the rest fill up in their order."""
    axes = (2.6, 4.2, 6.8, 11.0)
    many = [layered(1, 2, axis) for axis in axes]
    others = [layered(1, 1), layered(1, 3), layered(2, 3)]
    structures = [*many, *others]

    def predict(given: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(given)) / 10, np.zeros(len(given))

    selection = select(structures, [], 8, predict, no_hull)
    assert selection.novel == 7
    assert selection.chosen == [0, 1, 4, 5, 6, 2, 3]
    assert select(structures, [], 5, predict, no_hull).chosen == [0, 1, 4, 5, 6]
    assert select(structures, [], 3, predict, no_hull).chosen == [0, 1, 4]
    assert select(many, [], 4, predict, no_hull).chosen == [0, 1, 2, 3]
    # an eighth of thirty-two is four
    assert select(structures, [], 32, predict, no_hull).chosen == [0, 1, 2, 3, 4, 5, 6]


def test_layers_in_another_stacking_take_no_more_than_their_share() -> None:
    """Of six formulas the lowest four are restacked: two of these are chosen, then the others, and the third only where nothing else is left."""
    structures = [layered(1, n) for n in range(1, 7)]

    def predict(given: list[Structure]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([0.01 * len(structure) for structure in given]), np.zeros(len(given))

    chosen = select(structures, [], 4, predict, no_hull, restacked={0, 1, 2, 3}).chosen
    assert chosen == [0, 1, 4, 5]
    assert select(structures, [], 5, predict, no_hull, restacked={0, 1, 2, 3}).chosen == [0, 1, 4, 5, 2]
    assert select(structures, [], 4, predict, no_hull).chosen == [0, 1, 2, 3]
