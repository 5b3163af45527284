"""Tests of a relaxed structure: is it a crystal, and does it return after a small distortion? This module relaxes nothing and knows no hull."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ccdcgan_al.structures.covalent import covalent_radii, nearest_ratios

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

ISOLATED = 1.6  # sum of covalent radii; of 7,140 Materials Project binaries and ternaries (mp_20) only NH4F (1.89) and P3BrCl14 (1.62) exceed it
HYDROGEN = 0.6  # Å, radius of H near an anion among hydrogens: the halogens of NH4F, NH4Cl and NH4Br lie within 1.47 times the sums with it
VOLUME_RANGE = (
    0.35,
    2.0,
)  # factors of the least and the largest atomic volume of the elements; the same crystals: 0.41 to 1.93, and eight with a void (2.4 to 7.8)
DISPLACEMENT = 0.05  # Å, displacement of every atom in a distortion
STRAIN = 0.01  # largest component of a distortion's strain
RETURNED = 0.005  # eV/atom: relaxations that stop at 0.05 eV/Å scatter by this much (`hull.DEGENERATE`)


def find_problem(structure: Structure, elements: Sequence[str]) -> str | None:
    """Return why a relaxed structure is not a crystal of the system. Return None if it is one.

    Parameters
    ----------
    structure : Structure
        Relaxed structure.
    elements : sequence of str
        Symbols of the chemical system.

    Returns
    -------
    str or None
        Reason: foreign elements, numbers that are not finite, a volume per atom outside 0.35 times the least to 2
        times the largest atomic volume of its elements (measured molar volumes), or an atom without a neighbour within
        1.6 times the sum of covalent radii. Layers held by van der Waals forces pass, because each atom has neighbours in its
        layer. An anion among hydrogens also passes, as in NH4Cl, because the radii are too small for the factor 1.6.
    """
    from scipy.constants import Avogadro

    foreign = sorted({element.symbol for element in structure.composition} - set(elements))
    if foreign:
        return f"holds {', '.join(foreign)}, which is not of {'-'.join(elements)}"
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        return "lattice or coordinates are not finite"
    volume = structure.volume / len(structure)
    measured = [element.molar_volume for element in structure.composition]
    if all(measured):
        least, largest = (float(value) * 1e24 / Avogadro for value in (min(measured), max(measured)))  # Å^3 an atom
        low, high = VOLUME_RANGE[0] * least, VOLUME_RANGE[1] * largest
        if not low <= volume <= high:
            return f"{volume:.1f} Å^3 an atom; {low:.1f} to {high:.1f} are plausible for its elements"
    nearest = nearest_ratios(structure, 2 * ISOLATED * float(covalent_radii(structure).max()))
    for lonely in np.argsort(-nearest, kind="stable").tolist():
        if nearest[lonely] <= ISOLATED:
            break
        if not _among_hydrogens(structure, lonely):
            symbol = structure[lonely].specie.symbol
            return f"atom {lonely} ({symbol}) has no neighbour within {ISOLATED} covalent radii sums"
    return None


def _among_hydrogens(structure: Structure, number: int) -> bool:
    """Return whether a non-hydrogen atom has a hydrogen within 1.6 times the sum of its covalent radius and `HYDROGEN`."""
    reach = ISOLATED * (float(covalent_radii(structure)[number]) + HYDROGEN)
    near = structure.get_neighbors(structure[number], reach)
    return structure[number].specie.symbol != "H" and any(site.specie.symbol == "H" for site in near)


def distort(structure: Structure, seed: int) -> Structure:
    """Return a copy with a small strain, in which every atom is moved by 0.05 Å in a random direction.

    Parameters
    ----------
    structure : Structure
        Relaxed structure.
    seed : int
        Random seed. The same seed gives the same distortion.

    Returns
    -------
    Structure
        Structure without symmetry, so that a relaxation leaves a saddle point. Each component of the (symmetric) strain is
        at most 0.01.
    """
    from pymatgen.core import Structure

    generator = np.random.default_rng(seed)
    strain = np.triu(generator.uniform(-STRAIN, STRAIN, (3, 3)))
    strain = strain + np.triu(strain, 1).T
    moves = generator.normal(size=(len(structure), 3))
    moves *= DISPLACEMENT / np.linalg.norm(moves, axis=1, keepdims=True)  # Å
    strained = Structure(structure.lattice.matrix @ (np.eye(3) + strain), structure.species, structure.frac_coords)
    return Structure(strained.lattice, structure.species, strained.cart_coords + moves, coords_are_cartesian=True)


def does_not_return(structure: Structure, energy: float, again: Structure, energy_again: float) -> str | None:
    """Return why a second relaxation, from a small distortion, did not return to the structure. Return None if it did.

    Parameters
    ----------
    structure : Structure
        Relaxed structure.
    energy : float
        Energy of the relaxed structure (eV/atom).
    again : Structure
        Structure after the relaxation from the distortion, by the same method.
    energy_again : float
        Energy of that structure (eV/atom).

    Returns
    -------
    str or None
        Reason: an energy that differs by more than 5 meV/atom, or a structure that `StructureMatcher` (the
        tolerances of `ccdcgan_al.structures.matching`) does not match.
    """
    from ccdcgan_al.structures.matching import structure_matcher

    if abs(energy_again - energy) > RETURNED:
        return f"slightly distorted it relaxes to an energy {1000 * (energy_again - energy):+.1f} meV/atom from its own"
    if not structure_matcher().fit(structure, again):
        return "slightly distorted it relaxes to another structure"
    return None
