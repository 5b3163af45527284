"""Mutants of known crystals: atoms swapped or transmuted, or layers slipped, in the cell or in a doubled cell. It ranks and relaxes nothing.

A generator mostly draws structures like its training set, and these mostly relax into known phases. A mutant always differs from its parent.
The operations come from evolutionary structure prediction (permutation, transmutation: Oganov and Glass, J. Chem. Phys. 124, 244704 (2006)) and
from the stacking of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.lattice_latent import MAX_CODEC_LENGTH
from ccdcgan_al.codec.structure_factors import MAX_SITES
from ccdcgan_al.seeds.choose import fits_limits
from ccdcgan_al.structures.covalent import covalent_radii
from ccdcgan_al.types import Operation

MOST_CHANGED = 3  # maximum number of swapped pairs of unlike atoms, or of transmuted atoms, in a mutant
SLIPS = (0.0, 1 / 3, 1 / 2, 2 / 3)  # fractions of the two lattice vectors in the layer
LEAST_GAP = 1.5  # Å along an axis: layers can slip if a gap without atoms is at least this wide


@dataclass(frozen=True)
class Mutant:
    """A mutant, its parent and the operation.

    Attributes
    ----------
    structure : Structure
        Unrelaxed structure.
    parent : int
        Position of the parent in the given sequence.
    operation : Operation
        ``swap``, ``transmute`` or ``slip``.
    """

    structure: Structure
    parent: int
    operation: Operation


def mutants(
    structures: Sequence[Structure],
    elements: Sequence[str],
    sample_weights: NDArray[np.floating],
    count: int,
    seed: int,
) -> list[Mutant]:
    """Return mutants of structures.

    Parameters
    ----------
    structures : sequence of Structure
        Ordered structures of one or more elements, which are the parents.
    elements : sequence of str
        Symbols of the chemical system.
    sample_weights : ndarray of float
        Probability of each parent, shape (n,).
    count : int
        Number of draws. If an operation is not possible for a parent, one structure less is returned.
    seed : int
        Random seed.
    """
    generator = np.random.default_rng(seed)
    found = []
    for parent in generator.choice(len(structures), size=count, p=sample_weights):
        cell = _doubled(structures[parent], generator)
        operation = _MUTATIONS[int(generator.choice(len(_MUTATIONS)))]
        structure = _OPERATIONS[operation](cell, elements, generator)
        if structure is not None:
            found.append(Mutant(structure, int(parent), operation))
    return found


def _doubled(structure: Structure, generator: np.random.Generator) -> Structure:
    """Return the structure or twice its cell along one axis, with equal probability if the double cell is within the codec's limits."""
    scalings = [tuple(1 + (axis == other) for other in range(3)) for axis in range(3)]
    cells = [
        structure.make_supercell(scaling, in_place=False) for scaling in scalings if 2 * len(structure) <= MAX_SITES
    ]
    cells = [cell for cell in cells if fits_limits(cell, MAX_SITES, MAX_CODEC_LENGTH)]
    if not cells or generator.random() < 0.5:  # noqa: PLR2004 - as often
        return structure.copy()
    return cells[int(generator.integers(len(cells)))]


def _swap(structure: Structure, elements: Sequence[str], generator: np.random.Generator) -> Structure | None:
    """Swap pairs of unlike atoms."""
    del elements
    symbols = [site.specie.symbol for site in structure]
    kinds = sorted(set(symbols))
    if len(kinds) == 1:
        return None
    for _ in range(int(generator.integers(1, MOST_CHANGED + 1))):
        one, other = generator.choice(kinds, size=2, replace=False)
        i = generator.choice([k for k, symbol in enumerate(symbols) if symbol == one])
        j = generator.choice([k for k, symbol in enumerate(symbols) if symbol == other])
        symbols[i], symbols[j] = symbols[j], symbols[i]
    return Structure(structure.lattice, symbols, structure.frac_coords)


def _transmute(structure: Structure, elements: Sequence[str], generator: np.random.Generator) -> Structure | None:
    """Change atoms of one element into another element, and scale the volume with the covalent radii. Return None if only one element remains."""
    symbols = [site.specie.symbol for site in structure]
    one = str(generator.choice(sorted(set(symbols))))
    other = str(generator.choice([symbol for symbol in elements if symbol != one]))
    sites = [k for k, symbol in enumerate(symbols) if symbol == one]
    for k in generator.permutation(sites)[: int(generator.integers(1, MOST_CHANGED + 1))]:
        symbols[k] = other
    if len(set(symbols)) == 1:
        return None
    replaced = Structure(structure.lattice, symbols, structure.frac_coords)
    # volumes of covalent spheres: the molar volume of a gas does not give the size of its atoms in a crystal
    before, after = (float((covalent_radii(cell) ** 3).sum()) for cell in (structure, replaced))
    replaced.scale_lattice(structure.volume * after / before)
    return replaced


def _slip(structure: Structure, elements: Sequence[str], generator: np.random.Generator) -> Structure | None:
    """Slip the atoms on one side of the widest gap along an axis, parallel to the layer. Return None if no axis has a wide enough gap."""
    del elements
    gaps = [_widest_gap(structure, axis) for axis in range(3)]
    axes = [axis for axis in range(3) if gaps[axis][0] >= LEAST_GAP]
    if not axes:
        return None
    axis = int(generator.choice(axes))
    coordinates = structure.frac_coords.copy()
    coordinates[:, axis] = (coordinates[:, axis] - gaps[axis][1]) % 1.0  # now the gap is at the cell's face
    slip = np.zeros(3)
    while not slip.any():
        slip = generator.choice(SLIPS, size=3)
        slip[axis] = 0.0
    matrix = structure.lattice.matrix.copy()
    atoms = coordinates @ matrix
    matrix[axis] += slip @ matrix
    return Structure(Lattice(matrix), structure.species, atoms, coords_are_cartesian=True, to_unit_cell=True)


def _widest_gap(structure: Structure, axis: int) -> tuple[float, float]:
    """Return the width (Å) of the widest slab between lattice planes without an atom's centre, and its middle (fractional)."""
    heights = np.sort(structure.frac_coords[:, axis] % 1.0)
    gaps = np.diff(heights, append=heights[0] + 1.0)
    widest = int(np.argmax(gaps))
    spacing = structure.lattice.volume / np.linalg.norm(np.cross(*np.delete(structure.lattice.matrix, axis, axis=0)))
    return float(gaps[widest] * spacing), float(heights[widest] + gaps[widest] / 2)


_OPERATIONS: dict[Operation, Callable[[Structure, Sequence[str], np.random.Generator], Structure | None]] = {
    "swap": _swap,
    "transmute": _transmute,
    "slip": _slip,
}
_MUTATIONS = tuple(_OPERATIONS)
