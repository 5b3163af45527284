"""Conversion of results from an earlier version's `benchmark discovery` and `benchmark ablation` to this version's zero. It proposes nothing.

Until November 2026 a hull had the potential's own elements at its corners. The JSON has each candidate's formula and formation
energy, which give the total energy. For a discovery, some ten references for each system and potential are relaxed again. The
data set of an ablation has its total energies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymatgen.core import Composition, Lattice, Structure

from ccdcgan_al.hull.corrections import mp2020_correction_per_atom
from ccdcgan_al.hull.element_references import energy_of_elements
from ccdcgan_al.hull.hull import NEAR_HULL, ON_HULL, Hull
from ccdcgan_al.strategies.labels import with_descent
from ccdcgan_al.types import Phase
from workflows.experiments.ablation import AblationData
from workflows.experiments.discovery_judge import KEEPS_WITHIN, Judge

SAME = 0.003
"""eV/atom; allowed difference of a reference relaxed again from its value in the file: the scatter of relaxations stopped at 0.05 eV/Å."""


def rejudged(result: dict[str, Any], judge: Judge) -> dict[str, Any]:
    """Return a result with all energies on this version's zero.

    Parameters
    ----------
    result : dict
        JSON of a system from an earlier version, with energies relative to the method's own elements (eV/atom).
    judge : Judge
        Judge of the same experiment.

    Returns
    -------
    dict
        Same result with `above_hull`, `formation_energy`, `own_elements_above_hull`, `element_driven` and `correction_driven` of this
        version's reference hull. A phase stays near the hull if it lies within 50 meV/atom with either choice of the elements' energies.

    Raises
    ------
    ValueError
        If the result already has this version's zero, or if its references differ from those relaxed now.
    """
    hull = judge.discovery.reference.hull
    if "element_references" in result["provenance"]:
        raise ValueError(f"{result['chemical_system']}: the result has its elements' energies on record already")
    _same_references(result, hull)
    runs = [
        {**run, "candidates": [_row(with_descent(row, generated=row["round"] > 0), hull) for row in run["candidates"]]}
        for run in result["runs"]
    ]
    check_hulls, without = judge.check_hulls()
    near = [_near(phase, hull, check_hulls, judge.checks) for phase in result["near_hull"]]
    near = [
        phase for phase in near if max(phase["above_hull"], phase["own_elements_above_hull"]) <= NEAR_HULL + ON_HULL
    ]
    near.sort(key=lambda phase: (phase["above_hull"], phase["name"]))
    again = {
        **result,
        "reference": list(judge.reference_rows()),
        "runs": runs,
        "near_hull": near,
        "provenance": {**result["provenance"], "element_references": judge.element_references()},
    }
    return {**again, "checks_without_hull": without} if without else again


def rejudged_ablation(result: dict[str, Any], data: AblationData) -> dict[str, Any]:
    """Return the result of an ablation with all energies on this version's zero.

    Parameters
    ----------
    result : dict
        JSON from an earlier version, with energies relative to the data set's own elements (eV/atom).
    data : AblationData
        Data set of the ablation.

    Raises
    ------
    ValueError
        If the result already has this version's zero, or was made with another data set.
    """
    hull, name = data.hull, data.elements[-1]
    if "element_references" in result:
        raise ValueError("the result of the ablation has its elements' energies on record already")
    rows = [
        {
            "fraction": round(float(phase.structure.composition.get_atomic_fraction(name)), 6),
            "formation_energy": round(entry.formation_energy_per_atom, 6),
            "above_hull": round(entry.energy_above_hull, 6),
        }
        for phase, entry in zip(hull.phases, hull.entries, strict=True)
    ]
    own = sorted(round(entry.own_elements_formation_energy_per_atom or 0.0, 6) for entry in hull.entries)
    if own != sorted(item["formation_energy"] for item in result["data"]):
        raise ValueError(
            "the result of the ablation was made with another data set: its energies are not those of --data"
        )
    # both lists are in the order of structure_id
    known = [{**item, **row} for item, row in zip(result["data"], rows, strict=True)]
    runs = [{**run, "candidates": [_candidate(item, hull) for item in run["candidates"]]} for run in result["runs"]]
    return {**result, "element_references": hull.element_references.scheme, "data": known, "runs": runs}


def _candidate(item: dict[str, Any], hull: Hull) -> dict[str, Any]:
    """Return a candidate of an ablation with new energies. A prediction shifts with its composition's zero."""
    composition = Composition(item["formula"])
    moved = dict(item)
    if item.get("predicted") is not None:
        own, references = (
            energy_of_elements(composition, energies)
            for energies in (hull.own_elements, {**hull.own_elements, **hull.element_references.energies})
        )
        moved["predicted"] = round(item["predicted"] + (own or 0.0) - (references or 0.0), 6)
    if item.get("formation_energy") is None:
        return moved
    places = _places(composition, item["formation_energy"], None, hull)[1]
    return {**moved, **{name: places[name] for name in ("formation_energy", "above_hull")}}


