"""The convex hull of one chemical system on one energy scale. This module reads no database, relaxes nothing and draws nothing.

The hull that counts has uncorrected energies. For a PBE potential, the Materials Project's energies of the elements are at
its corners (`ccdcgan_al.hull.element_references`). Two more hulls are kept for comparison. The first has MP2020 corrections.
A phase that is only on this hull gets the flag `correction_driven`. The second has the method's own energies of the elements.
A phase that is on only one of the two uncorrected hulls gets the flag `element_driven`. A flagged phase is no discovery.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.errors import HullError, MixedMethodsError
from ccdcgan_al.hull.corrections import mp2020_correction_per_atom
from ccdcgan_al.hull.element_references import (
    ElementReferences,
    deviations,
    energy_of_elements,
    references_of,
    warnings_of,
)
from ccdcgan_al.structures.matching import group_structures
from ccdcgan_al.structures.symmetry import space_group
from ccdcgan_al.types import HullEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pymatgen.core import Composition, Structure

    from ccdcgan_al.types import Method, Phase

ON_HULL = 1e-6  # eV/atom; a phase this close to the hull is on it: the limit allows for rounding
DEGENERATE = (
    0.005  # eV/atom: relaxations stopped at 0.05 eV/Å scatter by this much, so closer phases are not told apart
)
NEAR_HULL, METASTABLE = 0.05, 0.1  # eV/atom, thresholds for counting new phases
SELF_TEST = 1e-3  # eV/atom, tolerance of the self-test of energies above hull
_SCALES = ("uncorrected", "corrected", "own elements'")
_RAW, _CORRECTED, _OWN = range(3)
_NAMED = 5  # maximum number of entries of a kind that an error names
_CORRECTED_FUNCTIONALS = ("PBE", "PBE+U")  # functionals that MP2020 was fitted to


@dataclass(frozen=True)
class Hull:
    """A convex hull and every phase's position relative to it. `build_hull` makes it.

    Attributes
    ----------
    elements : tuple of str
        Symbols of the chemical system.
    method : Method
        How all the energies were obtained.
    phases : tuple of Phase
        The phases, in order of structure_id.
    entries : tuple of HullEntry
        Positions of the phases, in the same order. Each phase is part of the hull, so energies above hull are >= 0.
    diagram : object
        pymatgen PhaseDiagram of uncorrected energies, with the energies of `element_references` at its corners.
    corrected_diagram : object
        The same with MP2020 corrections. None if a phase's correction cannot be computed.
    own_diagram : object
        Uncorrected diagram with the method's own elements. It is `diagram` itself if the references are the method's own.
    element_references : ElementReferences
        Element energies that set the zero, and their source.
    own_elements : dict of str to float
        Energy of the lowest phase of each element, by symbol (eV/atom).
    no_corrections : str, default ""
        Why there is no corrected hull. Empty if there is one.
    """

    elements: tuple[str, ...]
    method: Method
    phases: tuple[Phase, ...]
    entries: tuple[HullEntry, ...]
    diagram: Any
    corrected_diagram: Any
    own_diagram: Any
    element_references: ElementReferences
    own_elements: dict[str, float]
    no_corrections: str = ""

    @cached_property
    def element_deviations(self) -> dict[str, float]:
        """How far the method's elements lie above the Materials Project's, by symbol (eV/atom). Empty for another functional or VASP."""
        comparable = references_of(self.method, self.elements).scheme == "materials_project"
        return deviations(self.own_elements) if comparable else {}

    @cached_property
    def element_warnings(self) -> list[str]:
        """One sentence for each element that differs by more than 30 meV/atom, and one if the elements are not checked."""
        reason = self.element_references.reason
        return [*warnings_of(self.element_deviations, self.method.calculator), *([reason] if reason else [])]

    def energy_above(self, phase: Phase, *, corrected: bool = False, own_elements: bool = False) -> float:
        """Return the energy of a phase above this hull. The hull need not contain the phase.

        Parameters
        ----------
        phase : Phase
            Phase of the hull's method and elements.
        corrected : bool, default False
            Whether to use the hull with MP2020 corrections.
        own_elements : bool, default False
            Whether to use the uncorrected hull with the method's own elements.

        Returns
        -------
        float
            Energy above hull (eV/atom). It is NEGATIVE if the phase would lower the hull.

        Raises
        ------
        MixedMethodsError
            If the phase's energy is of another method.
        HullError
            If the phase has elements that the hull does not have, or if there is no corrected hull but a corrected energy is wanted.
        """
        _one_method([*self.phases[:1], phase])
        composition = _bare(phase.structure)
        _inside(phase, composition, self.elements)
        shifts = _shifts(self.element_references, self.own_elements)
        scale = _CORRECTED if corrected else _OWN if own_elements else _RAW
        diagram = (self.diagram, self.corrected_diagram, self.own_diagram)[scale]
        if diagram is None:
            raise HullError(f"there is no corrected hull: {self.no_corrections}")
        energy = _energies(phase, composition, shifts)[scale]
        if not math.isfinite(energy):
            raise HullError(f"{phase.structure_id} has no MP2020 correction, so no place on the corrected hull")
        return energy - _hull_energy(diagram, composition)

    def formation_energy_at(self, structure: Structure) -> float:
        """Return the formation energy of the hull itself at the composition of a structure, uncorrected (eV/atom)."""
        composition = _bare(structure)
        return _hull_energy(self.diagram, composition) - _elements_energy(self.diagram, composition)

    def unique_entries(self, within: float = math.inf) -> list[HullEntry]:
        """Return one entry of each group of matching structures, in order of structure_id.

        With `within` (eV/atom), generated structures farther above the hull are left out, unless they are flagged.

        The entry is the lowest of the group. If a reference or seed lies within `DEGENERATE` of it, the lowest of those is the
        entry instead: relaxed energies scatter by this much, so a slightly lower generated copy does not replace a known phase.
        """
        return [self.entries[number] for number in sorted(self._representative(group) for group in self.groups(within))]

    def on_hull(self) -> list[tuple[HullEntry, tuple[str, ...]]]:
        """Return one phase on the hull for each group of matching structures, with the ids of all phases of the group."""
        found = []
        for group in self.groups(METASTABLE):
            if self.entries[group[0]].energy_above_hull <= ON_HULL:
                ids = tuple(self.entries[number].structure_id for number in group)
                found.append((self.entries[self._representative(group)], ids))
        return sorted(found, key=lambda item: (item[0].formula, item[0].structure_id))

    def duplicates(self) -> dict[str, str]:
        """Return, by structure_id, the entry of `unique_entries` that represents each other phase within 0.1 eV/atom of the hull."""
        found = {}
        for group in self.groups(METASTABLE):
            own = self._representative(group)
            found.update(
                {self.phases[number].structure_id: self.phases[own].structure_id for number in group if number != own}
            )
        return found

    def _representative(self, group: list[int]) -> int:
        """Return the position of the phase that represents a group of matching phases. The group is sorted by energy."""
        lowest = self.phases[group[0]].energy_per_atom
        known = [
            number
            for number in group
            if self.phases[number].origin != "generated" and self.phases[number].energy_per_atom - lowest <= DEGENERATE
        ]
        return known[0] if known else group[0]

    def groups(self, within: float) -> list[list[int]]:
        """Return the positions of the phases of each group of matching phases, lowest energy first.

        Generated phases farther above the hull than `within` (eV/atom) are left out, unless they are correction-driven or
        element-driven.
        """
        if within not in self._found_groups:
            order = sorted(range(len(self.phases)), key=lambda number: (self.phases[number].energy_per_atom, number))
            compared = [
                number
                for number in order
                if self.entries[number].energy_above_hull <= within + DEGENERATE
                or self.entries[number].correction_driven
                or self.entries[number].element_driven
                or self.entries[number].origin != "generated"
            ]
            groups = group_structures([self.phases[number].structure for number in compared])
            self._found_groups[within] = [[compared[k] for k in group] for group in groups]
        return self._found_groups[within]

    @cached_property
    def _found_groups(self) -> dict[float, list[list[int]]]:
        """Groups found so far, by the `within` that was requested."""
        return {}


def build_hull(
    phases: Sequence[Phase], elements: Sequence[str], element_references: ElementReferences | None = None
) -> Hull:
    """Build the convex hull of phases of one method.

    Parameters
    ----------
    phases : sequence of Phase
        At least one phase of each element. Their energies contain MP2020 corrections if the method says so. These corrections
        are subtracted for the hull that counts.
    elements : sequence of str
        Symbols of the chemical system.
    element_references : ElementReferences, optional
        Element energies that set the zero. The default is `references_of` the method. All phases of an element shift by the
        same energy, which puts the lowest at its reference. Their order does not change.

    Returns
    -------
    Hull
        The hull. If the method's functional is not PBE (or PBE+U), MP2020 does not apply, and corrected and uncorrected
        energies are equal. If a correction cannot be computed, there is no corrected hull, and `no_corrections` states why.
        The uncorrected hull is not affected.

    Raises
    ------
    MixedMethodsError
        If two phases differ in name, calculator, version, functional or corrections of their method, or if the references
        are of another functional.
    HullError
        If there is no phase, an element without a phase, an element outside the system, an element without a reference,
        a repeated structure_id, or an energy that contains a correction which cannot be computed. Also if the hull fails
        its self-test.
    """
    if not phases:
        raise HullError("a hull needs phases, got none; relax at least one structure of each element first")
    ordered = tuple(sorted(phases, key=lambda phase: phase.structure_id))
    _one_method(ordered)
    identifiers = [phase.structure_id for phase in ordered]
    repeated = sorted({first for first, second in pairwise(identifiers) if first == second})
    if repeated:
        raise HullError(f"structure_id must be unique in a hull; repeated: {', '.join(repeated[:_NAMED])}")
    compositions = [_bare(phase.structure) for phase in ordered]
    for phase, composition in zip(ordered, compositions, strict=True):
        _inside(phase, composition, elements)
    references = element_references or references_of(ordered[0].method, elements)
    if references.scheme == "materials_project" and ordered[0].method.functional != "PBE":
        raise MixedMethodsError(
            f"{references} have PBE energies, the phases are of {ordered[0].method}: they share no hull; take the method's own elements"
        )
    ordered, no_corrections = _with_corrections(ordered)
    own = _own_elements(ordered, compositions, elements)
    lacking = [element for element in elements if references.scheme != "own" and element not in references.energies]
    if lacking:
        raise HullError(
            f"{references} have no energy of {', '.join(lacking)}; wanted one of each of {'-'.join(elements)}"
        )
    points = _Points.of(ordered, compositions, elements, _shifts(references, own))
    raw = _diagram(ordered, compositions, points, _RAW)
    corrected = None if no_corrections else _diagram(ordered, compositions, points, _CORRECTED)
    apart = raw if references.scheme == "own" else _diagram(ordered, compositions, points, _OWN)
    diagrams = (raw, corrected, apart)
    entries = _entries(ordered, compositions, points, diagrams)
    hull = Hull(tuple(elements), ordered[0].method, ordered, entries, *diagrams, references, own, no_corrections)
    _self_test(hull, points)
    return hull


def _own_elements(
    phases: Sequence[Phase], compositions: Sequence[Composition], elements: Sequence[str]
) -> dict[str, float]:
    """Return the uncorrected energy of the lowest phase of each element (eV/atom). Raise HullError if an element has none."""
    lowest: dict[str, float] = {}
    for phase, composition in zip(phases, compositions, strict=True):
        if len(composition) == 1:
            symbol = composition.elements[0].symbol
            lowest[symbol] = min(lowest.get(symbol, math.inf), _energies(phase, composition, {})[_RAW])
    missing = [element for element in elements if element not in lowest]
    if missing:
        raise HullError(
            f"no phase of the element {' and '.join(missing)} among {len(phases)} phases; "
            "relax at least one structure of each element"
        )
    return {element: lowest[element] for element in elements}


def _shifts(references: ElementReferences, own: Mapping[str, float]) -> dict[str, float]:
    """Return the energy by which the phases of each element shift (eV/atom), so that the lowest lies at its reference."""
    return {symbol: references.energies[symbol] - own[symbol] for symbol in references.energies if symbol in own}


def _self_test(hull: Hull, points: _Points) -> None:
    """Compare the references and the phases on the hull with a second hull, found by linear programming.

    Raise HullError if one of them does not get its own energy above hull, on each scale, to 1 meV/atom.
    """
    from scipy.optimize import linprog

    lowest = np.full((len(points.rows), len(_SCALES)), np.inf)  # of each composition; no mixture needs another phase
    np.minimum.at(lowest, points.row_of, points.energies)
    for number, (phase, entry) in enumerate(zip(hull.phases, hull.entries, strict=True)):
        if phase.origin != "reference" and entry.energy_above_hull > ON_HULL:
            continue
        fractions = points.rows[points.row_of[number]]
        figures = (entry.energy_above_hull, entry.corrected_energy_above_hull, entry.own_elements_energy_above_hull)
        for scale, own in enumerate(figures):
            if own is None:
                continue
            # the lowest energy of any mixture of phases that has this composition
            mixture = linprog(lowest[:, scale], A_eq=points.rows.T, b_eq=fractions, bounds=(0, None))
            put_back = hull.energy_above(phase, corrected=scale == _CORRECTED, own_elements=scale == _OWN)
            found = points.energies[number, scale] - mixture.fun if mixture.success else math.nan
            if not (abs(put_back - own) <= SELF_TEST and abs(found - own) <= SELF_TEST):
                raise HullError(
                    f"self-test of the {_SCALES[scale]} hull: {phase.structure_id} "
                    f"({entry.formula}) has {own:.4f} eV/atom above hull, put back it gets {put_back:.4f}, by linear "
                    f"programming {found:.4f}; wanted the same within {SELF_TEST} eV/atom"
                )


def _one_method(phases: Sequence[Phase]) -> None:
    """Raise MixedMethodsError, which names entries, if the phases' methods differ in any field."""
    by_method: dict[Method, list[str]] = defaultdict(list)
    for phase in phases:
        by_method[phase.method].append(phase.structure_id)
    if len(by_method) > 1:
        parts = []
        for method, identifiers in sorted(by_method.items(), key=lambda item: -len(item[1])):
            more = f" and {len(identifiers) - _NAMED} more" if len(identifiers) > _NAMED else ""
            parts.append(f"{method}: {', '.join(identifiers[:_NAMED])}{more}")
        raise MixedMethodsError(
            f"a hull takes energies of one method, got {len(by_method)}: {'; '.join(parts)}; "
            "relax them all with one method, or build a hull for each"
        )


