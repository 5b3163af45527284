"""New hull results for a campaign of an earlier version, if they have another zero than this version's hulls. This module relaxes nothing.

Until schema version 2 the energies of the elements were always those of the campaign's own method. The total energies are
stored, so the hulls, counts and results of every round follow from them. A predicted formation energy shifts with its composition.
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
    """Give a campaign's stored results this version's zero. It can be repeated, and continues after it was killed.

    Parameters
    ----------
    store : CampaignStore
        Database of the campaigns.
    campaign_id : str
        Name of the campaign.

    Returns
    -------
    bool
        Whether something was changed. False if the results already have this zero, or if there are no results.

    Raises
    ------
    HullError
        If a hull that an earlier version stored cannot be built.
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
    for number in rounds:  # the hulls are written last: an old one shows that this function has not finished
        hull = build_hull(campaign_phases(store, campaign, number), campaign.elements)
        store.recount_round(campaign_id, number, hull_counts(hull, number, known))
        store.save_hull(campaign_id, number, hull_documents(hull, hull_changes(hull, number)))
    return True


def _move_predictions(store: CampaignStore, campaign_id: str, hull: Hull) -> None:
    """Shift each predicted formation energy once, from the method's own elements to the hull's references."""
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
    """Store the results of the confirming method again, if there are any."""
    confirmed = store.phases(campaign.campaign_id, newest, field="confirmation")
    if not confirmed:
        return
    try:
        failed = store.not_confirmed(campaign.campaign_id)
        found = confirmed_figures(hull, confirming_hull(hull, confirmed), failed)
    except CcdcganError:  # with this zero an unconfirmed phase is on the hull: the old results are invalid
        store.drop_confirmed(campaign.campaign_id)
        return
    store.save_figures(campaign.campaign_id, found)
