"""The campaigns of a database, their choices and their states. This module knows none of their structures."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING

from ccdcgan_al import __version__
from ccdcgan_al.campaign import Campaign
from launchpad.database.base import CampaignDatabase, now
from launchpad.uri import redact

ASKED_TO_STOP = ("stopped", "asked to stop")
"""State and reason of a campaign that a user stopped. A campaign that stopped by itself has another reason."""


class Campaigns(CampaignDatabase):
    """The campaigns of a database."""

    def add_campaign(self, campaign: Campaign) -> bool:
        """Store a campaign. Return False if it is already there."""
        document = {
            "campaign": campaign.as_dict(),
            "chemical_system": campaign.chemical_system,
            "method": campaign.method,
            "state": "running",
            "reason": None,
            "code_version": __version__,
            "created": now(),
            "last_updated": now(),
        }
        answer = self.campaigns.update_one({"_id": campaign.campaign_id}, {"$setOnInsert": document}, upsert=True)
        return answer.upserted_id is not None

    def campaign(self, campaign_id: str) -> Campaign:
        """Read a campaign from the database.

        Raises
        ------
        KeyError
            If there is no campaign of this name.
        """
        document = self.campaigns.find_one({"_id": campaign_id})
        if document is None:
            raise KeyError(f"no campaign {campaign_id!r} in {self.name}")
        return Campaign.from_dict(document["campaign"])

    def chemical_system(self, campaign_id: str) -> str:
        """Return the chemical system of a campaign.

        Raises
        ------
        KeyError
            If there is no campaign of this name.
        """
        document = self.campaigns.find_one({"_id": campaign_id}, {"chemical_system": 1})
        if document is None:
            raise KeyError(f"no campaign {campaign_id!r} in {self.name}")
        return str(document["chemical_system"])

    def campaign_ids(self) -> list[str]:
        """Return the names of all campaigns, oldest first."""
        return [document["_id"] for document in self.campaigns.find({}, {"_id": 1}).sort("created", ASCENDING)]

    def campaigns_on(self, chemical_system: str) -> list[dict[str, Any]]:
        """Return the documents of the campaigns on a chemical system, without their choices, oldest first."""
        found = self.campaigns.find({"chemical_system": chemical_system}, {"campaign": 0})
        return list(found.sort("created", ASCENDING))

    def chemical_systems(self) -> list[str]:
        """Return the chemical systems that have campaigns, in alphabetical order."""
        return sorted(self.campaigns.distinct("chemical_system"))

    def state(self, campaign_id: str) -> tuple[str, str | None]:
        """Return the state of a campaign (``running``, ``completed``, ``stopped``) and its reason."""
        document = self.campaigns.find_one({"_id": campaign_id}, {"state": 1, "reason": 1})
        return ("absent", None) if document is None else (document["state"], document["reason"])

    def set_state(self, campaign_id: str, state: str, reason: str | None = None) -> bool:
        """Set the state of a running campaign, and return whether it was running. Passwords are removed from the reason."""
        change = {"state": state, "reason": redact(reason) if reason else None, "last_updated": now()}
        answer = self.campaigns.update_one({"_id": campaign_id, "state": "running"}, {"$set": change})
        return answer.matched_count == 1
