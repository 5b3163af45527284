"""Near symmetry made exact, and structures left alone where that would make another crystal of them."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.strategies.symmetrise import symmetrised
from ccdcgan_al.structures.matching import structure_matcher


def rocksalt() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize("seed", range(5))
def test_a_shaken_crystal_is_itself_again(seed: int) -> None:
    shaken = rocksalt()
    shaken.perturb(0.25, seed=seed)
    assert shaken.get_space_group_info(symprec=0.1)[1] <= 2
    found = symmetrised(shaken)
    assert found.get_space_group_info(symprec=0.01)[1] == 225
    assert len(found) == 2
    assert structure_matcher().fit(found, rocksalt())


def test_what_has_a_symmetry_stays() -> None:
    """Its atoms are 0.2 Å from those of a simple cubic crystal."""
    bismuth = Structure.from_spacegroup("R-3m", Lattice.hexagonal(4.546, 11.862), ["Bi"], [[0, 0, 0.2339]])
    assert symmetrised(bismuth) is bismuth


def test_what_has_no_symmetry_stays() -> None:
    positions = [[0, 0, 0], [0.31, 0.42, 0.13], [0.62, 0.11, 0.57]]
    lone = Structure(Lattice.from_parameters(5.1, 6.3, 7.7, 81, 97, 104), ["Bi", "Se", "Se"], positions)
    assert symmetrised(lone) is lone


def test_atoms_are_not_merged_and_the_formula_stays() -> None:
    """Two atoms 0.6 Å apart are one to spglib at 0.8 Å."""
    close = Structure(Lattice.cubic(4), ["Bi", "Bi", "Se"], [[0, 0, 0], [0.15, 0, 0], [0.5, 0.5, 0.5]])
    found = symmetrised(close)
    assert found.composition.reduced_formula == "Bi2Se"
    assert len(found) == 3
