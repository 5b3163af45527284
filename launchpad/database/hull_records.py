"""Results of a rebuilt hull as plain documents for `structures` and `hulls`. This module writes nothing to the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ccdcgan_al import __version__
from ccdcgan_al.hull.confirmation import ELSEWHERE, relaxed_elsewhere
from ccdcgan_al.hull.hull import METASTABLE, ON_HULL
from ccdcgan_al.hull.novelty import new_phases
from ccdcgan_al.hull.validity import does_not_return
from ccdcgan_al.types import FailedRelaxation
from workflows.documents import read_relaxation

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from ccdcgan_al.hull.changes import HullChanges
    from ccdcgan_al.hull.hull import Hull

MOST_ENTRIES = 5000
"""Number of lowest entries in a hull document. An entry has some 400 bytes, so the document stays far below MongoDB's 16 MB."""

OF_THE_MACHINE = ("lost", "inconsistent", "calculator_error")
"""Failure reasons of a distorted phase that give no information about the phase."""

_SCHEMES = {"uncorrected": "energy_above_hull", "MP2020": "corrected_energy_above_hull"}


def hull_documents(hull: Hull, changes: HullChanges) -> list[dict[str, Any]]:
    """Return a hull as one document for each scheme of energies: the phases that span it, and the phases near it, lowest first.

    Parameters
    ----------
    hull : Hull
        Hull of the campaign's own method.
    changes : HullChanges
        Changes of the uncorrected hull in the round.
    """
    documents = []
    for scheme, above in _SCHEMES.items():
        near = [entry for entry in hull.entries if (getattr(entry, above) or 0.0) <= METASTABLE]
        if scheme == "MP2020" and hull.no_corrections:
            near = []  # the document states the reason
        near.sort(key=lambda entry: (getattr(entry, above), entry.structure_id))
        documents.append(
            {
                "chemical_system": "-".join(sorted(hull.elements)),
                "method": asdict(hull.method),
                "scheme": scheme,
                "element_references": element_references(hull),
                "vertices": [entry.structure_id for entry in near if getattr(entry, above) <= ON_HULL][:MOST_ENTRIES],
                "entries": [asdict(entry) for entry in near[:MOST_ENTRIES]],
                "within": METASTABLE,
                "total": len(hull.entries),
                "code_version": __version__,
            }
        )
    documents[0]["changes"] = asdict(changes)
    if hull.no_corrections:
        documents[1]["reason"] = hull.no_corrections
    return documents


def element_references(hull: Hull) -> dict[str, Any]:
    """Return the zero of a hull as a plain document.

    Parameters
    ----------
    hull : Hull
        Hull of any method.

    Returns
    -------
    dict
        ``scheme``; ``energies`` at the corners by symbol (eV/atom); ``deviations`` of the method's elements from the
        Materials Project's by symbol (eV/atom); ``warnings``, one sentence for each element with a large deviation.
    """
    references = hull.element_references
    return {
        "scheme": references.scheme,
        "energies": {symbol: references.energies.get(symbol, own) for symbol, own in hull.own_elements.items()},
        "deviations": hull.element_deviations,
        "warnings": hull.element_warnings,
    }


