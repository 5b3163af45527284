"""The definition of a new phase: a phase near a hull that was not put in, and its known problems. This module builds no hull and relaxes nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ccdcgan_al.hull.hull import ON_HULL
from ccdcgan_al.hull.validity import find_problem
from ccdcgan_al.structures.matching import structure_matcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from ccdcgan_al.hull.hull import Hull
    from ccdcgan_al.types import HullEntry


def claimed_phases(
    hull: Hull, known: Sequence[Structure], within: float = 0.0, unstable: Mapping[str, str | None] | None = None
) -> list[tuple[HullEntry, str | None]]:
    """Return the generated phases on or near the hull that match nothing put in, each with its known problem.

    Parameters
    ----------
    hull : Hull
        Hull that includes the generated phases.
    known : sequence of Structure
        Structures that are no discovery, besides the hull's own references and seeds: unrelaxed seeds and the training set.
        They are matched by structure, not by formula.
    within : float, default 0.0
        Largest energy above the uncorrected hull (eV/atom). It applies with the hull's element references and also with
        the method's own elements.
    unstable : mapping of str to str or None, optional
        structure_id -> result of a second relaxation from a small distortion. The value is a reason if the relaxation did
        not return to the phase, and None if it did.

    Returns
    -------
    list of (HullEntry, reason or None)
        Entries and their problems, lowest energy above hull first. There is one entry for each group of matching
        structures: the lowest. These groups and phases are left out: groups with a reference or a seed, phases that
        only the corrections put on a hull, and phases that are farther than `within` from the hull with the method's own elements.
        A phase that is on the hull only with the method's own elements keeps its place above the hull with the hull's references.
        The problem comes from `ccdcgan_al.hull.validity.find_problem` or from `unstable`. None means no known problem.
    """
    matcher = structure_matcher()
    same: dict[str, list[Structure]] = defaultdict(list)
    for structure in [*known, *(phase.structure for phase in hull.phases if phase.origin != "generated")]:
        same[structure.composition.element_composition.reduced_formula].append(structure)
    found = []
    for group in hull.groups(within):
        entry, structure = hull.entries[group[0]], hull.phases[group[0]].structure
        own = entry.own_elements_energy_above_hull
        highest = max(entry.energy_above_hull, entry.energy_above_hull if own is None else own)
        on_one_hull_only = entry.element_driven and entry.energy_above_hull <= ON_HULL
        if highest > within + ON_HULL or entry.correction_driven or on_one_hull_only:
            continue
        if any(hull.phases[number].origin != "generated" for number in group):
            continue
        if not any(matcher.fit(other, structure) for other in same[entry.formula]):
            found.append((entry, find_problem(structure, hull.elements) or (unstable or {}).get(entry.structure_id)))
    return sorted(found, key=lambda claim: (claim[0].energy_above_hull, claim[0].structure_id))


def new_phases(
    hull: Hull, known: Sequence[Structure], within: float = 0.0, unstable: Mapping[str, str | None] | None = None
) -> list[HullEntry]:
    """Return the phases of `claimed_phases` that have no known problem."""
    return [entry for entry, problem in claimed_phases(hull, known, within, unstable) if problem is None]
