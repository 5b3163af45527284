"""Conditions for a reference entry to share a hull with others: functional, U values, POTCARs, energy and name. This module stores nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ccdcgan_al.errors import HullError, StructureInputError
from ccdcgan_al.hull.corrections import mp2020_correction_per_atom, mp_hubbard_u, mp_potcar_symbols
from ccdcgan_al.structures.matching import structure_matcher

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry

MATERIALS_PROJECT, FILE = "materials_project", "file"
SAME_ENERGY = 1e-6  # eV/atom, tolerance for two copies of one entry
_FUNCTIONALS = {"GGA": "PBE", "PBE": "PBE", "GGA+U": "PBE+U", "PBE+U": "PBE+U", "R2SCAN": "r2SCAN"}
FAMILIES = {"PBE": ("PBE", "PBE+U"), "r2SCAN": ("r2SCAN",)}  # functional of a method -> functionals of its references


def check_entries(entries: Sequence[ComputedStructureEntry]) -> None:
    """Raise StructureInputError if an entry cannot be a phase of a hull, or if two phases in a family of functionals have the same entry_id."""
    first: dict[tuple[str, str], ComputedStructureEntry] = {}
    for entry in entries:
        if not (math.isfinite(entry.uncorrected_energy) and math.isfinite(entry.correction)):
            raise StructureInputError(
                f"{named(entry)} has an energy that is not finite; wanted eV as a number; correct it or leave the entry out"
            )
        lattice, positions = entry.structure.lattice.matrix, entry.structure.frac_coords
        if not (entry.structure.is_ordered and math.isfinite(lattice.sum() + positions.sum())):
            raise StructureInputError(
                f"{named(entry)} is disordered, or has coordinates that are not finite; wanted an ordered structure; "
                "correct it or leave the entry out"
            )
        before = first.setdefault((family_of(functional_of(entry)), str(entry.entry_id)), entry)
        if not same_phase(before, entry):
            raise StructureInputError(
                f"{named(before)} and {named(entry)} are different phases with one entry_id; give each a name of its own"
            )


def same_phase(one: ComputedStructureEntry, other: ComputedStructureEntry) -> bool:
    """Return whether two entries are the same: energies within 1e-6 eV/atom, and structures that match."""
    if one is other:
        return True
    energies = [entry.uncorrected_energy / len(entry.structure) for entry in (one, other)]
    return abs(energies[0] - energies[1]) <= SAME_ENERGY and same_crystal(one.structure, other.structure)


def family_of(functional: str) -> str:
    """Return the functional whose hull takes these entries: PBE for PBE+U."""
    return next((family for family, members in FAMILIES.items() if functional in members), functional)


def named(entry: ComputedStructureEntry) -> str:
    """Return the description of an entry for a message: id, formula, sites and energy."""
    formula, sites = entry.composition.element_composition.reduced_formula, len(entry.structure)
    return f"entry {entry.entry_id} ({formula}, {sites} sites, {entry.uncorrected_energy / sites:.6g} eV/atom)"


def bare(structure: Structure) -> Structure:
    """Return a copy without oxidation states, because a phase does not depend on them."""
    return structure.copy().remove_oxidation_states()


def same_crystal(one: Structure, other: Structure) -> bool:
    """Return whether two structures match, without oxidation states."""
    return bool(structure_matcher().fit(bare(one), bare(other)))


def functional_of(entry: ComputedStructureEntry) -> str:
    """Return the functional of an entry from its run type: PBE, PBE+U or r2SCAN."""
    run_type = str(getattr(entry.parameters.get("run_type"), "value", entry.parameters.get("run_type")))
    if entry.entry_id is None or run_type.upper() not in _FUNCTIONALS:
        raise StructureInputError(
            f"entry {entry.entry_id} ({entry.composition.reduced_formula}) has the run type {run_type}; wanted an entry_id "
            "and parameters['run_type'] of GGA, GGA+U or r2SCAN"
        )
    return _FUNCTIONALS[run_type.upper()]


def fitting_correction(entry: ComputedStructureEntry, source: str) -> float | None:
    """Return the MP2020 correction (eV/atom) of a PBE or PBE + U entry from its own parameters. Return None for r2SCAN, which has none.

    An entry from a file must name its POTCARs. An entry from the Materials Project need not name them, because the Materials Project
    chose them itself. Then only U values and run type are checked.

    Raises
    ------
    StructureInputError
        If U values, POTCARs or run type differ from those that the Materials Project, and so the method ``vasp``, uses
        for this composition.
    """
    functional = functional_of(entry)
    if functional not in FAMILIES["PBE"]:
        return None
    hubbard_u, potcar = _hubbard_u(entry), _potcar(entry)
    run_type = functional.replace("PBE", "GGA")  # the scheme's name for it
    problem = "" if potcar or source != FILE else "an entry of a file has to name its POTCARs"
    if not problem:
        try:
            return mp2020_correction_per_atom(
                bare(entry.structure), hubbard_u=hubbard_u, run_type=run_type, potcar=potcar or None
            )
        except HullError as error:
            problem = str(error).partition(": ")[2].partition(";")[0]
    structure = bare(entry.structure)
    wanted_u, wanted_potcar = mp_hubbard_u(structure), mp_potcar_symbols(structure)
    raise StructureInputError(
        f"entry {entry.entry_id} ({entry.composition.reduced_formula}) cannot share a hull with the Materials Project's "
        f"settings: it has run type {run_type}, {_told(hubbard_u, [title.split()[1] for title in potcar])}; wanted run type "
        f"{'GGA+U' if wanted_u else 'GGA'}, {_told(wanted_u, wanted_potcar)} ({problem})"
    )


def _hubbard_u(entry: ComputedStructureEntry) -> dict[str, float]:
    """Return the U values (eV) of an entry that are not 0, by symbol."""
    found = entry.parameters.get("hubbards") or {}
    try:
        return {str(symbol): float(value) for symbol, value in found.items() if value}
    except (AttributeError, TypeError, ValueError):
        raise StructureInputError(
            f"entry {entry.entry_id} has the hubbards {str(found)[:80]}; wanted U (eV) by symbol, e.g. {{'V': 3.25}}"
        ) from None


def _potcar(entry: ComputedStructureEntry) -> list[str]:
    """Return the TITELs of an entry's POTCARs, from `potcar_spec` or `potcar_symbols`. Empty if it names none."""
    specs, symbols = entry.parameters.get("potcar_spec") or [], entry.parameters.get("potcar_symbols") or []
    try:
        titles = [str(title) for title in [_titel(spec) for spec in specs if spec] or symbols if title]
    except (AttributeError, KeyError, TypeError):
        raise StructureInputError(
            f"entry {entry.entry_id} has the potcar_spec {str(specs)[:80]}; wanted a list of {{'titel': 'PAW_PBE V_pv ...'}}"
        ) from None
    return [title if len(title.split()) > 1 else f"PAW_PBE {title}" for title in titles]


def _titel(spec: Any) -> Any:
    """Return the TITEL from a POTCAR's description, which is a dictionary or mp-api's object of emmet."""
    return spec["titel"] if isinstance(spec, dict) else spec.titel


def _told(hubbard_u: dict[str, float], potcar: Sequence[str]) -> str:
    values = ", ".join(f"{symbol} {value:g}" for symbol, value in hubbard_u.items())
    return f"U {values or 'none'}, POTCARs {', '.join(potcar) or 'none'}"
