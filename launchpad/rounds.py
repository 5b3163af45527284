"""The loop on one page: to close a round means to record it, rebuild the hull, learn, and open the next round.

This module has no science (`ccdcgan_al`), no relaxation (`workflows`), no query (`store`) and no Firework (`batches`). Every step
can be repeated. If a worker dies anywhere in a close, the rerun writes the same data again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from jobflow import Response, job
from pymatgen.core import Structure

from ccdcgan_al import __version__
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import CcdcganError, HullError
from ccdcgan_al.hull.changes import hull_changes
from ccdcgan_al.hull.confirmation import confirming_hull, phases_to_confirm
from ccdcgan_al.hull.hull import Hull, build_hull
from ccdcgan_al.loop import Loop, Round, distorted_candidates, hull_counts, starting_candidates
from ccdcgan_al.settings import Settings
from ccdcgan_al.types import Candidate
from launchpad.batches import BATCH_SIZE, put, split, withdraw
from launchpad.database.campaigns import ASKED_TO_STOP
from launchpad.database.hull_records import confirmed_figures, distortion_outcomes, figures, hull_documents
from launchpad.database.references import campaign_phases, stored_elements
from launchpad.database.rejudge import judge_again
from launchpad.database.store import CampaignStore
from launchpad.further import further_of, lacking_elements, reason_of
from launchpad.returned import ReturnedDocuments, all_failed, lost, record, set_aside_withheld
from launchpad.service.configure import launchpad_at
from workflows.documents import of_one_method
from workflows.flows import RoundMaker
from workflows.methods import relaxer

MOST_CONFIRMED = MOST_DISTORTED = min(40, BATCH_SIZE)  # one batch


def choose(campaign: Campaign, store: CampaignStore, say: Callable[[str], None] | None = None) -> list[Candidate]:
    """Return the seeds of a campaign. Nothing is written.

    Raises
    ------
    StartingStructuresError
        If an element of the system has no structure to start from.
    """
    return starting_candidates(campaign, stored_elements(store, campaign), say)


def begin(campaign: Campaign, store: CampaignStore, chosen: list[Candidate] | None = None) -> None:
    """Store the seeds of a campaign and put their relaxations on the LaunchPad. The default of `chosen` is `choose`. It can be repeated."""
    if not store.is_open(campaign.campaign_id, 0):
        chosen = choose(campaign, store) if chosen is None else chosen
        seeds = len(chosen)
        counts = {"generated": seeds, "mutants": 0, "decoded": seeds, "valid": seeds, "unique": seeds}
        _open_round(campaign, store, 0, chosen, {**counts, "novel": seeds, "models": {}})
    _put_round(campaign, store, 0)


@job
def close_round(campaign_id: str, round_number: int, batch: int, relaxations: ReturnedDocuments) -> Response:
    """Record a batch of a round. The last batch of a round also closes the round: it builds the hull and starts the next step.

    The next step is another round. At the end of the campaign it is the relaxations of distorted phases, and then the
    confirmation. After `ccdcgan-al stop` there is no next step.
    """
    store = CampaignStore.of_worker()
    campaign = store.campaign(campaign_id)
    try:
        judge_again(store, campaign_id)
        record(store, campaign, relaxations)
        if store.state(campaign_id) == ASKED_TO_STOP:
            with contextlib.suppress(HullError):  # the campaign was stopped before every element was relaxed
                _close(store, campaign, round_number)
            return Response(stored_data={"stopped": ASKED_TO_STOP[1]})
        if not store.returned(campaign_id, round_number, batch):
            return Response(stored_data={"closed": f"batch {batch + 1} of round {round_number}, which others close"})
        if round_number == 0 and _put_elements(store, campaign):
            return Response(stored_data={"closed": "the seeds; more structures of the elements follow"})
        _close_and_go_on(store, campaign, round_number)
    except CcdcganError as error:
        store.set_state(campaign_id, "stopped", f"round {round_number}: {error}")
        return Response(stored_data={"stopped": str(error)})
    return Response(stored_data={"closed": f"round {round_number}"})


@job
def close_elements(campaign_id: str, relaxations: ReturnedDocuments) -> Response:
    """Record further structures of elements for which no seed was relaxed, and close round 0."""
    store = CampaignStore.of_worker()
    campaign = store.campaign(campaign_id)
    try:
        record(store, campaign, relaxations)
        if store.state(campaign_id) == ASKED_TO_STOP:
            with contextlib.suppress(HullError):
                _close(store, campaign, 0)
            return Response(stored_data={"stopped": ASKED_TO_STOP[1]})
        _close_and_go_on(store, campaign, 0)
    except CcdcganError as error:
        store.set_state(campaign_id, "stopped", f"round 0: {error}")
        return Response(stored_data={"stopped": str(error)})
    return Response(stored_data={"closed": "round 0"})


@job
def close_distortion(campaign_id: str, round_number: int, relaxations: ReturnedDocuments) -> Response:
    """Record which phases near the hull relaxed back after a small distortion, by the campaign's own method. Then start the confirmation."""
    store = CampaignStore.of_worker()
    campaign = store.campaign(campaign_id)
    judge_again(store, campaign_id)
    returned = [document or lost(name, campaign.method) for name, document in relaxations.items()]
    store.record(campaign_id, of_one_method(returned, store.recorded_method(campaign_id)), as_field="distortion")
    hull = build_hull(campaign_phases(store, campaign, round_number), campaign.elements)
    unstable, known = distortion_outcomes(store.distorted(campaign_id)), store.starting_structures(campaign_id)
    store.save_figures(campaign_id, figures(hull, round_number, unstable, known))
    if store.state(campaign_id) != ASKED_TO_STOP:
        _put_confirmation(store, campaign, hull)
    return Response()


