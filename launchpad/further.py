"""Elements for which no seed was relaxed: which they are, which other structures to relax, and why none is left. This module opens no round."""

from __future__ import annotations

from pymatgen.core import Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.loop import further_candidates
from ccdcgan_al.seeds.starting import lacking, what_helps, why_lacking
from ccdcgan_al.types import Candidate
from launchpad.database.hull_records import OF_THE_MACHINE
from launchpad.database.references import stored_elements
from launchpad.database.store import CampaignStore


def lacking_elements(store: CampaignStore, campaign: Campaign) -> list[str]:
    """Return the elements for which a campaign has no phase for its hull: neither relaxed nor, for VASP, stored."""
    relaxed = [phase.structure for phase in store.phases(campaign.campaign_id, 0)]
    stored = stored_elements(store, campaign) if relaxed else set()
    return [element for element in lacking(campaign.elements, relaxed) if element not in stored]


def further_of(store: CampaignStore, campaign: Campaign, elements: list[str]) -> list[Candidate]:
    """Return more structures of elements for which no seed was relaxed. Repeated calls return the same. The ids are stored in round 0.

    The list is empty if no element is lacking, if there is no other structure, or if every relaxation failed because of the machine,
    which another structure would not change.
    """
    if not elements:
        return []
    known = set(store.further(campaign.campaign_id))
    seeds = [item for item in store.documents(campaign.campaign_id, round=0) if item["structure_id"] not in known]
    if all(item["state"] == "failed" and item["reason"] in OF_THE_MACHINE for item in seeds):
        return []
    starts = [Structure.from_dict(item["start"]) for item in seeds]
    chosen = further_candidates(campaign, elements, starts)
    if not chosen and not known:
        return []
    noted = store.add_further(campaign.campaign_id, elements, [candidate.structure_id for candidate in chosen])
    if noted["lacking"] != elements:  # elements that were stored before are kept
        chosen = further_candidates(campaign, noted["lacking"], starts)
    return chosen


def reason_of(store: CampaignStore, campaign: Campaign, elements: list[str]) -> str:
    """Return a text that states which elements have no relaxed structure, why, and which option helps."""
    documents = store.documents(campaign.campaign_id, round=0)
    failures = [
        (Structure.from_dict(item["start"]), item["reason"] or item["state"])
        for item in documents
        if item["state"] != "relaxed"
    ]
    return f"{why_lacking(elements, failures)}; {what_helps(elements)}"
