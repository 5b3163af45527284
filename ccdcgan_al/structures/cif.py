"""CIF text of a crystal, with its symmetry, that can be read back as the same crystal. This module writes no file."""

from __future__ import annotations

import warnings

from pymatgen.core import Structure

from ccdcgan_al.structures.matching import structure_matcher
from ccdcgan_al.structures.symmetry import SYMPREC

TOLERANCES = (SYMPREC, 0.01)  # Å, tried in this order
DENSITY_CHANGE = 0.02  # largest relative change of the volume per atom when a symmetry is made exact


def cif_text(structure: Structure) -> str:
    """Return CIF text with the symmetry of the structure at 0.1 Å or 0.01 Å. If neither text gives the crystal back, use no symmetry.

    pymatgen writes one site per orbit and the operations of spglib. If the symmetry is only approximate, the two may not fit, and the text
    then holds more atoms than the structure. Of 1,685 relaxed Bi-Se crystals, 21 were written with another formula or density at 0.1 Å.
    """
    from pymatgen.io.cif import CifWriter
    from pymatgen.symmetry.analyzer import SymmetryUndeterminedError

    for tolerance in TOLERANCES:
        try:
            text = str(CifWriter(structure, symprec=tolerance))
        except SymmetryUndeterminedError:
            continue
        if _is_of(text, structure):
            return text
    return str(CifWriter(structure))


def _is_of(text: str, structure: Structure) -> bool:
    """Return whether CIF text gives the crystal back: its composition, density and structure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's reader warns when it rounds
        try:
            read = Structure.from_str(text, fmt="cif")
        except ValueError:
            return False
    change = (read.volume / len(read)) / (structure.volume / len(structure)) - 1
    same = read.composition.reduced_composition == structure.composition.reduced_composition
    return same and abs(change) <= DENSITY_CHANGE and bool(structure_matcher().fit(structure, read))
