"""A campaign's report from its database: one JSON object, the tables for readers, and the files. This module runs no calculation."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ccdcgan_al import __version__
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.files import write_atomically
from ccdcgan_al.hull.confirmation import confirming_hull
from ccdcgan_al.hull.hull import DEGENERATE, NEAR_HULL, ON_HULL, Hull, build_hull
from ccdcgan_al.hull.novelty import claimed_phases
from ccdcgan_al.hull.validity import DISPLACEMENT, RETURNED, STRAIN
from ccdcgan_al.strategies.selection import MIN_COVALENT_RATIO, MIN_DISTANCE
from ccdcgan_al.structures.matching import ANGLE_TOL, LTOL, STOL
from ccdcgan_al.types import HullEntry
from launchpad.database.hull_records import confirmed_figures, distortion_outcomes, element_references
from launchpad.database.references import campaign_phases
from launchpad.database.rejudge import judge_again
from launchpad.database.store import CampaignStore
from workflows.documents import package_versions

ROUND_KEYS = (
    "round",
    "not_learnt",
    "generated",
    "mutants",
    "decoded",
    "valid",
    "strict",
    "unique",
    "novel",
    "submitted",
    "relaxed",
    "failed",
)
ROUND_KEYS_AFTER = (
    "stable",
    "within_50_mev",
    "within_100_mev",
    "constraint_mae_ev_per_atom",
    "constraint_mae_structures",
)
_WRITTEN = re.compile(r"(new|candidate)-[A-Za-z-]+-r\d+-\d{4,}-.+\.cif")  # names of the CIF files that `write` makes


class CampaignReport:
    """The complete results of a campaign, read from the database once.

    Parameters
    ----------
    store : CampaignStore
        Database of the campaigns.
    campaign_id : str
        Name of the campaign.

    Raises
    ------
    KeyError
        If there is no such campaign.
    HullError
        If there is no hull yet, because an element has no relaxed structure.
    """

    def __init__(self, store: CampaignStore, campaign_id: str) -> None:
        self.campaign: Campaign = store.campaign(campaign_id)
        judge_again(store, campaign_id)
        self.state, self.reason = store.state(campaign_id)
        self.rounds = store.round_documents(campaign_id)
        self.changes = store.hull_changes(campaign_id)
        self.hull: Hull = build_hull(
            campaign_phases(store, self.campaign, self.campaign.rounds), self.campaign.elements
        )
        self.model_hashes = store.models.hashes(campaign_id)
        self.structures = {phase.structure_id: phase.structure for phase in self.hull.phases}
        known = store.starting_structures(campaign_id)
        self.distorted = distortion_outcomes(store.distorted(campaign_id))
        near = claimed_phases(self.hull, known, NEAR_HULL, self.distorted)
        self.candidates = [entry for entry, problem in near if problem is None]
        self.refuted = [(entry, problem) for entry, problem in near if problem is not None]
        self.new_phases = [entry for entry in self.candidates if entry.energy_above_hull <= ON_HULL]
        self.on_a_hull = [
            entry
            for entry in self.hull.unique_entries(NEAR_HULL)
            if entry.energy_above_hull <= DEGENERATE or entry.correction_driven or entry.element_driven
        ]
        self.confirming_hull = self._confirming_hull(store, campaign_id)
        failed = store.not_confirmed(campaign_id)
        self.confirmed = confirmed_figures(self.hull, self.confirming_hull, failed) if self.confirming_hull else {}

    def _confirming_hull(self, store: CampaignStore, campaign_id: str) -> Hull | None:
        """Return the hull of the confirming method. None if it has not run, or lacks a phase on the campaign's hull."""
        phases = store.phases(campaign_id, self.campaign.rounds, field="confirmation")
        try:
            return confirming_hull(self.hull, phases) if phases else None
        except CcdcganError:
            return None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as one JSON object. docs/reference/report-json.md describes its keys."""
        return {
            "chemical_system": self.campaign.chemical_system,
            "campaign_id": self.campaign.campaign_id,
            "state": self.state,
            "reason": self.reason,
            "method": asdict(self.hull.method),
            "element_references": element_references(self.hull),
            "confirming_method": asdict(self.confirming_hull.method) if self.confirming_hull else None,
            "no_corrected_hull": self.hull.no_corrections or None,
            "strategy": self.campaign.strategy,
            "seed": self.campaign.seed,
            "rounds": [self._round(document) for document in self.rounds],
            "hull": [self._entry(entry) for entry in self.on_a_hull],
            "new_phases": [self._entry(entry) for entry in self.new_phases],
            "candidates": [self._entry(entry) for entry in self.candidates],
            "refuted": [{**self._entry(entry), "problem": problem} for entry, problem in self.refuted],
            "thresholds": {
                "on_hull_ev_per_atom": ON_HULL,
                "degenerate_ev_per_atom": DEGENERATE,
                "candidate_ev_per_atom": NEAR_HULL,
                "min_distance_angstrom": MIN_DISTANCE,
                "min_covalent_ratio": MIN_COVALENT_RATIO,
                "distortion": {
                    "displacement_angstrom": DISPLACEMENT,
                    "strain": STRAIN,
                    "returned_ev_per_atom": RETURNED,
                },
                "matcher": {"ltol": LTOL, "stol": STOL, "angle_tol": ANGLE_TOL},
            },
            "provenance": {
                "code_version": __version__,
                "packages": package_versions(),
                "models_sha256": self.model_hashes,
                "seeds": {"campaign": self.campaign.seed},
                "own_seeds": sorted(self.campaign.own_seeds),
                "withheld": len(self.campaign.withheld),
            },
        }

    def _round(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the counts of one round, and the time from its opening to its close (s)."""
        seconds = (document["closed"] - document["opened"]).total_seconds() if "closed" in document else None
        return {
            **{key: document.get(key) for key in (*ROUND_KEYS, *ROUND_KEYS_AFTER)},
            "failures": document.get("failures", {}),
            "decode_failures": document.get("decode_failures", {}),
            "hull_changes": self.changes.get(document["round"]),
            "seconds": seconds,
        }

    def _entry(self, entry: HullEntry) -> dict[str, Any]:
        """Return a phase with its energies on both scales, and those of the confirming method if it relaxed the phase."""
        return {
            "structure_id": entry.structure_id,
            "formula": entry.formula,
            "space_group": entry.space_group,
            "n_sites": entry.n_sites,
            "formation_energy_ev_per_atom": entry.formation_energy_per_atom,
            "energy_above_hull_ev_per_atom": entry.energy_above_hull,
            "corrected": {
                "formation_energy_ev_per_atom": entry.corrected_formation_energy_per_atom,
                "energy_above_hull_ev_per_atom": entry.corrected_energy_above_hull,
            },
            "own_elements": {
                "formation_energy_ev_per_atom": entry.own_elements_formation_energy_per_atom,
                "energy_above_hull_ev_per_atom": entry.own_elements_energy_above_hull,
            },
            "confirmed": self._confirmed(entry.structure_id),
            "returns": self.distorted[entry.structure_id] is None if entry.structure_id in self.distorted else None,
            "correction_driven": entry.correction_driven,
            "element_driven": entry.element_driven,
            "origin": entry.origin,
            "round": entry.round_number,
        }

    def _confirmed(self, structure_id: str) -> dict[str, Any] | None:
        """Return a structure's energies by the confirming method on its own hull (eV/atom). None if this method was not used for it."""
        if structure_id not in self.confirmed:
            return None
        found = self.confirmed[structure_id]["confirmed"]
        shown = {
            "method": found["method"],
            "formation_energy_ev_per_atom": found.get("formation_energy_per_atom"),
            "energy_above_hull_ev_per_atom": found.get("energy_above_hull"),
        }
        return {**shown, "problem": found["problem"]} if "problem" in found else shown

    def write(self, folder: Path) -> dict[str, Path]:
        """Write report.json, the hull as PNG and HTML, and one CIF for each new phase and candidate. Return the paths."""
        from ccdcgan_al.reports.hull_page import hull_page
        from ccdcgan_al.reports.plots import hull_figure
        from ccdcgan_al.structures.cif import cif_text

        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "report": folder / "report.json",
            "hull picture": folder / "hull.png",
            "hull page": folder / "hull.html",
            "structures": folder / "structures",
        }
        write_atomically(files["report"], json.dumps(self.as_dict(), indent=2) + "\n", mode=0o644)
        write_atomically(files["hull page"], hull_page(self.hull), mode=0o644)
        hull_figure(self.hull).savefig(files["hull picture"], dpi=150, bbox_inches="tight")
        files["structures"].mkdir(exist_ok=True)
        for old in files["structures"].iterdir():
            if _WRITTEN.fullmatch(old.name):  # files of an earlier report; other files belong to the user
                old.unlink()
        for entry in self.candidates:
            kind = "new" if entry.energy_above_hull <= ON_HULL else "candidate"
            path = files["structures"] / f"{kind}-{entry.structure_id}-{entry.formula}.cif"
            write_atomically(path, cif_text(self.structures[entry.structure_id]), mode=0o644)
        return files
