"""The structures of a campaign as they were proposed, and their states. What a relaxation gave back: `launchpad.database.relaxations`."""

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
"""Fields that no list of structures shows."""


DESCENT = ("strategy", "operation", "parents")
"""What a generated structure was made by, and from."""


class Structures(Campaigns):
    """The structures of campaigns; each has its campaign's chemical system."""

    def submit(self, campaign_id: str, candidates: Sequence[Candidate], provenance: dict[str, Any]) -> None:
        """Store structures before they are relaxed; one that is there already stays as it is."""
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
        """Store what was generated, is valid and new, and is not relaxed; return how many are no exact copies (`launchpad.database.generated`).

        Their structure_id is made from their fingerprint, so that the campaign has each of them once.
        """
        made = _documents(candidates, self.chemical_system(campaign_id))
        documents = [{**document, "state": "generated", "provenance": provenance} for document in made]
        return insert_new(self.structures, campaign_id, documents)

    def mark_withheld(self, campaign_id: str, structure_ids: Sequence[str]) -> None:
        """Set relaxed structures aside that became what the campaign must not be given."""
        self._mark(campaign_id, structure_ids, "relaxed", "withheld", "relaxed into a withheld structure")

    def mark_withdrawn(self, campaign_id: str, structure_ids: Sequence[str]) -> None:
        """Note which submitted structures nobody will relax, since the campaign was asked to stop."""
        self._mark(campaign_id, structure_ids, "submitted", "withdrawn", ASKED_TO_STOP[1])

    def _mark(self, campaign_id: str, structure_ids: Sequence[str], was: str, state: str, reason: str) -> None:
        self.structures.update_many(
            {"campaign_id": campaign_id, "structure_id": {"$in": list(structure_ids)}, "state": was},
            {"$set": {"state": state, "reason": reason, "last_updated": now()}},
        )

    def documents(self, campaign_id: str, up_to_round: int | None = None, **where: Any) -> list[dict[str, Any]]:
        """Structure documents in the order of their ids; those that were generated and not chosen are none of them."""
        query: dict[str, Any] = {"campaign_id": campaign_id, "state": {"$ne": "generated"}, **where}
        if up_to_round is not None:
            query["round"] = {"$lte": up_to_round}
        return list(self.structures.find(query, {"attempts": 0}).sort("structure_id", ASCENDING))

    def candidates(self, campaign_id: str, round_number: int) -> list[Candidate]:
        """Structures of a round as they were submitted, in the order of their ids."""
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
        """Seeds as they were given, also those that failed; not those set aside, which are for the campaign to find."""
        seeds = self.structures.find(
            {"campaign_id": campaign_id, "round": 0, "state": {"$ne": "withheld"}}, {"start": 1}
        )
        return [Structure.from_dict(document["start"]) for document in seeds.sort("structure_id", ASCENDING)]

    def structure(self, campaign_id: str, structure_id: str) -> dict[str, Any] | None:
        """Whole document of a structure; None where the campaign has none of this name."""
        return self.structures.find_one({"campaign_id": campaign_id, "structure_id": structure_id})

    def structures_named(self, structure_id: str, campaign_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Whole documents of the structures of this name, of any of some campaigns."""
        return list(
            self.structures.find({"campaign_id": {"$in": list(campaign_ids)}, "structure_id": {"$eq": structure_id}})
        )

    def matching(self, where: dict[str, Any]) -> list[dict[str, Any]]:
        """Documents that fit a filter (`launchpad.database.queries.structure_filter`), without their attempts, in no order."""
        return list(self.structures.find(where, {"attempts": 0}))

    def find_structures(self, where: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        """Return structures, lowest energy above hull first, those without one last, without geometry.

        Parameters
        ----------
        where : dict
            A filter (`launchpad.database.queries.structure_filter`).
        limit : int
            Largest number of structures.

        Returns
        -------
        list of dict
            Their documents.
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
        """How structures stand against the newest hull, and where they come from, by structure_id."""
        shown = ("structure_id", "is_new_phase", "duplicate_of", "confirmed", "hull_round", "source", *DESCENT)
        query = {"campaign_id": campaign_id, "structure_id": {"$in": list(structure_ids)}}
        return {found["structure_id"]: found for found in self.structures.find(query, dict.fromkeys(shown, 1))}

    def tried(self, campaign_id: str) -> list[dict[str, Any]]:
        """Return what was relaxed, or failed, in the order of rounds and ranks: `is_new_phase` and `energy_above_hull` alone."""
        query = {"campaign_id": campaign_id, "state": {"$in": ["relaxed", "failed"]}}
        order = [("round", ASCENDING), ("structure_id", ASCENDING)]
        return list(self.structures.find(query, {"is_new_phase": 1, "energy_above_hull": 1}).sort(order))


def _documents(candidates: Sequence[Candidate], chemical_system: str) -> list[dict[str, Any]]:
    """Return what is known of structures before they are relaxed, less fingerprint, state and provenance."""
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