@job
def close_confirmation(campaign_id: str, round_number: int, relaxations: ReturnedDocuments) -> Response:
    """Record the confirming relaxations and end the campaign. Its last round was `round_number`."""
    store = CampaignStore.of_worker()
    judge_again(store, campaign_id)
    came = [document for document in relaxations.values() if document]
    recorded = store.recorded_method(campaign_id, field="confirmation")
    store.record(campaign_id, of_one_method(came, recorded), as_field="confirmation")
    campaign = store.campaign(campaign_id)
    reason = _ending(store, campaign, round_number)
    try:
        hull = build_hull(campaign_phases(store, campaign, round_number), campaign.elements)
        confirming = confirming_hull(hull, store.phases(campaign_id, round_number, field="confirmation"))
        store.save_figures(campaign_id, confirmed_figures(hull, confirming, store.not_confirmed(campaign_id)))
    except CcdcganError as error:  # the confirming method did not relax a phase on the hull
        reason = f"{reason}; nothing is confirmed: {error}"
    store.set_state(campaign_id, "completed", reason)
    return Response()


def _close_and_go_on(store: CampaignStore, campaign: Campaign, round_number: int) -> None:
    """Close a round whose batches are all back, and put the next step on the LaunchPad.

    Raises
    ------
    HullError
        If there is no hull. If an element has no relaxed structure, the message names it and what helps.
    """
    failures = all_failed(store, campaign, round_number)
    if failures:
        reason = f"round {round_number}: every relaxation failed ({failures})"
        store.set_state(campaign.campaign_id, "stopped", reason)
    try:
        hull = _close(store, campaign, round_number)
    except HullError as error:
        if missing := lacking_elements(store, campaign):
            raise HullError(reason_of(store, campaign, missing)) from error
        raise
    if failures or _ending(store, campaign, round_number) or not _next_round(store, campaign, round_number + 1, hull):
        _put_distortion(store, campaign, hull)


