"""What relaxations give back: recorded, a failure where nothing came, set aside where it is withheld. It closes no round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.loop import became_withheld
from launchpad.database.store import CampaignStore
from workflows.documents import failure_document, of_one_method
from workflows.schemas import RelaxationDocument

Relaxations = Mapping[str, RelaxationDocument | dict[str, Any] | None]
"""What a closing job is given, by structure_id: a dict is of a version before the schema, None of a Firework that gave nothing back."""


def record(store: CampaignStore, campaign: Campaign, relaxations: Relaxations) -> None:
    """Store what came back; what did not, and was not recorded otherwise, is a failure, as is a result of another method."""
    came = [document for document in relaxations.values() if document]
    store.record(campaign.campaign_id, of_one_method(came, store.recorded_method(campaign.campaign_id)))
    missing = [structure_id for structure_id, document in relaxations.items() if not document]
    still = store.documents(campaign.campaign_id, state="submitted", structure_id={"$in": missing}) if missing else []
    store.record(
        campaign.campaign_id,
        [lost(document["structure_id"], campaign.method) for document in still],
    )


def lost(structure_id: str, method: str) -> dict[str, Any]:
    """Return the document of a relaxation that gave nothing back."""
    return failure_document(structure_id, "lost", "its Firework fizzled or was withdrawn", method)


def set_aside_withheld(store: CampaignStore, campaign: Campaign) -> None:
    """Take seeds that relaxed into a withheld structure out of the campaign."""
    if campaign.withheld:
        store.mark_withheld(campaign.campaign_id, became_withheld(campaign, store.phases(campaign.campaign_id, 0)))


def all_failed(store: CampaignStore, campaign: Campaign, round_number: int) -> str | None:
    """Return the failures of a round of which nothing was relaxed, by reason; None where something was."""
    reasons = Counter(
        document["reason"] if document["state"] == "failed" else None
        for document in store.documents(campaign.campaign_id, round=round_number)
    )
    return None if None in reasons else ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