def _same_references(result: dict[str, Any], hull: Hull) -> None:
    """Raise an error if a reference's formation energy relative to the method's own elements differs from the file."""
    now = {entry.structure_id: entry.own_elements_formation_energy_per_atom or 0.0 for entry in hull.entries}
    for item in result["reference"]:
        found = now.get(item["name"])
        if found is None or abs(found - item["formation_energy"]) > SAME:
            raise ValueError(
                f"{result['chemical_system']}: {item['name']} has {item['formation_energy']:.4f} eV/atom in the file, relaxed again "
                f"{'nothing' if found is None else f'{found:.4f}'}; wanted the same within {SAME} eV/atom"
            )


def _row(row: dict[str, Any], hull: Hull) -> dict[str, Any]:
    """Return a candidate with new energies."""
    if "formation_energy" not in row:
        return row
    composition = Composition(row["formula"])
    known = None if "O" in composition else mp2020_correction_per_atom(_atoms(composition))  # distances matter with O
    driven, places = _places(composition, row["formation_energy"], known, hull)
    return {**row, **places, "correction_driven": row["correction_driven"] if driven is None else driven}


def _near(
    phase: dict[str, Any], hull: Hull, check_hulls: dict[str, Hull | None], checks: Sequence[str]
) -> dict[str, Any]:
    """Return a phase near the hull with new energies by all potentials."""
    symbols, coordinates = [site[0] for site in phase["sites"]], [site[1:] for site in phase["sites"]]
    structure = Structure(Lattice(phase["lattice"]), symbols, coordinates)
    composition = structure.composition
    formation = phase["above_hull"] + _own_formation_at(hull, composition)
    driven, places = _places(composition, formation, mp2020_correction_per_atom(structure), hull)
    places.pop("formation_energy")
    checked: dict[str, float | None] = {}
    for name, above in phase["checked"].items():
        other = check_hulls.get(name)
        if other is None or above is None:
            checked[name] = None
            continue
        own = above + _own_formation_at(other, composition)
        checked[name] = _places(composition, own, None, other)[1]["above_hull"]
    decides = checked.get(checks[0]) if checks else None
    kept = None if decides is None else decides <= KEEPS_WITHIN
    return {**phase, **places, "checked": checked, "correction_driven": bool(driven), "keeps_its_place": kept}


def _own_formation_at(hull: Hull, composition: Composition) -> float:
    """Return the formation energy of the hull with the method's own elements at a composition (eV/atom)."""
    apart = energy_of_elements(composition, hull.own_elements) or 0.0
    return float(hull.own_diagram.get_hull_energy_per_atom(composition)) - apart


def _places(
    composition: Composition, own_formation: float, correction: float | None, hull: Hull
) -> tuple[bool | None, dict[str, Any]]:
    """Return whether only corrections put a phase on the hull (None without a correction), and its energies.

    Parameters
    ----------
    composition : Composition
        Composition of the phase.
    own_formation : float
        Formation energy of the phase relative to the method's own elements (eV/atom).
    correction : float or None
        MP2020 correction of the phase (eV/atom).
    hull : Hull
        Hull of this version.
    """
    energy = own_formation + (energy_of_elements(composition, hull.own_elements) or 0.0)
    # a hull needs only composition and energy; the positions of the atoms do not matter
    phase = Phase("again", _atoms(composition), energy, hull.method, "generated", correction_per_atom=correction or 0.0)
    above, own = hull.energy_above(phase), hull.energy_above(phase, own_elements=True)
    driven = None
    if correction is not None and hull.corrected_diagram is not None:
        driven = bool(
            hull.energy_above(replace(phase, correction_per_atom=correction), corrected=True) <= ON_HULL < above
        )
    return driven, {
        "formation_energy": round(float(hull.formation_energy_at(phase.structure) + above), 6),
        "above_hull": round(float(above), 6),
        "own_elements_above_hull": round(float(own), 6),
        "element_driven": (above <= ON_HULL) != (own <= ON_HULL),
    }


def _atoms(composition: Composition) -> Structure:
    """Return a structure with the atoms of a composition, far apart."""
    symbols = [symbol for symbol, amount in composition.get_el_amt_dict().items() for _ in range(round(amount))]
    return Structure(Lattice.cubic(5.0 * len(symbols)), symbols, [[k / len(symbols)] * 3 for k in range(len(symbols))])