def _put_elements(store: CampaignStore, campaign: Campaign) -> bool:
    """Relax more structures of the elements for which no seed was relaxed. Return False if there is nothing to relax.

    The elements and the ids of the structures are stored in the round before the structures themselves. So a rerun chooses the
    same structures and distinguishes them from the seeds.
    """
    campaign_id = campaign.campaign_id
    set_aside_withheld(store, campaign)
    chosen = further_of(store, campaign, lacking_elements(store, campaign))
    if not chosen:
        return False
    store.submit(campaign_id, chosen, _provenance(campaign, 0, {}))
    names = set(store.further(campaign_id))
    _put(
        campaign,
        store,
        "elements",
        [candidate for candidate in store.candidates(campaign_id, 0) if candidate.structure_id in names],
        RoundMaker(
            relax_maker=relaxer(campaign.method),
            closing_job=close_elements,
            closing_kwargs={"campaign_id": campaign_id},
        ),
    )
    return True


def _next_round(store: CampaignStore, campaign: Campaign, round_number: int, hull: Hull) -> bool:
    """Learn, propose, and open a round. Return False if nothing new was proposed. A round that is already open is not changed."""
    if not store.is_open(campaign.campaign_id, round_number):
        asked = _ask(store, campaign, round_number, hull)
        if not asked.candidates:
            reason = f"round {round_number}: no novel valid structure was generated"
            store.set_state(campaign.campaign_id, "stopped", reason)
            return False
        models = {
            name: store.models.save(campaign.campaign_id, round_number, name, blob, {"code_version": __version__})
            for name, blob in asked.models.items()
        }
        counts = {**asked.counts, "models": models}
        _open_round(campaign, store, round_number, list(asked), counts, asked.left_out)
    _put_round(campaign, store, round_number)
    return True


def _open_round(
    campaign: Campaign,
    store: CampaignStore,
    round_number: int,
    candidates: list[Candidate],
    counts: dict[str, Any],
    left: Sequence[Candidate] = (),
) -> None:
    """Store a round's structures, including the `left` ones that are not relaxed. Then store its counts, which mark the round as open."""
    provenance = _provenance(campaign, round_number, counts["models"])
    store.submit(campaign.campaign_id, candidates, provenance)
    store.add_generated(campaign.campaign_id, left, provenance)
    submitted = len(store.candidates(campaign.campaign_id, round_number))
    counts = {**counts, "submitted": submitted, "batches": len(split(range(submitted)))}
    store.open_round(campaign.campaign_id, round_number, counts)


