"""What a second method says of a hull: its own hull of the same phases, and which of them it turns into something else. It relaxes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ccdcgan_al.errors import HullError
from ccdcgan_al.hull.hull import Hull, build_hull
from ccdcgan_al.structures.matching import structure_matcher
from ccdcgan_al.types import Phase

ELSEWHERE = "relaxes into another structure"
CONFIRM_WITHIN = {"generated": 0.05, "seed": 0.005, "reference": 0.05}
"""Energy above hull (eV/atom), by origin, up to which a phase is relaxed by the confirming method."""


def phases_to_confirm(hull: Hull, at_most: int) -> list[Phase]:
    """Return the phases that a second method has to relax: the lowest first to be chosen, then in order of structure_id.

    Parameters
    ----------
    hull : Hull
        Hull of the first method.
    at_most : int
        Largest number of phases.

    Returns
    -------
    list of Phase
        One of each group of duplicates, within `CONFIRM_WITHIN` of the hull.
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
        Of the first method.
    confirmed : sequence of Phase
        Phases of it, relaxed by the second method, with the same structure_id.

    Raises
    ------
    HullError
        There is none, or a phase on the first hull is not among them, nor another of its kind: energies above a hull
        without it would be too low.
    """
    if not confirmed:
        raise HullError("no phase was relaxed by the confirming method")
    alike = confirmed[0].method.functional == hull.method.functional  # then one zero for both
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
    """Return the ids of the phases that the second method relaxed into another structure: the energy is not that phase's."""
    matcher, first = structure_matcher(), {phase.structure_id: phase.structure for phase in hull.phases}
    return {
        phase.structure_id
        for phase in confirming.phases
        if phase.structure_id in first and not matcher.fit(first[phase.structure_id], phase.structure)
    }
