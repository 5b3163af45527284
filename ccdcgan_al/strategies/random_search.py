"""Strategy `random`: random symmetric crystals. It is a baseline that a generator has to beat. It relaxes and ranks nothing.

pyxtal draws the structures (Fredericks et al., Comput. Phys. Commun. 261, 107810 (2021), doi 10.1016/j.cpc.2020.107810): first
a composition, then a space group, then Wyckoff positions that fit, then coordinates.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from ccdcgan_al.seeds.choose import MAX_SEED_LENGTH, MAX_SITES, scale_to_predicted_volume
from ccdcgan_al.strategies.proposals import Proposals, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

TRIES_PER_STRUCTURE = 50
_VOLUME_CHANGE = (0.5, 1.5)  # limits of the predictor's change to pyxtal's volume, from its authors
_PLACEMENTS = 3  # pyxtal's attempts to place the atoms of one draw


def propose(request: Request) -> Proposals:
    """Propose random symmetric crystals."""
    structures = random_structures(request.elements, request.count, request.seed)
    missing = request.count - len(structures)
    return Proposals(structures, generated=request.count, failures={"not_drawn": missing})


def random_structures(
    elements: Sequence[str], n: int, seed: int, max_sites: int = MAX_SITES, seconds: float | None = None
) -> list[Structure]:
    """Return random symmetric crystals that contain all of the elements.

    Parameters
    ----------
    elements : sequence of str
        Element symbols.
    n : int
        Number of structures.
    seed : int
        Random seed. The same seed gives the same list if the time is sufficient.
    max_sites : int, default MAX_SITES
        Maximum number of sites in the primitive cell, and of atoms in one formula unit.
    seconds : float, optional
        Time limit (s), after which the structures found so far are returned. The default is 10 s + 5 s per structure, far
        above the usual time.

    Returns
    -------
    list of Structure
        Niggli-reduced primitive cells, lattice lengths <= 10 Å, at predicted volumes. There are fewer than `n` if the time
        or the 50 attempts per structure run out.

    Raises
    ------
    ValueError
        If `max_sites` is smaller than the number of elements.
    """
    if max_sites < len(elements):
        raise ValueError(f"max_sites must be at least {len(elements)}, one site an element; got {max_sites}")
    generator = np.random.default_rng(seed)
    limit = time.monotonic() + (seconds if seconds is not None else 10 + 5 * n)
    found: list[Structure] = []
    for _ in range(TRIES_PER_STRUCTURE * n):
        if len(found) >= n or time.monotonic() > limit:
            break
        structure = _draw(elements, max_sites, generator)
        if structure is not None:
            found.append(structure)
    return found


def _draw(elements: Sequence[str], max_sites: int, generator: np.random.Generator) -> Structure | None:
    """Return one random crystal. Return None if pyxtal finds none for the draw, or if the cell is too large."""
    from pyxtal import pyxtal
    from pyxtal.msg import Comp_CompatibilityError, VolumeError
    from pyxtal.symmetry import Group

    size = int(generator.integers(len(elements), max_sites + 1))
    counts = 1 + generator.multinomial(size - len(elements), generator.dirichlet(np.ones(len(elements))))
    group = Group(int(generator.integers(2, 231)), quick=False)
    own = np.random.default_rng(int(generator.integers(2**32)))
    crystal = pyxtal()
    try:
        crystal.from_random(
            3, group, list(elements), counts.tolist(), conventional=False, max_count=_PLACEMENTS, random_state=own
        )
        drawn = crystal.to_pymatgen() if crystal.valid else None
    except (Comp_CompatibilityError, VolumeError, ValueError, IndexError, RuntimeError):
        return None  # the composition does not fit the group's positions, or the atoms do not fit the cell
    if drawn is None:
        return None
    scaled = scale_to_predicted_volume(drawn)
    if scaled is None:
        return None
    least, most = _VOLUME_CHANGE
    scaled.scale_lattice(float(np.clip(scaled.volume, least * drawn.volume, most * drawn.volume)))
    primitive = scaled.get_primitive_structure().get_reduced_structure("niggli")
    too_large = len(primitive) > max_sites or max(primitive.lattice.abc) > MAX_SEED_LENGTH
    return None if too_large or not math.isfinite(primitive.volume) else primitive