def _inside(phase: Phase, composition: Composition, elements: Sequence[str]) -> None:
    foreign = {element.symbol for element in composition} - set(elements)
    if foreign:
        raise HullError(
            f"{phase.structure_id} holds {', '.join(sorted(foreign))}; wanted elements of {'-'.join(elements)} only"
        )


@dataclass(frozen=True)
class _Points:
    """Phases as points of a hull.

    Attributes
    ----------
    rows : ndarray of float
        Distinct compositions as fractions of the elements, shape (n_rows, n_elements).
    row_of : ndarray of int
        Row of each phase's composition, shape (n_phases,).
    energies : ndarray of float
        Energies on each scale (eV/atom), shape (n_phases, 3): uncorrected, with MP2020 corrections (NaN if a phase has none),
        and uncorrected with the method's own elements.
    """

    rows: NDArray[np.float64]
    row_of: NDArray[np.intp]
    energies: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        phases: Sequence[Phase],
        compositions: Sequence[Composition],
        elements: Sequence[str],
        shifts: Mapping[str, float],
    ) -> _Points:
        counts = ({element.symbol: amount for element, amount in composition.items()} for composition in compositions)
        amounts = np.array([[count.get(element, 0) for element in elements] for count in counts], dtype=int)
        reduced = amounts // np.gcd.reduce(amounts, axis=1, keepdims=True)
        rows, row_of = np.unique(reduced, axis=0, return_inverse=True)
        energies = np.array([_energies(*item, shifts) for item in zip(phases, compositions, strict=True)])
        return cls(rows / rows.sum(axis=1, keepdims=True), row_of.ravel(), energies)


