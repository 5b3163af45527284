"""Mutants of known crystals."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from ccdcgan_al.strategies.mutations import mutants

LAYER = Structure(
    Lattice.hexagonal(4.15, 9.9),
    ["Bi", "Bi", "Se", "Se", "Se"],
    [[1 / 3, 2 / 3, 0.3], [2 / 3, 1 / 3, 0.7], [0, 0, 0.5], [2 / 3, 1 / 3, 0.13], [1 / 3, 2 / 3, 0.87]],
)
"""Bi2Se3 with its layers on top of each other (P-3m1)."""
TETRADYMITE = Structure.from_spacegroup(
    "R-3m", Lattice.hexagonal(4.15, 28.9), ["Bi", "Se", "Se"], [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]]
)
CAESIUM_CHLORIDE = Structure(Lattice.cubic(3.6), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def drawn(structure: Structure, count: int = 200, seed: int = 1) -> dict[str, list[Structure]]:
    found: dict[str, list[Structure]] = {"swap": [], "transmute": [], "slip": []}
    for mutant in mutants([structure], ("Bi", "Se"), np.ones(1), count, seed):
        assert mutant.parent == 0
        found[mutant.operation].append(mutant.structure)
    return found


def bonds(structure: Structure) -> tuple[float, float]:
    """Shortest and longest distance (Å) of a Bi from its six nearest Se, which are of its own layer."""
    found = []
    for site in structure:
        if site.specie.symbol == "Bi":
            near = [other.nn_distance for other in structure.get_neighbors(site, 5.0) if other.specie.symbol == "Se"]
            found += sorted(near)[:6]
    return min(found), max(found)


def test_the_stacking_of_nature_is_a_slip_of_the_simplest_one() -> None:
    slipped = drawn(LAYER)["slip"]
    assert any(StructureMatcher().fit(structure, TETRADYMITE) for structure in slipped)
    assert not StructureMatcher().fit(LAYER, TETRADYMITE)


def test_a_slip_keeps_the_layer_and_the_volume() -> None:
    for structure in drawn(LAYER)["slip"]:
        assert structure.volume / len(structure) == pytest.approx(LAYER.volume / len(LAYER))
        assert bonds(structure) == pytest.approx(bonds(LAYER), abs=1e-6)


def test_a_swap_keeps_the_composition_and_a_transmutation_does_not() -> None:
    found = drawn(LAYER)
    assert {structure.composition.reduced_formula for structure in found["swap"]} == {"Bi2Se3"}
    formulas = {structure.composition.reduced_formula for structure in found["transmute"]}
    assert "Bi2Se3" not in formulas
    assert {"BiSe4", "Bi3Se2"} <= formulas


def test_cells_are_doubled_within_the_limits() -> None:
    sizes = {len(structure) for structure in drawn(CAESIUM_CHLORIDE)["swap"]}
    assert sizes == {2, 4}
    longest = max(max(structure.lattice.abc) for structure in drawn(LAYER)["swap"])
    assert longest == pytest.approx(9.9)  # twice that would be beyond the codec


def test_nothing_slips_without_a_gap() -> None:
    dense = Structure(Lattice.cubic(2.8), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert not drawn(dense)["slip"]


def test_a_seed_draws_the_same_and_parents_follow_their_weights() -> None:
    one, other = drawn(LAYER, 20, seed=4), drawn(LAYER, 20, seed=4)
    assert one == other
    made = mutants([LAYER, CAESIUM_CHLORIDE], ("Bi", "Se"), np.array([0.9, 0.1]), 400, seed=0)
    share = sum(mutant.parent == 0 for mutant in made) / len(made)
    assert 0.8 < share < 1.0
