"""The convex hull of one chemical system on one energy scale; it reads no database, relaxes nothing and draws nothing.

The hull that counts is the one of uncorrected energies. The hull with MP2020 corrections stands beside it, and a phase
that is on that one only is flagged `correction_driven`: it is no discovery.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.corrections import mp2020_correction_per_atom
from ccdcgan_al.errors import HullError, MixedMethodsError
from ccdcgan_al.seen import group_structures
from ccdcgan_al.types import HullEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymatgen.core import Composition, Structure

    from ccdcgan_al.types import Method, Phase

SYMPREC = 0.1  # Å, for relaxed structures, as the Materials Project uses
ON_HULL = 1e-6  # eV/atom; a phase this close to the hull is on it, what rounding leaves
DEGENERATE = (
    0.005  # eV/atom: relaxations stopped at 0.05 eV/Å scatter by this much, so what lies closer is not told apart
)
NEAR_HULL, METASTABLE = 0.05, 0.1  # eV/atom, the thresholds at which new phases are counted
SELF_TEST = 1e-3  # eV/atom by which a phase put back may miss its own energy above hull
_NAMED = 5  # entries of a kind that an error names
_CORRECTED_FUNCTIONALS = ("PBE", "PBE+U")  # those that MP2020 was fitted to


@dataclass(frozen=True)
class Hull:
    """A convex hull and every phase's place against it; made by `build_hull`.

    Attributes
    ----------
    elements : symbols of the chemical system
    method : how all the energies were obtained
    phases : the phases, in order of structure_id
    entries : their places, in the same order; energies above hull are >= 0, each phase being part of the hull
    diagram : pymatgen PhaseDiagram of uncorrected energies
    corrected_diagram : the same with MP2020 corrections
    """

    elements: tuple[str, ...]
    method: Method
    phases: tuple[Phase, ...]
    entries: tuple[HullEntry, ...]
    diagram: Any
    corrected_diagram: Any

    def energy_above(self, phase: Phase, *, corrected: bool = False) -> float:
        """Return the energy of a phase above this hull, which need not contain it.

        Parameters
        ----------
        phase : of the hull's method and elements
        corrected : against the hull with MP2020 corrections

        Returns
        -------
        float
            eV/atom; NEGATIVE where the phase would lower the hull.

        Raises
        ------
        MixedMethodsError
            The phase's energy is of another method.
        HullError
            The phase holds elements that the hull does not.
        """
        _one_method([*self.phases[:1], phase])
        composition = phase.structure.composition
        _inside(phase, composition, self.elements)
        energy = _energies(phase)[corrected]
        diagram = self.corrected_diagram if corrected else self.diagram
        return energy - _hull_energy(diagram, composition)

    def formation_energy_at(self, structure: Structure) -> float:
        """Return the formation energy of the hull itself at the composition of a structure, uncorrected (eV/atom)."""
        fractions = structure.composition.fractional_composition
        elements = sum(
            fraction * self.diagram.el_refs[element].energy_per_atom for element, fraction in fractions.items()
        )
        return float(_hull_energy(self.diagram, structure.composition) - elements)

    def unique_entries(self, within: float = math.inf) -> list[HullEntry]:
        """Return one entry of each group of matching structures, in order of structure_id.

        With `within` (eV/atom), generated structures farther above the hull are left out, unless they are correction-driven.

        It is the lowest of the group, or the lowest reference or seed where that lies within `DEGENERATE` of it: a
        generated copy of a known phase, lower by what a relaxation scatters, does not stand for the phase.
        """
        return [self.entries[number] for number in sorted(self._representative(group) for group in self.groups(within))]

    def on_hull(self) -> list[tuple[HullEntry, tuple[str, ...]]]:
        """Return the phases on the hull, one a group of matching structures, with the ids of all of its group."""
        found = []
        for group in self.groups(METASTABLE):
            if self.entries[group[0]].energy_above_hull <= ON_HULL:
                ids = tuple(self.entries[number].structure_id for number in group)
                found.append((self.entries[self._representative(group)], ids))
        return sorted(found, key=lambda item: (item[0].formula, item[0].structure_id))

    def duplicates(self) -> dict[str, str]:
        """Return, by structure_id, which of `unique_entries` stands for a phase within 0.1 eV/atom of the hull that is none of them."""
        found = {}
        for group in self.groups(METASTABLE):
            own = self._representative(group)
            found.update(
                {self.phases[number].structure_id: self.phases[own].structure_id for number in group if number != own}
            )
        return found

    def _representative(self, group: list[int]) -> int:
        """Position of the phase that stands for a group of matching phases, lowest energy first."""
        lowest = self.phases[group[0]].energy_per_atom
        known = [
            number
            for number in group
            if self.phases[number].origin != "generated" and self.phases[number].energy_per_atom - lowest <= DEGENERATE
        ]
        return known[0] if known else group[0]

    def groups(self, within: float) -> list[list[int]]:
        """Positions of phases that match, a list a group, lowest energy first.

        Generated phases farther above the hull than `within` (eV/atom) are left out, unless they are correction-driven.
        """
        if within not in self._found_groups:
            order = sorted(range(len(self.phases)), key=lambda number: (self.phases[number].energy_per_atom, number))
            compared = [
                number
                for number in order
                if self.entries[number].energy_above_hull <= within + DEGENERATE
                or self.entries[number].correction_driven
                or self.entries[number].origin != "generated"
            ]
            groups = group_structures([self.phases[number].structure for number in compared])
            self._found_groups[within] = [[compared[k] for k in group] for group in groups]
        return self._found_groups[within]

    @cached_property
    def _found_groups(self) -> dict[float, list[list[int]]]:
        """Groups by how far above the hull they were asked for."""
        return {}


def build_hull(phases: Sequence[Phase], elements: Sequence[str]) -> Hull:
    """Build the convex hull of phases of one method.

    Parameters
    ----------
    phases : with at least one phase of each element; their energies may contain MP2020 corrections where the method
        says so, they are taken off for the hull that counts
    elements : symbols of the chemical system

    Returns
    -------
    Hull
        Where the method's functional is not PBE (or PBE+U) MP2020 does not apply, and the corrected figures are the
        uncorrected ones.

    Raises
    ------
    MixedMethodsError
        Two phases differ in name, calculator, version, functional or corrections of their method.
    HullError
        No phase, an element without one, an element outside the system, a repeated structure_id, a correction that
        cannot be computed, or a hull that fails its self-test.
    """
    if not phases:
        raise HullError("a hull needs phases, got none; relax at least one structure of each element first")
    ordered = tuple(sorted(phases, key=lambda phase: phase.structure_id))
    _one_method(ordered)
    identifiers = [phase.structure_id for phase in ordered]
    repeated = sorted({first for first, second in pairwise(identifiers) if first == second})
    if repeated:
        raise HullError(f"structure_id must be unique in a hull; repeated: {', '.join(repeated[:_NAMED])}")
    compositions = [phase.structure.composition for phase in ordered]
    for phase, composition in zip(ordered, compositions, strict=True):
        _inside(phase, composition, elements)
    present = {composition.elements[0].symbol for composition in compositions if len(composition) == 1}
    missing = [element for element in elements if element not in present]
    if missing:
        raise HullError(
            f"no phase of the element {' and '.join(missing)} among {len(ordered)} phases; "
            "relax at least one structure of each element"
        )
    ordered = tuple(_with_correction(phase) for phase in ordered)
    points = _Points.of(ordered, compositions, elements)
    raw, corrected = (_diagram(ordered, compositions, points, scale) for scale in (0, 1))
    entries = _entries(ordered, compositions, points, (raw, corrected))
    hull = Hull(tuple(elements), ordered[0].method, ordered, entries, raw, corrected)
    _self_test(hull, points)
    return hull


def _self_test(hull: Hull, points: _Points) -> None:
    """Put the references and the phases on the hull back as candidates, against a hull found by linear programming.

    Raises HullError where one does not get its own energy above hull, on either scale, to 1 meV/atom.
    """
    from scipy.optimize import linprog

    lowest = np.full((len(points.rows), 2), np.inf)  # of the phases of one composition; no mixture needs another
    np.minimum.at(lowest, points.row_of, points.energies)
    for number, (phase, entry) in enumerate(zip(hull.phases, hull.entries, strict=True)):
        if phase.origin != "reference" and entry.energy_above_hull > ON_HULL:
            continue
        fractions = points.rows[points.row_of[number]]
        for scale, own in enumerate((entry.energy_above_hull, entry.corrected_energy_above_hull)):
            # the lowest energy of any mixture of phases that has this composition
            mixture = linprog(lowest[:, scale], A_eq=points.rows.T, b_eq=fractions, bounds=(0, None))
            put_back = hull.energy_above(phase, corrected=bool(scale))
            found = points.energies[number, scale] - mixture.fun if mixture.success else math.nan
            if not (abs(put_back - own) <= SELF_TEST and abs(found - own) <= SELF_TEST):
                raise HullError(
                    f"self-test of the {'corrected' if scale else 'uncorrected'} hull: {phase.structure_id} "
                    f"({entry.formula}) has {own:.4f} eV/atom above hull, put back it gets {put_back:.4f}, by linear "
                    f"programming {found:.4f}; wanted the same within {SELF_TEST} eV/atom"
                )


def _one_method(phases: Sequence[Phase]) -> None:
    """Raise MixedMethodsError, naming entries, where the phases' methods differ in anything."""
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
    rows : distinct compositions as fractions of the elements, (n_rows, n_elements)
    row_of : which of them each phase has, (n_phases,)
    energies : without and with MP2020 corrections (eV/atom), (n_phases, 2)
    """

    rows: NDArray[np.float64]
    row_of: NDArray[np.intp]
    energies: NDArray[np.float64]

    @classmethod
    def of(cls, phases: Sequence[Phase], compositions: Sequence[Composition], elements: Sequence[str]) -> _Points:
        counts = ({element.symbol: amount for element, amount in composition.items()} for composition in compositions)
        amounts = np.array([[count.get(element, 0) for element in elements] for count in counts], dtype=int)
        reduced = amounts // np.gcd.reduce(amounts, axis=1, keepdims=True)
        rows, row_of = np.unique(reduced, axis=0, return_inverse=True)
        energies = np.array([_energies(phase) for phase in phases])
        return cls(rows / rows.sum(axis=1, keepdims=True), row_of.ravel(), energies)


def _with_correction(phase: Phase) -> Phase:
    """Return the phase with its MP2020 correction."""
    if phase.correction_per_atom is not None or phase.method.functional not in _CORRECTED_FUNCTIONALS:
        return phase
    try:
        return replace(phase, correction_per_atom=mp2020_correction_per_atom(phase.structure))
    except HullError as error:
        raise HullError(f"{phase.structure_id}: {error}") from error


def _energies(phase: Phase) -> tuple[float, float]:
    """Return a phase's energy without and with MP2020 corrections (eV/atom)."""
    energy, method = phase.energy_per_atom, phase.method
    if method.corrections not in ("none", "MP2020"):
        raise HullError(f"{phase.structure_id}: correction scheme {method.corrections!r}; wanted 'none' or 'MP2020'")
    correction = _with_correction(phase).correction_per_atom
    if method.functional not in _CORRECTED_FUNCTIONALS or correction is None:
        return energy, energy
    return (energy - correction, energy) if method.corrections == "MP2020" else (energy, energy + correction)


