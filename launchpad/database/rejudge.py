"""Judges a campaign of an earlier version again, where its stored figures have another zero than this version's hulls. It relaxes nothing.

Until schema version 2 the energies of the elements were always those of the campaign's own method. The total energies are
stored, so hulls, counts and figures of every round follow from them; a predicted formation energy moves with its composition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymatgen.core import Composition
from pymongo import UpdateOne

from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.hull.changes import hull_changes
from ccdcgan_al.hull.confirmation import confirming_hull
from ccdcgan_al.hull.element_references import energy_of_elements, references_of
from ccdcgan_al.hull.hull import Hull, build_hull
from ccdcgan_al.loop import hull_counts
from launchpad.database.hull_records import confirmed_figures, distortion_outcomes, figures, hull_documents
from launchpad.database.references import campaign_phases

if TYPE_CHECKING:
    from ccdcgan_al.campaign import Campaign
    from launchpad.database.store import CampaignStore


def judge_again(store: CampaignStore, campaign_id: str) -> bool:
    """Give a campaign's stored figures this version's zero; may be repeated, and goes on where it was killed.

    Parameters
    ----------
    store : CampaignStore
        The database.
    campaign_id : str
        The campaign.

    Returns
    -------
    bool
        False where its figures have this zero already, or where it has none yet.

    Raises
    ------
    HullError
        A hull that an earlier version stored cannot be built.
    """
    method = store.recorded_method(campaign_id)
    if method is None:
        return False
    campaign = store.campaign(campaign_id)
    scheme = references_of(method, campaign.elements).scheme
    rounds = store.rounds_of_other_elements(campaign_id, scheme)
    if not rounds:
        return False
    known = store.starting_structures(campaign_id)
    newest = max(store.hull_changes(campaign_id))
    last = build_hull(campaign_phases(store, campaign, newest), campaign.elements)
    _move_predictions(store, campaign_id, last)
    unstable = distortion_outcomes(store.distorted(campaign_id))
    store.save_figures(campaign_id, figures(last, newest, unstable, known))
    _confirmations(store, campaign, last, newest)
    for number in rounds:  # the hulls last: what is left of them says that there is something to do
        hull = build_hull(campaign_phases(store, campaign, number), campaign.elements)
        store.recount_round(campaign_id, number, hull_counts(hull, number, known))
        store.save_hull(campaign_id, number, hull_documents(hull, hull_changes(hull, number)))
    return True


def _move_predictions(store: CampaignStore, campaign_id: str, hull: Hull) -> None:
    """Move each predicted formation energy from the method's own elements to the hull's references, once."""
    scheme = hull.element_references.scheme
    wanted = {
        "campaign_id": campaign_id,
        "predicted_energy": {"$type": "number"},
        "element_references": {"$ne": scheme},
    }
    writes = []
    for document in store.structures.find(wanted, {"formula": 1}):
        composition = Composition(document["formula"])
        own = energy_of_elements(composition, hull.own_elements)
        references = energy_of_elements(composition, {**hull.own_elements, **hull.element_references.energies})
        if own is not None and references is not None:
            change = {"$inc": {"predicted_energy": own - references}, "$set": {"element_references": scheme}}
            writes.append(UpdateOne({"_id": document["_id"], "element_references": {"$ne": scheme}}, change))
    if writes:
        store.structures.bulk_write(writes, ordered=False)


def _confirmations(store: CampaignStore, campaign: Campaign, hull: Hull, newest: int) -> None:
    """Store the figures by the confirming method again, where there are some."""
    confirmed = store.phases(campaign.campaign_id, newest, field="confirmation")
    if not confirmed:
        return
    try:
        failed = store.not_confirmed(campaign.campaign_id)
        found = confirmed_figures(hull, confirming_hull(hull, confirmed), failed)
    except CcdcganError:  # with this zero another phase is on the hull, which nobody confirmed: old figures are none
        store.drop_confirmed(campaign.campaign_id)
        return
    store.save_figures(campaign.campaign_id, found)