def _with_corrections(phases: tuple[Phase, ...]) -> tuple[tuple[Phase, ...], str]:
    """Return the phases with their MP2020 corrections, and a reason if a phase has none (empty if all have one).

    Raise HullError if an energy contains a correction that cannot be computed, because it cannot be subtracted.
    """
    reason, found = "", []
    for phase in phases:
        corrected = phase.method.functional in _CORRECTED_FUNCTIONALS and phase.correction_per_atom is None
        if not corrected:
            found.append(phase)
            continue
        try:
            found.append(replace(phase, correction_per_atom=mp2020_correction_per_atom(phase.structure)))
        except HullError as error:
            if phase.method.corrections == "MP2020":
                raise HullError(f"{phase.structure_id}: {error}") from error
            reason = reason or f"{phase.structure_id}: {error}"
            found.append(phase)
    return tuple(found), reason


def _bare(structure: Structure) -> Composition:
    """Return a structure's composition without oxidation states. Fe2+ and Fe3+ are one element of a hull."""
    return structure.composition.element_composition


def _energies(phase: Phase, composition: Composition, shifts: Mapping[str, float]) -> tuple[float, float, float]:
    """Return a phase's energy (eV/atom) on each scale of `_SCALES`. The corrected energy is NaN if there is no correction."""
    energy, method = phase.energy_per_atom, phase.method
    if method.corrections not in ("none", "MP2020"):
        raise HullError(f"{phase.structure_id}: correction scheme {method.corrections!r}; wanted 'none' or 'MP2020'")
    correction: float | None = 0.0
    if method.functional in _CORRECTED_FUNCTIONALS:
        correction = _with_corrections((phase,))[0][0].correction_per_atom
    if method.corrections == "MP2020" and correction is not None:
        energy -= correction
    shift = shifts.get(composition.elements[0].symbol, 0.0) if len(composition) == 1 else 0.0
    return energy + shift, math.nan if correction is None else energy + correction + shift, energy


