"""The change of a hull in one round: phases that entered, phases pushed off, and the lowering of the hull. This module builds no hull of its own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.hull.hull import ON_HULL

if TYPE_CHECKING:
    from ccdcgan_al.hull.hull import Hull

GRID_STEPS = {2: 100, 3: 20, 4: 10}  # intervals of the composition grid, by number of elements; 5 for more elements


@dataclass(frozen=True)
class HullChanges:
    """The difference between the uncorrected hull after a round and the one before it.

    Attributes
    ----------
    entered : dict of str to str
        structure_id -> formula of the phases on the hull that have no copy on the earlier hull.
    pushed_off : dict of str to str
        structure_id -> formula of the phases that were on the earlier hull and are no longer on the hull.
    largest_lowering : float or None
        Largest decrease of the hull's energy at any composition (eV/atom). None if there was no earlier hull.
    mean_lowering : float or None
        Mean decrease over a regular grid of compositions (eV/atom), in steps of 1 % for a binary and 5 % for a ternary.
    """

    entered: dict[str, str]
    pushed_off: dict[str, str]
    largest_lowering: float | None
    mean_lowering: float | None


def hull_changes(hull: Hull, round_number: int) -> HullChanges:
    """Compare a hull with the hull before a round. The earlier hull leaves out the phases of this round and of later ones.

    Parameters
    ----------
    hull : Hull
        Hull after the round.
    round_number : int
        Number of the round.

    Returns
    -------
    HullChanges
        Changes of the hull. Matching structures count as one phase, so a lower copy of a phase does not push it off. If
        the earlier phases lack an element, there was no hull, and all phases on the hull have entered.
    """
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    energy = {entry.name: entry.energy_per_atom for entry in hull.diagram.all_entries}
    earlier = {phase.structure_id for phase in hull.phases if phase.round_number < round_number}
    now = hull.on_hull()
    elements = {phase.structure.composition for phase in hull.phases if phase.structure_id in earlier}
    if {composition.elements[0].symbol for composition in elements if len(composition) == 1} != set(hull.elements):
        return HullChanges({entry.structure_id: entry.formula for entry, _ in now}, {}, None, None)
    before = PhaseDiagram([entry for entry in hull.diagram.all_entries if entry.name in earlier])
    was_on = {
        entry.name: entry.composition.reduced_formula
        for entry in before.qhull_entries  # the lowest of each composition
        if entry.energy_per_atom - _energy(before, entry.composition) <= ON_HULL
    }
    still = {name for _, ids in now for name in ids}
    # before - now is convex on every facet of the present hull, so the maximum is at a corner
    largest = max(_energy(before, entry.composition) - energy[entry.name] for entry in hull.diagram.stable_entries)
    grid = _compositions(hull.elements)
    mean = float(np.mean([_energy(before, item) - _energy(hull.diagram, item) for item in grid]))
    return HullChanges(
        {entry.structure_id: entry.formula for entry, ids in now if not was_on.keys() & set(ids)},
        {name: formula for name, formula in sorted(was_on.items()) if name not in still},
        _no_less_than_zero(largest),
        _no_less_than_zero(mean),
    )


def _compositions(elements: tuple[str, ...]) -> list[Any]:
    """Return the compositions of a regular grid over the simplex, including the corners."""
    from pymatgen.core import Composition

    steps, size = GRID_STEPS.get(len(elements), 5), len(elements)
    grid = []
    for bars in combinations(range(steps + size - 1), size - 1):  # stars and bars
        edges = np.diff([-1, *bars, steps + size - 1]) - 1
        grid.append(Composition(dict(zip(elements, (edges / steps).tolist(), strict=True))))
    return grid


def _energy(diagram: Any, composition: Any) -> float:
    return float(diagram.get_hull_energy_per_atom(composition))


def _no_less_than_zero(lowering: float) -> float:
    """Return the lowering, or 0 if it is only a rounding error."""
    return float(lowering) if lowering > ON_HULL else 0.0
