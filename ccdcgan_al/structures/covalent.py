"""Interatomic distances divided by the sums of covalent radii. This module sets no limits. Its callers decide which ratios are acceptable."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ccdcgan_al.types import FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Structure


REACH = 5.0  # Å; two atoms of Cs touch at 4.88 Å, and only Fr is larger
BEYOND_TABLE = 1.7  # Å, radius of the elements after Cm (1.69 Å), where the table ends


@lru_cache(maxsize=1)
def _table() -> FloatArray:
    """Return the covalent radii (Å) by atomic number, shape (119,). The first is NaN.

    The source is Cordero et al., Dalton Trans. 2008, 2832, as shipped by pymatgen. C is sp2. Mn, Fe and Co lie between their spin states.
    """
    from pymatgen.core import Element
    from pymatgen.core.molecule_structure_comparator import CovalentRadius

    symbols = [Element.from_Z(number).symbol for number in range(1, 119)]
    return np.array([np.nan, *(CovalentRadius.radius.get(symbol, BEYOND_TABLE) for symbol in symbols)])


def covalent_radii(structure: Structure) -> FloatArray:
    """Return the covalent radius of each atom (Å), shape (n_atoms,)."""
    return _table()[list(structure.atomic_numbers)]


def nearest_ratios(structure: Structure, reach: float = REACH) -> FloatArray:
    """Return for each atom the smallest ratio of a distance (with periodic images) to the sum of the two covalent radii.

    Parameters
    ----------
    structure : Structure
        Ordered periodic structure.
    reach : float, default REACH
        Largest distance to search (Å).

    Returns
    -------
    ndarray of float, shape (n_atoms,)
        Ratios. Inf if no atom is within reach.
    """
    radii = covalent_radii(structure)
    first, second, _, distances = structure.get_neighbor_list(reach)
    nearest = np.full(len(structure), np.inf)
    np.minimum.at(nearest, first, distances / (radii[first] + radii[second]))
    return nearest


def covalent_ratio(structure: Structure) -> float:
    """Return the smallest of `nearest_ratios`. Inf if no atom is within 5 Å."""
    return float(nearest_ratios(structure).min())
