"""The proposed structures of a campaign, and their states. `launchpad.database.relaxations` handles the results of relaxations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymatgen.core import Structure
from pymongo import ASCENDING, UpdateOne

from ccdcgan_al.structures.fingerprint import fingerprints
from ccdcgan_al.types import Candidate
from launchpad.database.base import now
from launchpad.database.campaigns import ASKED_TO_STOP, Campaigns
from launchpad.database.generated import insert_new

_BULKY = ("_id", "attempts", "start", "relaxation", "confirmation", "distortion", "fingerprint")
"""Fields that lists of structures do not show."""


DESCENT = ("strategy", "operation", "parents")
"""Fields for the origin of a generated structure."""


class Structures(Campaigns):
    """The structures of campaigns. Each structure has its campaign's chemical system."""

    def submit(self, campaign_id: str, candidates: Sequence[Candidate], provenance: dict[str, Any]) -> None:
        """Store structures before their relaxation. An existing structure is not changed."""
        documents = _documents(candidates, self.chemical_system(campaign_id))
        names = fingerprints([candidate.structure for candidate in candidates])
        known = {"state": "submitted", "attempts": [], "provenance": provenance}
        writes = [
            UpdateOne(
                {"campaign_id": campaign_id, "structure_id": document["structure_id"]},
                {"$setOnInsert": {**document, "fingerprint": name, **known}},
                upsert=True,
            )
            for document, name in zip(documents, names, strict=True)
        ]
        if writes:
            self.structures.bulk_write(writes)

    def add_generated(self, campaign_id: str, candidates: Sequence[Candidate], provenance: dict[str, Any]) -> int:
        """Store valid and novel generated structures that are not relaxed. Return the number without exact copies (`launchpad.database.generated`).

        Their structure_id is made from their fingerprint, so a campaign has each of them only once.
        """
        made = _documents(candidates, self.chemical_system(campaign_id))
        documents = [{**document, "state": "generated", "provenance": provenance} for document in made]
        return insert_new(self.structures, campaign_id, documents)

    def mark_withheld(self, campaign_id: str, structure_ids: Sequence[str]) -> None:
        """Set aside relaxed structures that match a withheld structure."""
        self._mark(campaign_id, structure_ids, "relaxed", "withheld", "relaxed into a withheld structure")

    def mark_withdrawn(self, campaign_id: str, structure_ids: Sequence[str]) -> None:
        """Record which submitted structures will not be relaxed because the campaign was stopped."""
        self._mark(campaign_id, structure_ids, "submitted", "withdrawn", ASKED_TO_STOP[1])

    def _mark(self, campaign_id: str, structure_ids: Sequence[str], was: str, state: str, reason: str) -> None:
        self.structures.update_many(
            {"campaign_id": campaign_id, "structure_id": {"$in": list(structure_ids)}, "state": was},
            {"$set": {"state": state, "reason": reason, "last_updated": now()}},
        )

    def documents(self, campaign_id: str, up_to_round: int | None = None, **where: Any) -> list[dict[str, Any]]:
        """Return the documents of structures in the order of their ids, without those that were generated but not selected."""
        query: dict[str, Any] = {"campaign_id": campaign_id, "state": {"$ne": "generated"}, **where}
        if up_to_round is not None:
            query["round"] = {"$lte": up_to_round}
        return list(self.structures.find(query, {"attempts": 0}).sort("structure_id", ASCENDING))

    def candidates(self, campaign_id: str, round_number: int) -> list[Candidate]:
        """Return the structures of a round as they were submitted, in the order of their ids."""
        return [
            Candidate(
                document["structure_id"],
                Structure.from_dict(document["start"]),
                document["origin"],
                document["round"],
                document["source"],
                document["predicted_energy"],
                document["uncertainty"],
                document["strategy"],
                document["operation"],
                tuple(document["parents"]),
            )
            for document in self.documents(campaign_id, round=round_number)
        ]

    def starting_structures(self, campaign_id: str) -> list[Structure]:
        """Return the unrelaxed seeds, including failed ones. Seeds that were set aside are left out, because the campaign may find them again."""
        seeds = self.structures.find(
            {"campaign_id": campaign_id, "round": 0, "state": {"$ne": "withheld"}}, {"start": 1}
        )
        return [Structure.from_dict(document["start"]) for document in seeds.sort("structure_id", ASCENDING)]

    def structure(self, campaign_id: str, structure_id: str) -> dict[str, Any] | None:
        """Return the complete document of a structure. Return None if the campaign has none of this name."""
        return self.structures.find_one({"campaign_id": campaign_id, "structure_id": structure_id})

    def structures_named(self, structure_id: str, campaign_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the complete documents of the structures of this name in the given campaigns."""
        return list(
            self.structures.find({"campaign_id": {"$in": list(campaign_ids)}, "structure_id": {"$eq": structure_id}})
        )

    def matching(self, where: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the documents for a filter (`launchpad.database.queries.structure_filter`), without their attempts, in any order."""
        return list(self.structures.find(where, {"attempts": 0}))

    def find_structures(self, where: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        """Return structures without geometry, lowest energy above hull first. Structures without this energy come last.

        Parameters
        ----------
        where : dict
            Filter (`launchpad.database.queries.structure_filter`).
        limit : int
            Maximum number of structures.

        Returns
        -------
        list of dict
            Documents of the structures.
        """
        hidden = dict.fromkeys(_BULKY, 0)
        names = [("campaign_id", ASCENDING), ("structure_id", ASCENDING)]
        placed = where if "energy_above_hull" in where else {**where, "energy_above_hull": {"$gte": 0}}
        order = [("energy_above_hull", ASCENDING), *names]
        found = list(self.structures.find(placed, hidden).sort(order).limit(limit))
        if placed is not where and len(found) < limit:
            rest = {**where, "energy_above_hull": None}
            found += list(self.structures.find(rest, hidden).sort(names).limit(limit - len(found)))
        return found

    def stored_figures(self, campaign_id: str, structure_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the results of structures on the newest hull, and their origin, by structure_id."""
        shown = ("structure_id", "is_new_phase", "duplicate_of", "confirmed", "hull_round", "source", *DESCENT)
        query = {"campaign_id": campaign_id, "structure_id": {"$in": list(structure_ids)}}
        return {found["structure_id"]: found for found in self.structures.find(query, dict.fromkeys(shown, 1))}

    def tried(self, campaign_id: str) -> list[dict[str, Any]]:
        """Return only `is_new_phase` and `energy_above_hull` of the relaxed and failed structures, in the order of rounds and ranks."""
        query = {"campaign_id": campaign_id, "state": {"$in": ["relaxed", "failed"]}}
        order = [("round", ASCENDING), ("structure_id", ASCENDING)]
        return list(self.structures.find(query, {"is_new_phase": 1, "energy_above_hull": 1}).sort(order))


def _documents(candidates: Sequence[Candidate], chemical_system: str) -> list[dict[str, Any]]:
    """Return the documents of unrelaxed structures, without fingerprint, state and provenance."""
    return [
        {
            "structure_id": candidate.structure_id,
            "chemical_system": chemical_system,
            "elements": sorted(element.symbol for element in candidate.structure.composition.elements),
            "formula": candidate.structure.composition.reduced_formula,
            "n_sites": len(candidate.structure),
            "origin": candidate.origin,
            "round": candidate.round_number,
            "source": candidate.source,
            "strategy": candidate.strategy,
            "operation": candidate.operation,
            "parents": list(candidate.parents),
            "start": candidate.structure.as_dict(),
            "predicted_energy": candidate.predicted_energy,
            "uncertainty": candidate.uncertainty,
            "last_updated": now(),
        }
        for candidate in candidates
    ]
