"""Strategy `perturbation`: distorted copies of known structures. It is a baseline that a generator has to beat. It relaxes and ranks nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure

from ccdcgan_al.errors import TooFewExamplesError
from ccdcgan_al.seeds.choose import MAX_SEED_LENGTH, fits_limits
from ccdcgan_al.strategies.proposals import Proposals, Request

STRAIN = 0.08  # standard deviation of each component of the symmetric strain
DISPLACEMENT = (
    0.2,
    1.2,
)  # Å; all atoms of a copy move by one distance, drawn from this range, each in its own random direction
MAX_PERTURBED_SITES = 20


def propose(request: Request) -> Proposals:
    """Propose distorted copies of relaxed seeds.

    Raises
    ------
    TooFewExamplesError
        If no relaxed seed is a compound within the size limits.
    """
    seeds = [example.relaxed for example in request.examples if example.origin == "seed"]
    return Proposals(perturbed_structures(seeds, request.count, request.seed), generated=request.count)


def perturbed_structures(structures: Sequence[Structure], count: int, seed: int) -> list[Structure]:
    """Return distorted copies. For each copy a structure is drawn, its cell is strained at constant volume, and its atoms are moved.

    Parameters
    ----------
    structures : sequence of Structure
        Structures to choose from. Structures of one element, or beyond the size limits, are left out.
    count : int
        Number of copies.
    seed : int
        Random seed.

    Raises
    ------
    TooFewExamplesError
        If no structure of two or more elements is within the size limits.
    """
    known = [s for s in structures if len(s.composition) > 1 and fits_limits(s, MAX_PERTURBED_SITES, MAX_SEED_LENGTH)]
    if not known:
        raise TooFewExamplesError(
            f"none of {len(structures)} structures is a compound within {MAX_PERTURBED_SITES} sites and {MAX_SEED_LENGTH:g} Å: "
            "nothing to perturb"
        )
    generator = np.random.default_rng(seed)
    return [_perturbed(known[int(generator.integers(len(known)))], generator) for _ in range(count)]


def _perturbed(structure: Structure, generator: np.random.Generator) -> Structure:
    strain = generator.normal(0.0, STRAIN, (3, 3))
    strain = np.eye(3) + (strain + strain.T) / 2
    matrix = structure.lattice.matrix @ (strain / np.cbrt(abs(np.linalg.det(strain))))
    directions = generator.normal(size=(len(structure), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    moved = structure.frac_coords @ matrix + generator.uniform(*DISPLACEMENT) * directions
    return Structure(Lattice(matrix), structure.species, moved, coords_are_cartesian=True, to_unit_cell=True)
