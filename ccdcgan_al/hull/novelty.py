"""Which phases near a hull nobody put in, and what speaks against them: the definition of a new phase. It builds no hull and relaxes nothing."""

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
    """Return the generated phases that nobody put in, on the hull or close to it, each with what speaks against it.

    Parameters
    ----------
    hull : Hull
        With the generated phases in it.
    known : sequence of Structure
        Structures that are no discovery, beside the hull's own references and seeds: unrelaxed seeds, training set;
        matched by structure, not by formula.
    within : float, default 0.0
        Largest energy above the uncorrected hull (eV/atom), with the hull's element references and with the method's
        own elements.
    unstable : mapping of str to str or None, optional
        structure_id -> reason, of phases that a second relaxation from a small distortion did not give back; None of
        those that it did.

    Returns
    -------
    list of (HullEntry, reason or None)
        The lowest of each group of matching structures, none of a group that holds a reference or a seed, none that is
        on a hull through the corrections only, none that the method's own elements put farther away than `within`. A phase on the
        hull with the method's own elements alone keeps the place that the hull's references give it: above the hull. Lowest
        energy above hull first. The reason is that of
        `ccdcgan_al.hull.validity.find_problem`, or of `unstable`.
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
    """Return those of `claimed_phases` that nothing speaks against."""
    return [entry for entry, problem in claimed_phases(hull, known, within, unstable) if problem is None]
