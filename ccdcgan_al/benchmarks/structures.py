"""Structures that a codec is judged on: none of them may train one. It judges nothing itself."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pymatgen.core import Structure

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.choose import MAX_SEED_LENGTH, MAX_SITES

HELD_OUT_OF = 6  # one in six identifiers is held out
_LARGEST_CELL = 4 * MAX_SITES  # sites of a conventional cell: no centring has more than four primitive ones


def is_held_out(material_id: str) -> bool:
    """Whether the structure of this identifier judges codecs and so must never train one: sha256 modulo 6 is 0."""
    return int(hashlib.sha256(material_id.encode()).hexdigest(), 16) % HELD_OUT_OF == 0


def read_table(path: Path, *, held_out: bool) -> Iterator[tuple[str, Structure]]:
    """Structures of a table, within the published limits (20 sites, 10 Å a cell vector).

    Parameters
    ----------
    path : Path
        Csv, gzipped or not, with columns `material_id` and `cif`.
    held_out : bool
        The part that judges codecs (True) or the rest, which may train them (False).

    Yields
    ------
    tuple of (str, Structure)
        Identifier and structure, in the order of the identifiers.

    Raises
    ------
    StructureInputError
        No such file, or one without the two columns.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, usecols=["material_id", "cif"], dtype=str)
    except (OSError, ValueError, EOFError) as error:
        raise StructureInputError(
            f"{path} is no table of structures: {error}; wanted columns material_id and cif"
        ) from None
    for material_id, cif in sorted(zip(table["material_id"], table["cif"], strict=True)):
        if is_held_out(material_id) != held_out:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_str(cif, fmt="cif")
        if len(structure) <= MAX_SITES and max(structure.lattice.abc) <= MAX_SEED_LENGTH:
            yield material_id, structure


@cache
def prototypes() -> tuple[tuple[str, Structure], ...]:
    """AFLOW prototypes of two or more elements as they are, within the published limits: what is at hand without any file.

    Returns
    -------
    tuple of tuple of (str, Structure)
        Label and Niggli-reduced primitive cell, in the order of pymatgen's library.
    """
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    found = []
    for number, entry in enumerate(AFLOW_PROTOTYPE_LIBRARY):
        structure = entry["snl"].structure
        if structure.is_ordered and len(structure.composition) > 1 and len(structure) <= _LARGEST_CELL:
            primitive = structure.get_primitive_structure().get_reduced_structure("niggli")
            if len(primitive) <= MAX_SITES and max(primitive.lattice.abc) <= MAX_SEED_LENGTH:
                found.append((f"{entry['tags']['aflow']} {number}", primitive))
    return tuple(found)
