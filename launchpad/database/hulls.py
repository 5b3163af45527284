"""The stored hulls of a campaign, one for each round and scheme, and the structures' energies on the newest hull. This module builds no hull."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, UpdateOne

from launchpad.database.base import CampaignDatabase, now


class Hulls(CampaignDatabase):
    """The hulls of campaigns, and the results of structures that follow from them."""

    def save_hull(self, campaign_id: str, round_number: int, documents: Sequence[dict[str, Any]]) -> bool:
        """Store the hull of a round, one document for each scheme (`launchpad.database.hull_records.hull_documents`).

        Hulls of earlier rounds become superseded. If this round is an earlier one that was closed again, return False: then its hull
        does not give the present results of the campaign's structures.
        """
        newer = self.hulls.find_one({"campaign_id": campaign_id, "round": {"$gt": round_number}}, {"_id": 1})
        for document in documents:
            where = {
                "campaign_id": campaign_id,
                "round": round_number,
                "method.name": document["method"]["name"],
                "scheme": document["scheme"],
            }
            stored = {**document, "state": "superseded" if newer else "current", "last_updated": now()}
            self.hulls.update_one(where, {"$set": stored}, upsert=True)
        self.hulls.update_many(
            {"campaign_id": campaign_id, "round": {"$lt": round_number}, "state": "current"},
            {"$set": {"state": "superseded", "last_updated": now()}},
        )
        return newer is None

    def save_figures(self, campaign_id: str, figures: dict[str, dict[str, Any]]) -> None:
        """Store the hull results of structures, by structure_id (`launchpad.database.hull_records`)."""
        when = now()
        writes = [
            UpdateOne({"campaign_id": campaign_id, "structure_id": name}, {"$set": {**fields, "last_updated": when}})
            for name, fields in figures.items()
        ]
        if writes:
            self.structures.bulk_write(writes, ordered=False)

    def rounds_of_other_elements(self, campaign_id: str, scheme: str) -> list[int]:
        """Return the rounds whose stored hull has element energies of another scheme than `scheme`, in order."""
        query = {"campaign_id": campaign_id, "element_references.scheme": {"$ne": scheme}}
        return sorted(int(number) for number in self.hulls.distinct("round", query))

    def drop_confirmed(self, campaign_id: str) -> None:
        """Remove the results of the confirming method if they no longer hold. Its relaxations are kept."""
        where = {"campaign_id": campaign_id, "confirmed": {"$exists": True}}
        self.structures.update_many(where, {"$unset": {"confirmed": ""}, "$set": {"last_updated": now()}})

    def hull_changes(self, campaign_id: str) -> dict[int, dict[str, Any]]:
        """Return the hull changes of each closed round (`ccdcgan_al.hull.changes.HullChanges`, as a document)."""
        query = {"campaign_id": campaign_id, "changes": {"$exists": True}}
        found = self.hulls.find(query, {"round": 1, "changes": 1}).sort("round", ASCENDING)
        return {document["round"]: document["changes"] for document in found}

    def stored_hull(self, campaign_id: str, round_number: int | None = None) -> dict[str, Any] | None:
        """Return the stored uncorrected hull of a campaign after a round, or the newest. Return None if there is none."""
        where: dict[str, Any] = {"campaign_id": campaign_id, "scheme": "uncorrected"}
        if round_number is not None:
            where["round"] = round_number
        return self.hulls.find_one(where, sort=[("round", DESCENDING)])
