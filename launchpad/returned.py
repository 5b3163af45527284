"""The results of relaxations: record them, record a failure if there is none, and set aside withheld structures. This module closes no round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.loop import became_withheld
from launchpad.database.store import CampaignStore
from workflows.documents import failure_document, of_one_method
from workflows.schemas import RelaxationDocument

ReturnedDocuments = Mapping[str, RelaxationDocument | dict[str, Any] | None]
"""Input of a closing job, by structure_id. A dict comes from a version before the schema. None comes from a Firework without a result."""


def record(store: CampaignStore, campaign: Campaign, relaxations: ReturnedDocuments) -> None:
    """Store the results. A relaxation without any record becomes a failure, and so does a result of another method."""
    came = [document for document in relaxations.values() if document]
    store.record(campaign.campaign_id, of_one_method(came, store.recorded_method(campaign.campaign_id)))
    missing = [structure_id for structure_id, document in relaxations.items() if not document]
    still = store.documents(campaign.campaign_id, state="submitted", structure_id={"$in": missing}) if missing else []
    store.record(
        campaign.campaign_id,
        [lost(document["structure_id"], campaign.method) for document in still],
    )


def lost(structure_id: str, method: str) -> dict[str, Any]:
    """Return the failure document of a relaxation that gave no result."""
    return failure_document(structure_id, "lost", "its Firework fizzled or was withdrawn", method)


def set_aside_withheld(store: CampaignStore, campaign: Campaign) -> None:
    """Remove seeds that relaxed into a withheld structure from the campaign."""
    if campaign.withheld:
        store.mark_withheld(campaign.campaign_id, became_withheld(campaign, store.phases(campaign.campaign_id, 0)))


def all_failed(store: CampaignStore, campaign: Campaign, round_number: int) -> str | None:
    """Return the number of failures by reason if all relaxations of a round failed. Otherwise return None."""
    reasons = Counter(
        document["reason"] if document["state"] == "failed" else None
        for document in store.documents(campaign.campaign_id, round=round_number)
    )
    return None if None in reasons else ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
