"""Elements of which no seed was relaxed: which they are, what else is relaxed for them, and why there is none in the end. It opens no round."""

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
    """Return the elements of which a campaign has no phase for its hull, relaxed or, by VASP, stored."""
    relaxed = [phase.structure for phase in store.phases(campaign.campaign_id, 0)]
    stored = stored_elements(store, campaign) if relaxed else set()
    return [element for element in lacking(campaign.elements, relaxed) if element not in stored]


def further_of(store: CampaignStore, campaign: Campaign, elements: list[str]) -> list[Candidate]:
    """Return more structures of elements of which no seed was relaxed, the same whenever it is asked; they are noted in round 0.

    None where nothing is lacking, where every relaxation failed for the machine's reasons, which another structure does not
    change, or where there is no other structure.
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
    if noted["lacking"] != elements:  # what was noted before stands
        chosen = further_candidates(campaign, noted["lacking"], starts)
    return chosen


def reason_of(store: CampaignStore, campaign: Campaign, elements: list[str]) -> str:
    """Say which elements no structure was relaxed of, why not, and which option helps."""
    documents = store.documents(campaign.campaign_id, round=0)
    failures = [
        (Structure.from_dict(item["start"]), item["reason"] or item["state"])
        for item in documents
        if item["state"] != "relaxed"
    ]
    return f"{why_lacking(elements, failures)}; {what_helps(elements)}"