def _diagram(phases: Sequence[Phase], compositions: Sequence[Composition], points: _Points, scale: int) -> Any:
    """Return pymatgen's PhaseDiagram of the lowest phase of each composition and round. It gives this hull and those of earlier rounds."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    energies, rounds = points.energies[:, scale], np.array([phase.round_number for phase in phases])
    order = np.lexsort((energies, rounds, points.row_of))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(points.row_of[order]) != 0) | (np.diff(rounds[order]) != 0)
    return PhaseDiagram(
        [
            PDEntry(compositions[i], float(energies[i]) * len(phases[i].structure), name=phases[i].structure_id)
            for i in sorted(order[first].tolist())
        ]
    )


def _hull_energy(diagram: Any, composition: Composition) -> float:
    """Return the hull's energy at a composition (eV/atom)."""
    return float(diagram.get_hull_energy_per_atom(composition))


def _elements_energy(diagram: Any, composition: Composition) -> float:
    """Return the energy of the elements at a hull's corners, weighted by the fractions of a composition (eV/atom)."""
    corners = {element.symbol: entry.energy_per_atom for element, entry in diagram.el_refs.items()}
    energy = energy_of_elements(composition, corners)
    return math.nan if energy is None else energy


def _entries(
    phases: Sequence[Phase],
    compositions: Sequence[Composition],
    points: _Points,
    diagrams: tuple[Any, Any, Any],
) -> tuple[HullEntry, ...]:
    """Return each phase's position relative to the hulls. The hulls' energies are computed only once for each composition."""
    _, example = np.unique(points.row_of, return_index=True)  # one phase of each composition
    formulas = [compositions[i].reduced_formula for i in example]
    columns: list[list[Any]] = []
    for scale, diagram in enumerate(diagrams):
        if diagram is None:
            columns += [[None] * len(phases)] * 2
            continue
        hull = np.array([_hull_energy(diagram, compositions[i]) for i in example])
        elements = np.array([_elements_energy(diagram, compositions[i]) for i in example])
        distance = points.energies[:, scale] - hull[points.row_of]
        distance[np.abs(distance) < ON_HULL] = 0.0
        columns += [(points.energies[:, scale] - elements[points.row_of]).tolist(), distance.tolist()]
    places = zip(phases, points.row_of.tolist(), *columns, strict=True)
    return tuple(
        HullEntry(
            structure_id=phase.structure_id,
            formula=formulas[row],
            space_group=phase.space_group or space_group(phase.structure),
            n_sites=len(phase.structure),
            formation_energy_per_atom=formation,
            energy_above_hull=above,
            corrected_formation_energy_per_atom=corrected_formation,
            corrected_energy_above_hull=corrected_above,
            correction_driven=corrected_above is not None and corrected_above <= ON_HULL < above,
            origin=phase.origin,
            round_number=phase.round_number,
            own_elements_formation_energy_per_atom=own_formation,
            own_elements_energy_above_hull=own_above,
            element_driven=(above <= ON_HULL) != (own_above <= ON_HULL),
        )
        for phase, row, formation, above, corrected_formation, corrected_above, own_formation, own_above in places
    )