def _diagram(phases: Sequence[Phase], compositions: Sequence[Composition], points: _Points, scale: int) -> Any:
    """Return pymatgen's PhaseDiagram of the lowest phase of each composition and round: the same hull, and that of any earlier round."""
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


def _entries(
    phases: Sequence[Phase], compositions: Sequence[Composition], points: _Points, diagrams: tuple[Any, Any]
) -> tuple[HullEntry, ...]:
    """Return each phase's place against both hulls, whose energies are found once a composition."""
    _, example = np.unique(points.row_of, return_index=True)  # a phase of each composition
    formulas = [compositions[i].reduced_formula for i in example]
    columns = []
    for scale, diagram in enumerate(diagrams):
        hull = np.array([_hull_energy(diagram, compositions[i]) for i in example])
        elements = np.array(
            [
                sum(
                    compositions[i].get_atomic_fraction(element) * diagram.el_refs[element].energy_per_atom
                    for element in compositions[i]
                )
                for i in example
            ]
        )
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
            correction_driven=corrected_above <= ON_HULL < above,
            origin=phase.origin,
            round_number=phase.round_number,
        )
        for phase, row, formation, above, corrected_formation, corrected_above in places
    )


def space_group(structure: Structure) -> str:
    """Return the Hermann-Mauguin symbol; P1 where spglib finds nothing, which every crystal has."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    try:
        return str(SpacegroupAnalyzer(structure, symprec=SYMPREC).get_space_group_symbol())
    except SymmetryUndeterminedError:
        return "P1"