def _provenance(campaign: Campaign, round_number: int, models: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance of the structures of a round."""
    return {
        "strategy": campaign.strategy if round_number else "seeds",
        "round": round_number,
        "seed": campaign.seed,
        "models": models,
        "code_version": __version__,
    }


def _put_round(campaign: Campaign, store: CampaignStore, round_number: int) -> None:
    """Put a round's relaxations on the LaunchPad, as stored. Further structures of the elements have their own workflow."""
    further = set(store.further(campaign.campaign_id)) if round_number == 0 else set()
    stored = store.candidates(campaign.campaign_id, round_number)
    _put(
        campaign,
        store,
        f"round {round_number}",
        [candidate for candidate in stored if candidate.structure_id not in further],
        RoundMaker(
            relax_maker=relaxer(campaign.method),
            closing_job=close_round,
            closing_kwargs={"campaign_id": campaign.campaign_id, "round_number": round_number},
        ),
    )


def _put(campaign: Campaign, store: CampaignStore, stage: str, candidates: list[Candidate], maker: RoundMaker) -> None:
    """Put a stage of a campaign on the LaunchPad in batches. If the campaign was stopped meanwhile, withdraw them again."""
    launchpad = launchpad_at(store.uri)
    described = {"campaign_id": campaign.campaign_id, "stage": stage}
    parts = split(candidates)
    for batch, part in enumerate(parts):
        name = f"{campaign.campaign_id} {stage}" + (f", batch {batch + 1} of {len(parts)}" if len(parts) > 1 else "")
        which = {"batch": batch} if maker.closing_job is close_round else {}
        own = replace(maker, name=name, closing_kwargs={**maker.closing_kwargs, **which}, metadata=described)
        put(launchpad, name, partial(own.make, part), {**described, "chemical_system": campaign.chemical_system})
    if store.state(campaign.campaign_id) == ASKED_TO_STOP:
        store.mark_withdrawn(campaign.campaign_id, withdraw(launchpad, campaign.campaign_id))
    launchpad.connection.close()


def _ending(store: CampaignStore, campaign: Campaign, round_number: int) -> str | None:
    """Return why a campaign ends after a round. Return None if another round follows."""
    rounds = [document for document in store.round_documents(campaign.campaign_id) if document["round"] <= round_number]
    return campaign.ending([item["submitted"] for item in rounds], [item.get("stable", 0) for item in rounds])


def _close(store: CampaignStore, campaign: Campaign, round_number: int) -> Hull:
    """Store the counts of a round, build the hull, store it, and return it."""
    set_aside_withheld(store, campaign)
    documents = store.documents(campaign.campaign_id, round=round_number)
    states = Counter(document["state"] for document in documents)
    counts = {
        "relaxed": states["relaxed"],
        "failed": states["failed"],
        "failures": dict(sorted(Counter(d["reason"] for d in documents if d["state"] == "failed").items())),
    }
    store.close_round(campaign.campaign_id, round_number, counts)  # also if no hull can be built
    hull = build_hull(campaign_phases(store, campaign, round_number), campaign.elements)
    unstable, known = (
        distortion_outcomes(store.distorted(campaign.campaign_id)),
        store.starting_structures(campaign.campaign_id),
    )
    counts |= hull_counts(hull, round_number, known)
    if store.save_hull(campaign.campaign_id, round_number, hull_documents(hull, hull_changes(hull, round_number))):
        store.save_figures(campaign.campaign_id, figures(hull, round_number, unstable, known))
    store.close_round(campaign.campaign_id, round_number, counts)
    return hull


def _ask(store: CampaignStore, campaign: Campaign, round_number: int, hull: Hull) -> Round:
    """Train on everything relaxed, propose structures, and select."""
    documents = store.documents(campaign.campaign_id, up_to_round=round_number - 1)
    starts = {document["structure_id"]: Structure.from_dict(document["start"]) for document in documents}
    return Loop.resume(campaign, round_number, starts, hull, Settings().training_folder).ask()


def _put_distortion(store: CampaignStore, campaign: Campaign, hull: Hull) -> None:
    """Put relaxations of the new phases near the hull on the LaunchPad. Each starts from a small distortion, by the campaign's own method."""
    last = max(document["round"] for document in store.round_documents(campaign.campaign_id))
    known = store.starting_structures(campaign.campaign_id)
    distorted = distorted_candidates(campaign, last, hull, known)[:MOST_DISTORTED]
    if not distorted:
        _put_confirmation(store, campaign, hull)
        return
    _put(
        campaign,
        store,
        "distortion",
        distorted,
        RoundMaker(
            relax_maker=relaxer(campaign.method, pre_relax=None, rattle=0.0),
            closing_job=close_distortion,
            closing_kwargs={"campaign_id": campaign.campaign_id, "round_number": last},
        ),
    )


def _put_confirmation(store: CampaignStore, campaign: Campaign, hull: Hull) -> None:
    """Put the confirming relaxations on the LaunchPad, or complete the campaign if it has no confirming method."""
    last = max(document["round"] for document in store.round_documents(campaign.campaign_id))
    if campaign.confirming_method is None:
        store.set_state(campaign.campaign_id, "completed", _ending(store, campaign, last))
        return
    candidates = [
        Candidate(phase.structure_id, phase.structure, phase.origin, phase.round_number)
        for phase in phases_to_confirm(hull, MOST_CONFIRMED)
    ]
    _put(
        campaign,
        store,
        "confirmation",
        candidates,
        RoundMaker(
            relax_maker=relaxer(campaign.confirming_method, pre_relax=None),
            closing_job=close_confirmation,
            closing_kwargs={"campaign_id": campaign.campaign_id, "round_number": last},
        ),
    )
