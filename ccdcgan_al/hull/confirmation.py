"""The check of a hull by a second method: which phases it relaxes, its own hull, and which phases change structure. This module relaxes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ccdcgan_al.errors import HullError
from ccdcgan_al.hull.hull import Hull, build_hull
from ccdcgan_al.structures.matching import structure_matcher
from ccdcgan_al.types import Phase

ELSEWHERE = "relaxes into another structure"
CONFIRM_WITHIN = {"generated": 0.05, "seed": 0.005, "reference": 0.05}
"""Highest energy above hull (eV/atom), by origin, of the phases that the confirming method relaxes."""


def phases_to_confirm(hull: Hull, at_most: int) -> list[Phase]:
    """Return the phases that a second method has to relax, in order of structure_id. The lowest phases are chosen first.

    Parameters
    ----------
    hull : Hull
        Hull of the first method.
    at_most : int
        Largest number of phases.

    Returns
    -------
    list of Phase
        One phase of each group of duplicates, within `CONFIRM_WITHIN` of the hull.
    """
    near = sorted(
        hull.unique_entries(max(CONFIRM_WITHIN.values())),
        key=lambda entry: (entry.energy_above_hull, entry.structure_id),
    )
    wanted = [entry.structure_id for entry in near if entry.energy_above_hull <= CONFIRM_WITHIN[entry.origin]]
    chosen = set(wanted[:at_most])
    return [phase for phase in hull.phases if phase.structure_id in chosen]


def confirming_hull(hull: Hull, confirmed: Sequence[Phase]) -> Hull:
    """Return the hull of a second method.

    Parameters
    ----------
    hull : Hull
        Hull of the first method.
    confirmed : sequence of Phase
        Phases of the first hull, relaxed by the second method, with the same structure_id.

    Raises
    ------
    HullError
        If `confirmed` is empty, or if it lacks a phase on the first hull and all copies of that phase. Without the phase,
        energies above the second hull would be too low.
    """
    if not confirmed:
        raise HullError("no phase was relaxed by the confirming method")
    alike = confirmed[0].method.functional == hull.method.functional  # then both hulls have the same zero
    found = build_hull(confirmed, hull.elements, hull.element_references if alike else None)
    there = {phase.structure_id for phase in found.phases}
    lacking = [f"{entry.formula} ({entry.structure_id})" for entry, group in hull.on_hull() if not there & set(group)]
    if lacking:
        raise HullError(
            f"{found.method.name} has no energy of {', '.join(lacking)}, on the hull of {hull.method.name}: "
            "energies above a hull without it would be too low"
        )
    return found


def relaxed_elsewhere(hull: Hull, confirming: Hull) -> set[str]:
    """Return the ids of phases that the second method relaxed into another structure. Its energy is not the energy of these phases."""
    matcher, first = structure_matcher(), {phase.structure_id: phase.structure for phase in hull.phases}
    return {
        phase.structure_id
        for phase in confirming.phases
        if phase.structure_id in first and not matcher.fit(first[phase.structure_id], phase.structure)
    }
