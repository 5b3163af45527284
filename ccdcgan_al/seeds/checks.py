"""Check a crystal that was read from a file before it is used. It reads no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.strategies.selection import MIN_DISTANCE, MIN_VOLUME

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_RAW_SITES = 1000  # sites of a cell in a file, before the reduction


@dataclass(frozen=True)
class ReadCrystal:
    """A crystal of a file.

    Attributes
    ----------
    structure : Structure
        Structure as in the file.
    block : str, default ""
        Name of the data block, or number of the frame. Empty if the file has only one.
    repairs : tuple of str, optional
        Short notes on what was corrected or assumed.
    """

    structure: Structure
    block: str = ""
    repairs: tuple[str, ...] = ()


def check_crystal(structure: Structure) -> None:
    """Check a crystal. The error message is written so that it can follow the name of a file.

    Parameters
    ----------
    structure : Structure
        Ordered structure of real elements with finite coordinates, a volume, and at most `MAX_RAW_SITES` sites. The
        distance of two sites (with periodic images) must be at least the 0.5 Å of `selection.is_valid`.

    Raises
    ------
    StructureInputError
        The structure does not meet one of these conditions.
    """
    if not structure.is_ordered:
        raise StructureInputError("the structure is disordered (partial occupancies); give an ordered structure")
    foreign = sorted({site.species_string for site in structure if not isinstance(_element(site.specie), Element)})
    if foreign:
        raise StructureInputError(f"{', '.join(foreign)} is not an element; write element symbols")
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise StructureInputError("the cell or the coordinates are not finite numbers; correct them")
    if structure.volume < MIN_VOLUME or min(structure.lattice.abc) < MIN_DISTANCE:
        raise StructureInputError(
            f"the cell of {structure.volume:.3g} Å^3 is too small or too flat for a crystal; correct the cell"
        )
    if len(structure) > MAX_RAW_SITES:
        raise StructureInputError(
            f"the cell has {len(structure)} sites; the limit is {MAX_RAW_SITES}; give the primitive cell"
        )
    if pair := overlap(structure):
        first, other, distance = pair
        raise StructureInputError(
            f"two atoms are {distance:.2f} Å apart ({first} and {other}); give each atom once, with coordinates of four decimals or more"
        )


def overlap(structure: Structure) -> tuple[str, str, float] | None:
    """Return the labels and the distance (Å) of the two nearest atoms if they are closer than 0.5 Å, otherwise None."""
    first, other, _, distances = structure.get_neighbor_list(MIN_DISTANCE, exclude_self=True)
    if not len(distances):
        return None
    nearest = int(np.argmin(distances))
    pair = sorted((int(first[nearest]), int(other[nearest])))
    return *(f"{structure[k].label}, number {k + 1}" for k in pair), float(distances[nearest])  # type: ignore[return-value]


def _element(specie: object) -> object:
    return getattr(specie, "element", specie)
