"""Space groups of relaxed structures."""

from __future__ import annotations

from pymatgen.core import Structure

SYMPREC = 0.1  # Å, for relaxed structures, as the Materials Project uses


def space_group(structure: Structure) -> str:
    """Return the Hermann-Mauguin symbol. If spglib finds no symmetry, return P1, which every crystal has."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    try:
        return str(SpacegroupAnalyzer(structure, symprec=SYMPREC).get_space_group_symbol())
    except SymmetryUndeterminedError:
        return "P1"
