"""Results of the runs of a `Discovery`: each relaxed structure on the reference hull, and those near it also with other potentials.

A phase is claimed only if another potential also finds it near the hull. This module proposes nothing. It relaxes only new phases near the hull.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pymatgen.core import Structure

from ccdcgan_al import __version__
from ccdcgan_al.errors import HullError
from ccdcgan_al.hull.confirmation import confirming_hull
from ccdcgan_al.hull.hull import METASTABLE, NEAR_HULL, ON_HULL, Hull
from ccdcgan_al.hull.validity import find_problem
from ccdcgan_al.strategies.labels import with_descent
from ccdcgan_al.structures.matching import ANGLE_TOL, LTOL, STOL, StructureIndex, structure_matcher
from ccdcgan_al.structures.symmetry import space_group
from ccdcgan_al.types import Phase, Relaxed
from workflows.documents import package_versions, read_relaxation
from workflows.experiments.discovery import Discovery, phase_of
from workflows.methods import relaxer

ROW = ("structure_id", "source", "operation", "parents", "predicted_energy", "uncertainty")  # fields of a run's file
KEEPS_WITHIN = 0.025  # eV/atom above the checking potential's hull: phases within it keep their place and are claimed
CHECKS = ("sevennet-l3i5", "chgnet")  # the first decides; CHGNet without the MP2020 corrections inside it


@dataclass(frozen=True)
class Judge:
    """Judge of the structures of one experiment.

    Attributes
    ----------
    discovery : Discovery
        The experiment.
    checks : sequence of str, default CHECKS
        Methods that relax the new phases near the hull again.
    """

    discovery: Discovery
    checks: Sequence[str] = CHECKS

    def result(self, strategies: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
        """Return all data for a report, as plain JSON. It includes incomplete runs, but not runs that have relaxed only seeds."""
        discovery, reference = self.discovery, self.discovery.reference
        runs: list[dict[str, Any]] = []
        near: dict[str, Phase] = {}
        for strategy in strategies:
            for seed in seeds:
                file = discovery.file_of(strategy, seed)
                if file.is_file():
                    run, found = self.run(json.loads(file.read_text(encoding="utf-8")))
                    if not any(row["round"] for row in run["candidates"]):
                        continue  # so far it has relaxed only seeds
                    runs.append(run)
                    near |= {f"{strategy}-{seed}/{phase.structure_id}": phase for phase in found}
        hulls, without = self.check_hulls()
        return {
            "chemical_system": discovery.spec.chemical_system,
            "elements": list(discovery.spec.elements),
            "budget": discovery.budget,
            "seed_count": discovery.seed_count,
            "per_round": discovery.per_round,
            "withhold_hull": discovery.withhold_hull,
            "withheld": sorted(reference.withheld),
            "withheld_in_limits": list(reference.in_limits),
            "reference": list(self.reference_rows()),
            "reference_failed": reference.failed,
            "runs": runs,
            "near_hull": self.near_hull(near, hulls),
            **({"checks_without_hull": without} if without else {}),
            "provenance": self._provenance(),
        }

    def reference_rows(self) -> Iterator[dict[str, Any]]:
        """Yield each phase of the reference hull with its energies."""
        hull = self.discovery.reference.hull
        for entry, phase in zip(hull.entries, hull.phases, strict=True):
            yield {
                "name": entry.structure_id,
                "formula": entry.formula,
                "n_sites": entry.n_sites,
                "fractions": self._fractions(phase.structure),
                "formation_energy": _number(entry.formation_energy_per_atom),
                "above_hull": _number(entry.energy_above_hull),
                "own_elements_formation_energy": _number(entry.own_elements_formation_energy_per_atom or 0.0),
                "own_elements_above_hull": _number(entry.own_elements_energy_above_hull or 0.0),
            }

    def element_references(self) -> dict[str, Any]:
        """Return the zero of the reference hull: scheme, energies and deviations by symbol (eV/atom), and warnings."""
        hull = self.discovery.reference.hull
        energies = {
            symbol: hull.element_references.energies.get(symbol, own) for symbol, own in hull.own_elements.items()
        }
        return {
            "scheme": hull.element_references.scheme,
            "energies": {symbol: _number(energy) for symbol, energy in energies.items()},
            "deviations": {symbol: _number(value) for symbol, value in hull.element_deviations.items()},
            "warnings": hull.element_warnings,
        }

    def _provenance(self) -> dict[str, Any]:
        spec, relax, hull = self.discovery.spec, self.discovery.relax, self.discovery.reference.hull
        return {
            "spec": json.loads(spec.model_dump_json()),
            "method": hull.method.__dict__,
            "scale": "the method's own energies, uncorrected",
            "element_references": self.element_references(),
            "maker": {key: value for key, value in relax.as_dict().items() if not key.startswith("@")},
            "thresholds": {"on_hull": ON_HULL, "near": NEAR_HULL, "sun": METASTABLE, "keeps_within": KEEPS_WITHIN},
            "tolerances": {"ltol": LTOL, "stol": STOL, "angle_tol": ANGLE_TOL},
            "code_version": __version__,
            "packages": package_versions(),
        }

    def run(self, document: dict[str, Any]) -> tuple[dict[str, Any], list[Phase]]:
        """Judge the relaxed structures of a run in the order of relaxation. Also return the new phases near the reference hull."""
        reference = self.discovery.reference
        known = StructureIndex(
            phase.structure for phase in reference.hull.phases if phase.structure_id not in reference.withheld
        )
        rows, near = [], []
        for stage in document["rounds"]:
            for item in stage["candidates"]:
                stored = self.discovery.cache.find(Structure.from_dict(item["start"]), self.discovery.relax)
                if stored is None:
                    continue
                row = {name: with_descent(item, generated=stage["round"] > 0)[name] for name in ROW}
                row |= {"round": stage["round"], "seconds": _number(stored["seconds"] or 0.0, 1)}
                result = read_relaxation(stored)
                if not isinstance(result, Relaxed):
                    rows.append({**row, "state": "failed", "reason": result.reason})
                    continue
                phase = phase_of(item, stage["round"], result)
                row |= self._place(phase, known)
                if row["state"] == "relaxed":
                    known.add(result.structure)
                if row["new"] and max(row["above_hull"], row["own_elements_above_hull"]) <= NEAR_HULL + ON_HULL:
                    near.append(phase)
                rows.append(row)
        return {
            "strategy": document["strategy"],
            "seed": document["seed"],
            "complete": document["done"],
            "relaxations": len(rows),
            "rounds": [
                {name: value for name, value in stage.items() if name != "candidates"} for stage in document["rounds"]
            ],
            "failures": dict(sorted(Counter(row["reason"] for row in rows if row["state"] == "failed").items())),
            "candidates": rows,
        }, near

    def _place(self, phase: Phase, known: StructureIndex) -> dict[str, Any]:
        """Return the energies of a relaxed structure, the withheld phase that it matches, and whether it is new: generated and no known copy."""
        reference, structure = self.discovery.reference, phase.structure
        above = reference.hull.energy_above(phase)
        wrong = find_problem(structure, self.discovery.spec.elements)
        found = self._withheld(structure)
        generated = phase.origin == "generated"
        return {
            "state": "set aside" if found and phase.origin == "seed" else "relaxed",
            "formula": structure.composition.reduced_formula,
            "n_sites": len(structure),
            "space_group": space_group(structure),
            "fractions": self._fractions(structure),
            "formation_energy": _number(reference.hull.formation_energy_at(structure) + above),
            "above_hull": _number(above),
            **self._own_elements(phase),
            "correction_driven": self._correction_driven(phase),
            "unphysical": wrong,
            "withheld": found,
            "new": generated and wrong is None and structure not in known,
        }

    def _withheld(self, structure: Structure) -> str | None:
        """Return the name of the withheld phase that a structure matches. None if it matches none."""
        cells = self.discovery.reference.withheld
        return next((name for name, known in cells.items() if _matches(known, structure)), None)

    def _own_elements(self, phase: Phase) -> dict[str, Any]:
        """Return a phase's energy above the hull with the method's own elements, and whether it is on only one of the two hulls."""
        hull = self.discovery.reference.hull
        above, own = hull.energy_above(phase), hull.energy_above(phase, own_elements=True)
        return {"own_elements_above_hull": _number(own), "element_driven": (above <= ON_HULL) != (own <= ON_HULL)}

    def _correction_driven(self, phase: Phase) -> bool:
        """Return whether a phase is on the reference hull only with MP2020 corrections. Such a phase is not on the hull that counts."""
        hull = self.discovery.reference.hull
        if hull.no_corrections:
            return False
        return hull.energy_above(phase, corrected=True) <= ON_HULL < hull.energy_above(phase)

    def check_hulls(self) -> tuple[dict[str, Hull | None], dict[str, str]]:
        """Return the hull of each checking potential, and the reasons for missing hulls (None). Such a potential checks nothing."""
        hulls: dict[str, Hull | None] = {}
        without: dict[str, str] = {}
        for method in self.checks:
            try:
                hulls[method] = self._hull_of(method)
            except HullError as error:
                hulls[method], without[method] = None, str(error)
        return hulls, without

    def near_hull(self, near: dict[str, Phase], hulls: dict[str, Hull | None]) -> list[dict[str, Any]]:
        """Return the distinct new phases near the hull over all runs, lowest first, with their energies by the checking potentials."""
        groups = StructureIndex()
        above = {name: self.discovery.reference.hull.energy_above(phase) for name, phase in near.items()}
        rows = []
        for name in sorted(near, key=lambda name: (above[name], name)):
            structure = near[name].structure
            if structure in groups:
                continue
            groups.add(structure)
            checked = {method: self._checked(method, hull, near[name]) for method, hull in hulls.items()}
            decides = checked.get(self.checks[0]) if self.checks else None
            rows.append(
                {
                    "name": name,
                    "formula": structure.composition.reduced_formula,
                    "space_group": space_group(structure),
                    "n_sites": len(structure),
                    "above_hull": _number(above[name]),
                    **self._own_elements(near[name]),
                    "withheld": self._withheld(structure),
                    "checked": checked,
                    "correction_driven": self._correction_driven(near[name]),
                    "keeps_its_place": None if decides is None else decides <= KEEPS_WITHIN,
                    "lattice": structure.lattice.matrix.round(5).tolist(),
                    "sites": [[site.specie.symbol, *site.frac_coords.round(5).tolist()] for site in structure],
                }
            )
        return rows

    def _hull_of(self, method: str) -> Hull:
        """Return the hull of the known phases under another potential. Raise HullError if it lacks a phase of the reference hull."""
        phases = []
        for phase in self.discovery.reference.hull.phases:
            result = read_relaxation(self.discovery.cache.relax(phase.structure, relaxer(method, pre_relax=None)))
            if isinstance(result, Relaxed):
                relaxed = (phase.structure_id, result.structure, result.energy_per_atom, result.method, phase.origin)
                phases.append(Phase(*relaxed))
        return confirming_hull(self.discovery.reference.hull, phases)

    def _checked(self, method: str, hull: Hull | None, phase: Phase) -> float | None:
        """Return a phase's energy above the hull of another potential (eV/atom). None without a hull, or if the phase fails or changes structure."""
        if hull is None:
            return None
        result = read_relaxation(self.discovery.cache.relax(phase.structure, relaxer(method, pre_relax=None)))
        if not isinstance(result, Relaxed) or not structure_matcher().fit(phase.structure, result.structure):
            return None
        checked = Phase(phase.structure_id, result.structure, result.energy_per_atom, result.method, phase.origin)
        return _number(hull.energy_above(checked))

    def _fractions(self, structure: Structure) -> list[float]:
        return [_number(structure.composition.get_atomic_fraction(symbol)) for symbol in self.discovery.spec.elements]


def _matches(cells: Iterable[Structure], structure: Structure) -> bool:
    matcher, formula = structure_matcher(), structure.composition.reduced_formula
    return any(cell.composition.reduced_formula == formula and matcher.fit(cell, structure) for cell in cells)


def _number(value: float, digits: int = 6) -> float:
    return round(float(value), digits)
