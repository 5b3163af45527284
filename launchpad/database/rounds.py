"""The rounds of a campaign: opened, counted, closed once. It knows no structure by more than its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING, ReturnDocument

from ccdcgan_al import __version__
from launchpad.database.base import CampaignDatabase, now


class Rounds(CampaignDatabase):
    """The rounds of campaigns."""

    def open_round(self, campaign_id: str, round_number: int, counts: dict[str, Any]) -> None:
        """Store the counts of what was generated and chosen; the time of opening stays that of the first call."""
        where = {"campaign_id": campaign_id, "round": round_number}
        opening = {"opened": now(), "state": "open", "code_version": __version__}
        change = {"$set": {**counts, "last_updated": now()}, "$setOnInsert": opening}
        self.rounds.update_one(where, change, upsert=True)

    def close_round(self, campaign_id: str, round_number: int, counts: dict[str, Any]) -> None:
        """Store the counts of what came back."""
        where = {"campaign_id": campaign_id, "round": round_number}
        self.rounds.update_one(where, {"$set": {**counts, "state": "closed", "last_updated": now()}})
        self.rounds.update_one({**where, "closed": {"$exists": False}}, {"$set": {"closed": now()}})

    def returned(self, campaign_id: str, round_number: int, batch: int) -> bool:
        """Note that a batch of a round is back, and return whether this is the batch that closes the round.

        That is the one that completes the round's number of batches, for good: asked again, by whichever batch and
        how often, the answer stays the same.
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
        """Note, for good, which elements lacked a relaxed seed and which structures are relaxed for them; return round 0 as it is then.

        What was noted first stands. The structures count as the round's own, and so towards the budget.
        """
        where = {"campaign_id": campaign_id, "round": 0}
        more = {"lacking": list(elements), "further": list(structure_ids), "last_updated": now()}
        counted = {"$add": ["$submitted", len(structure_ids)]}
        self.rounds.update_one({**where, "further": {"$exists": False}}, [{"$set": {**more, "submitted": counted}}])
        return self.rounds.find_one(where) or {}

    def further(self, campaign_id: str) -> list[str]:
        """Ids of the structures of round 0 that `add_further` noted."""
        document = self.rounds.find_one({"campaign_id": campaign_id, "round": 0}, {"further": 1}) or {}
        return list(document.get("further", []))

    def is_open(self, campaign_id: str, round_number: int) -> bool:
        """Whether a round was opened, closed since or not."""
        return self.rounds.find_one({"campaign_id": campaign_id, "round": round_number}, {"_id": 1}) is not None

    def round_documents(self, campaign_id: str) -> list[dict[str, Any]]:
        """Round documents in order."""
        return list(self.rounds.find({"campaign_id": campaign_id}, {"_id": 0}).sort("round", ASCENDING))

    def recount_round(self, campaign_id: str, round_number: int, counts: dict[str, int]) -> None:
        """Store the numbers of new phases of a closed round again, after its hull was judged again."""
        where = {"campaign_id": campaign_id, "round": round_number}
        self.rounds.update_one(where, {"$set": {**counts, "last_updated": now()}})