def figures(
    hull: Hull,
    round_number: int,
    unstable: Mapping[str, str | None] | None = None,
    known: Sequence[Structure] = (),
) -> dict[str, dict[str, Any]]:
    """Return the hull results of each structure on the campaign's hull, by structure_id.

    Parameters
    ----------
    hull : Hull
        Hull of the campaign's own method.
    round_number : int
        Round after which the hull was built.
    unstable : mapping of str to str or None, optional
        structure_id -> why a phase did not relax back after a small distortion. The value is None if it did.
    known : sequence of Structure, optional
        Unrelaxed starting structures. A structure that matches one of them, or a relaxed one, is not new.
    """
    new = {entry.structure_id for entry in new_phases(hull, known, METASTABLE, unstable)}
    duplicates = hull.duplicates()
    energies = {phase.structure_id: phase.energy_per_atom for phase in hull.phases}
    return {
        entry.structure_id: {
            "method": hull.method.name,
            "functional": hull.method.functional,
            "energy_per_atom": energies[entry.structure_id],
            "formation_energy_per_atom": entry.formation_energy_per_atom,
            "energy_above_hull": entry.energy_above_hull,
            "corrected_formation_energy_per_atom": entry.corrected_formation_energy_per_atom,
            "corrected_energy_above_hull": entry.corrected_energy_above_hull,
            "correction_driven": entry.correction_driven,
            "element_references": hull.element_references.scheme,
            "own_elements_formation_energy_per_atom": entry.own_elements_formation_energy_per_atom,
            "own_elements_energy_above_hull": entry.own_elements_energy_above_hull,
            "element_driven": entry.element_driven,
            "space_group": entry.space_group,
            "hull_round": round_number,
            "is_new_phase": entry.structure_id in new,
            "duplicate_of": duplicates.get(entry.structure_id),
        }
        for entry in hull.entries
    }


def confirmed_figures(
    hull: Hull, confirming: Hull, failed: Iterable[dict[str, Any]] = ()
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the results of the confirming method for each structure that it relaxed, by structure_id.

    Only this function derives them. They are stored in `structures`. The report and the look-up commands show the stored values.

    Parameters
    ----------
    hull : Hull
        Hull of the campaign's own method.
    confirming : Hull
        Hull of the confirming method (`ccdcgan_al.hull.confirmation.confirming_hull`).
    failed : iterable of dict
        Documents of the structures that the confirming method did not relax (`CampaignStore.not_confirmed`). Failures
        caused by the machine (`OF_THE_MACHINE`) are left out, because they give no information about the phase.

    Returns
    -------
    dict
        Field ``confirmed``: ``method``, and either the energies (eV/atom, docs/database.md) or the ``problem``.
    """
    method = confirming.method.name
    problems = dict.fromkeys(relaxed_elsewhere(hull, confirming), ELSEWHERE)
    for document in failed:
        if (reason := document["confirmation"]["reason"]) not in OF_THE_MACHINE:
            problems[document["structure_id"]] = does_not_relax(reason)
    energies = {phase.structure_id: phase.energy_per_atom for phase in confirming.phases}
    found = {
        entry.structure_id: {
            "method": method,
            "energy_per_atom": energies[entry.structure_id],
            "formation_energy_per_atom": entry.formation_energy_per_atom,
            "energy_above_hull": entry.energy_above_hull,
            "element_references": confirming.element_references.scheme,
        }
        for entry in confirming.entries
    }
    found |= {name: {"method": method, "problem": problem} for name, problem in problems.items()}
    return {name: {"confirmed": item} for name, item in found.items()}


def does_not_relax(reason: str) -> str:
    """Return the problem of a phase whose confirming relaxation failed for a reason."""
    return f"does not relax: {reason}"


def distortion_outcomes(distorted: Iterable[dict[str, Any]]) -> dict[str, str | None]:
    """Return for distorted and relaxed phases why they did not relax back, or None if they did.

    Phases whose relaxation failed because of the machine (`OF_THE_MACHINE`) are left out, because nothing is known about them.

    Parameters
    ----------
    distorted : iterable of dict
        Documents of the phases (`CampaignStore.distorted`).
    """
    reasons: dict[str, str | None] = {}
    for document in distorted:
        first, again = read_relaxation(document["relaxation"]), read_relaxation(document["distortion"])
        if isinstance(again, FailedRelaxation):
            if again.reason in OF_THE_MACHINE:
                continue
            reasons[document["structure_id"]] = f"slightly distorted it does not relax: {again.reason}"
        elif not isinstance(first, FailedRelaxation):
            reasons[document["structure_id"]] = does_not_return(
                first.structure, first.energy_per_atom, again.structure, again.energy_per_atom
            )
    return reasons
