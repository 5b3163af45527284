"""What a crystal that was read from a file must be before anything is done with it. It reads no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.strategies.selection import MIN_DISTANCE, MIN_VOLUME

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_RAW_SITES = 1000  # of a cell as a file gives it, before it is reduced


@dataclass(frozen=True)
class ReadCrystal:
    """A crystal of a file.

    Attributes
    ----------
    structure : Structure
        As the file gives it.
    block : str, default ""
        Name of the data block, or number of the frame; empty where the file has one.
    repairs : tuple of str, optional
        What was put right or assumed, a few words each.
    """

    structure: Structure
    block: str = ""
    repairs: tuple[str, ...] = ()


def check_crystal(structure: Structure) -> None:
    """Raise StructureInputError with what is wrong, in the words that follow a file's name.

    Parameters
    ----------
    structure : Structure
        Ordered, of real elements, with finite coordinates and a volume, of at most `MAX_RAW_SITES` sites, no two of
        them (periodic images counted) nearer than the 0.5 Å of `selection.is_valid`.
    """
    if not structure.is_ordered:
        raise StructureInputError("disordered (partial occupancies); wanted an ordered structure")
    foreign = sorted({site.species_string for site in structure if not isinstance(_element(site.specie), Element)})
    if foreign:
        raise StructureInputError(f"holds {', '.join(foreign)}, which is no element; write element symbols")
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise StructureInputError("cell or coordinates that are not finite numbers; correct them")
    if structure.volume < MIN_VOLUME or min(structure.lattice.abc) < MIN_DISTANCE:
        raise StructureInputError(f"a cell of {structure.volume:.3g} Å^3, no volume for a crystal; correct the cell")
    if len(structure) > MAX_RAW_SITES:
        raise StructureInputError(
            f"{len(structure)} sites in its cell; at most {MAX_RAW_SITES} are reduced; give its primitive cell"
        )
    if pair := overlap(structure):
        first, other, distance = pair
        raise StructureInputError(
            f"two atoms {distance:.2f} Å apart ({first} and {other}); give each atom once, with coordinates of four decimals or more"
        )


def overlap(structure: Structure) -> tuple[str, str, float] | None:
    """Return the labels and the distance (Å) of the two nearest atoms where that is below 0.5 Å; None elsewhere."""
    first, other, _, distances = structure.get_neighbor_list(MIN_DISTANCE, exclude_self=True)
    if not len(distances):
        return None
    nearest = int(np.argmin(distances))
    pair = sorted((int(first[nearest]), int(other[nearest])))
    return *(f"{structure[k].label}, number {k + 1}" for k in pair), float(distances[nearest])  # type: ignore[return-value]


def _element(specie: object) -> object:
    return getattr(specie, "element", specie)
