"""What is a crystal, and what returns to itself from a small distortion."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.hull.hull import DEGENERATE
from ccdcgan_al.hull.validity import DISPLACEMENT, RETURNED, STRAIN, distort, does_not_return, find_problem
from tests.hull.test_hull import BISE, bi2se3, rocksalt, selenium


def test_find_problem_passes_layers_and_stops_nonsense() -> None:
    assert find_problem(bi2se3(), BISE) is None
    assert find_problem(selenium(), BISE) is None
    assert find_problem(rocksalt("Mn"), BISE) == "holds Mn, which is not of Bi-Se"
    assert "Å^3 an atom; 9.5 to 70.8" in str(find_problem(rocksalt(length=2.0), BISE))
    assert "Å^3 an atom" in str(find_problem(rocksalt(length=20.0), BISE))
    # a slab of rocksalt, and one more atom 5.5 Å away from it
    lonely = rocksalt(length=5.6)
    lonely.make_supercell([1, 1, 2])
    lonely = Structure(
        Lattice.tetragonal(5.6, 22.0),
        [*lonely.species, "Se"],
        [*lonely.cart_coords / [5.6, 5.6, 22.0], [0, 0, 1 - 5.5 / 22]],
    )
    assert "has no neighbour" in str(find_problem(lonely, BISE))


@pytest.mark.parametrize(("halogen", "length"), [("Cl", 3.86), ("Br", 4.06)])
def test_an_anion_among_hydrogens_has_neighbours(halogen: str, length: float) -> None:
    def ammonium(length: float) -> Structure:
        """Halide as in CsCl, N-H 1.03 Å."""
        sites = [[0, 0, 0], [1.03 / np.sqrt(3) / length] * 3, [0.5] * 3]
        return Structure.from_spacegroup("P-43m", Lattice.cubic(length), ["N", "H", halogen], sites)

    assert len(ammonium(length)) == 6
    assert find_problem(ammonium(length), ("H", "N", halogen)) is None
    assert f"({halogen}) has no neighbour within" in str(find_problem(ammonium(5.2), ("H", "N", halogen)))


def test_a_distortion_is_small_seeded_and_without_symmetry() -> None:
    crystal = rocksalt()
    distorted = distort(crystal, 3)
    strain = distorted.lattice.matrix / 5.9 - np.eye(3)
    assert 0 < np.abs(strain).max() <= STRAIN
    assert strain == pytest.approx(strain.T)
    unmoved = Structure(distorted.lattice, crystal.species, crystal.frac_coords)
    moved = np.linalg.norm(distorted.cart_coords - unmoved.cart_coords, axis=1)
    assert moved == pytest.approx(np.full(len(crystal), DISPLACEMENT))
    assert distorted.get_space_group_info(symprec=1e-3)[1] == 1
    assert distort(crystal, 3) == distorted != distort(crystal, 4)


def test_what_returns_is_the_same_structure_at_the_same_energy() -> None:
    crystal = rocksalt()
    assert pytest.approx(DEGENERATE) == RETURNED
    assert does_not_return(crystal, -3.5, distort(crystal, 0).get_primitive_structure(), -3.4995) is None
    assert "+6.0 meV/atom from its own" in str(does_not_return(crystal, -3.5, crystal, -3.494))
    assert "-40.0 meV/atom" in str(does_not_return(crystal, -3.5, crystal, -3.54))
    caesium_chloride = Structure(Lattice.cubic(3.6), BISE, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert (
        does_not_return(crystal, -3.5, caesium_chloride, -3.5) == "slightly distorted it relaxes to another structure"
    )
