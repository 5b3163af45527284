"""The rounds of a campaign: opened, counted, and closed once. This module knows only the ids of structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING, ReturnDocument

from ccdcgan_al import __version__
from launchpad.database.base import CampaignDatabase, now


class Rounds(CampaignDatabase):
    """The rounds of campaigns."""

    def open_round(self, campaign_id: str, round_number: int, counts: dict[str, Any]) -> None:
        """Store the counts of generation and selection. The opening time stays that of the first call."""
        where = {"campaign_id": campaign_id, "round": round_number}
        opening = {"opened": now(), "state": "open", "code_version": __version__}
        change = {"$set": {**counts, "last_updated": now()}, "$setOnInsert": opening}
        self.rounds.update_one(where, change, upsert=True)

    def close_round(self, campaign_id: str, round_number: int, counts: dict[str, Any]) -> None:
        """Store the counts of the results."""
        where = {"campaign_id": campaign_id, "round": round_number}
        self.rounds.update_one(where, {"$set": {**counts, "state": "closed", "last_updated": now()}})
        self.rounds.update_one({**where, "closed": {"$exists": False}}, {"$set": {"closed": now()}})

    def returned(self, campaign_id: str, round_number: int, batch: int) -> bool:
        """Record that a batch of a round is back, and return whether this batch closes the round.

        The batch that completes the round's number of batches closes it. This never changes: repeated calls, for any batch, give the
        same answers.
        """
        back = {"$setUnion": [{"$ifNull": ["$returned", []]}, [batch]]}
        last = {"$cond": [{"$gte": [{"$size": "$returned"}, "$batches"]}, batch, None]}
        document = self.rounds.find_one_and_update(
            {"campaign_id": campaign_id, "round": round_number},
            [{"$set": {"returned": back}}, {"$set": {"closing_batch": {"$ifNull": ["$closing_batch", last]}}}],
            return_document=ReturnDocument.AFTER,
        )
        return document is not None and document["closing_batch"] == batch

    def add_further(self, campaign_id: str, elements: Sequence[str], structure_ids: Sequence[str]) -> dict[str, Any]:
        """Record the elements that lack a relaxed seed and the structures relaxed for them. Return the document of round 0 afterwards.

        The first record is never changed. The structures belong to round 0, so they count towards the budget.
        """
        where = {"campaign_id": campaign_id, "round": 0}
        more = {"lacking": list(elements), "further": list(structure_ids), "last_updated": now()}
        counted = {"$add": ["$submitted", len(structure_ids)]}
        self.rounds.update_one({**where, "further": {"$exists": False}}, [{"$set": {**more, "submitted": counted}}])
        return self.rounds.find_one(where) or {}

    def further(self, campaign_id: str) -> list[str]:
        """Return the ids of the structures of round 0 that `add_further` recorded."""
        document = self.rounds.find_one({"campaign_id": campaign_id, "round": 0}, {"further": 1}) or {}
        return list(document.get("further", []))

    def is_open(self, campaign_id: str, round_number: int) -> bool:
        """Return whether a round was opened. It may also be closed."""
        return self.rounds.find_one({"campaign_id": campaign_id, "round": round_number}, {"_id": 1}) is not None

    def round_documents(self, campaign_id: str) -> list[dict[str, Any]]:
        """Return the documents of the rounds, in order."""
        return list(self.rounds.find({"campaign_id": campaign_id}, {"_id": 0}).sort("round", ASCENDING))

    def recount_round(self, campaign_id: str, round_number: int, counts: dict[str, int]) -> None:
        """Store new numbers of new phases for a closed round, after its hull was built again."""
        where = {"campaign_id": campaign_id, "round": round_number}
        self.rounds.update_one(where, {"$set": {**counts, "last_updated": now()}})
