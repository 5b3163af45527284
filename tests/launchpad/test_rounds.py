"""What a closing round records; whole campaigns are in test_loop and in tests/faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al import loop
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import MixedMethodsError
from ccdcgan_al.hull.hull import NEAR_HULL, ON_HULL, build_hull
from ccdcgan_al.types import Method, Relaxed, Strategy
from launchpad import rounds
from launchpad.database.store import CampaignStore
from launchpad.driver import check_version
from launchpad.results.lookup import hull_rows, lineage, relaxed_documents
from launchpad.results.report import CampaignReport
from launchpad.service.configure import open_launchpad
from tests.faults.conftest import few_seeds
from tests.small_campaign import small_campaign
from workflows.documents import failure_document, of_one_method, relaxation_document
from workflows.potentials import method_of

CAMPAIGN = Campaign("Bi-Se", "sevennet", "random", rounds=0, seed_count=8)
OLD = Method("sevennet", "SevenNet 7net-0", "0.12.1")
NEW = replace(OLD, version="0.13.0")


def results(store: CampaignStore, methods: Sequence[Method]) -> dict[str, dict[str, object] | None]:
    """Return a result for each seed, by these methods in turn."""
    names = [document["structure_id"] for document in store.documents(CAMPAIGN.campaign_id)]
    starts = {candidate.structure_id: candidate.structure for candidate in store.candidates(CAMPAIGN.campaign_id, 0)}
    return {
        name: relaxation_document(name, relaxed(starts[name], method))
        for name, method in zip(names, methods, strict=True)
    }


def relaxed(structure: Structure, method: Method) -> Relaxed:
    return Relaxed(structure, -3.7, method, 1, 0.0, converged=True)


@pytest.fixture
def store(fresh_mongo_uri: str, config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> CampaignStore:
    """A campaign whose seeds are on the LaunchPad."""
    monkeypatch.setenv("CCDCGAN_AL_MONGO_URI", fresh_mongo_uri)
    monkeypatch.setattr(loop, "choose_seeds", few_seeds)
    open_launchpad(config_folder)
    store = CampaignStore(fresh_mongo_uri)
    store.add_campaign(CAMPAIGN)
    rounds.begin(CAMPAIGN, store)
    return store


def test_a_round_closes_on_results_of_two_versions(store: CampaignStore) -> None:
    came = results(store, [OLD] * 5 + [NEW] + [OLD] * 2)
    for _ in range(2):  # the worker may die in a close, which is then run again
        rounds.close_round.original(CAMPAIGN.campaign_id, 0, 0, came)  # type: ignore[attr-defined]
    state, reason = store.state(CAMPAIGN.campaign_id)
    assert "one method" not in str(reason)
    assert state != "stopped"
    (refused,) = store.documents(CAMPAIGN.campaign_id, state="failed")
    assert (refused["structure_id"], refused["reason"]) == ("Bi-Se-r0-0005", "inconsistent")
    assert f"relaxed by {NEW}, its campaign's energies are of {OLD}: they share no hull" in refused["message"]
    assert refused["relaxation"]["energy_per_atom"] == -3.7
    (closed,) = store.round_documents(CAMPAIGN.campaign_id)
    assert (closed["state"], closed["relaxed"], closed["failures"]) == ("closed", 7, {"inconsistent": 1})
    assert build_hull(store.phases(CAMPAIGN.campaign_id, 0), CAMPAIGN.elements).method == OLD


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("perturbation", "none of 0 structures is a compound"),
        ("ccdcgan", "2 families of structures cannot be held out"),
    ],
)
def test_too_few_seeds_stop_a_campaign_and_say_so(
    store: CampaignStore, monkeypatch: pytest.MonkeyPatch, strategy: Strategy, reason: str
) -> None:
    monkeypatch.setattr(loop, "choose_seeds", lambda *_: few_seeds()[:2])  # what --seed-count 2 gives
    campaign = Campaign("Bi-Se", strategy=strategy, rounds=1, seed_count=2)
    store.add_campaign(campaign)
    rounds.begin(campaign, store)
    came = {
        candidate.structure_id: relaxation_document(candidate.structure_id, relaxed(candidate.structure, NEW))
        for candidate in store.candidates(campaign.campaign_id, 0)
    }
    rounds.close_round.original(campaign.campaign_id, 0, 0, came)  # type: ignore[attr-defined]
    state, said = store.state(campaign.campaign_id)
    assert state == "stopped"
    assert str(said).startswith(f"round 0: {reason}")
    assert len(CampaignReport(store, campaign.campaign_id).hull.phases) == 2


def test_what_a_campaign_has_decides_and_else_what_most_of_a_batch_are_of(store: CampaignStore) -> None:
    came = [document for document in results(store, [OLD, *[NEW] * 7]).values() if document]
    assert [document["state"] for document in of_one_method(came, None)] == ["relaxed"] * 7 + ["failed"]
    assert [document["state"] for document in of_one_method(came, OLD)] == ["relaxed"] + ["failed"] * 7
    assert of_one_method(came[:1], OLD) == came[:1]
    assert of_one_method([], OLD) == []
    failed = {**came[0], "state": "failed", "method": {"name": "sevennet"}}
    assert of_one_method([failed], NEW) == [failed]
    assert store.recorded_method(CAMPAIGN.campaign_id) is None
    store.record(CAMPAIGN.campaign_id, of_one_method(came, None))
    assert store.recorded_method(CAMPAIGN.campaign_id) == NEW


def test_a_campaign_is_not_gone_on_with_by_another_version(store: CampaignStore) -> None:
    installed = method_of("sevennet")
    check_version(CAMPAIGN, store)  # nothing is recorded yet
    came = [document for document in results(store, [replace(installed, version="0.0.1")] * 8).values() if document]
    store.record(CAMPAIGN.campaign_id, came)
    said = r"has energies of sevennet \(SevenNet 7net-0 0.0.1, .* installed is sevennet .*; install that version again"
    with pytest.raises(MixedMethodsError, match=said):
        check_version(CAMPAIGN, store)


def test_a_campaign_is_gone_on_with_by_the_same_version(store: CampaignStore) -> None:
    came = [document for document in results(store, [method_of("sevennet")] * 8).values() if document]
    store.record(CAMPAIGN.campaign_id, came)
    check_version(CAMPAIGN, store)


@pytest.fixture
def ended(fresh_mongo_uri: str, config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> CampaignStore:
    """A campaign of two rounds that has ended, to be written to."""
    with small_campaign(fresh_mongo_uri, config_folder):
        monkeypatch.setenv("CCDCGAN_AL_MONGO_URI", fresh_mongo_uri)
    return CampaignStore(fresh_mongo_uri)


def standings(store: CampaignStore) -> dict[str, tuple[object, ...]]:
    """Return how each structure stands against the hull."""
    fields = ("hull_round", "energy_above_hull", "is_new_phase", "confirmed")
    return {
        document["structure_id"]: tuple(document.get(name) for name in fields) for document in store.structures.find()
    }


def test_an_old_round_that_is_closed_again_says_nothing_of_the_structures(ended: CampaignStore) -> None:
    (campaign_id,) = ended.campaign_ids()
    before = standings(ended)
    for number in (0, 1):
        rounds.close_round.original(campaign_id, number, 0, {})  # type: ignore[attr-defined]
    assert standings(ended) == before
    assert ended.state(campaign_id)[0] == "completed"
    ended.structures.update_many({}, {"$unset": {"hull_round": ""}})
    rounds.close_round.original(campaign_id, 2, 0, {})  # type: ignore[attr-defined]
    assert standings(ended) == before


def take_back(store: CampaignStore, field: str) -> dict[str, dict[str, object]]:
    """Forget a stage of a campaign that has ended, and return what it had left, lowest above the hull first."""
    found = list(store.structures.find({field: {"$exists": True}}).sort("energy_above_hull", 1))
    store.structures.update_many({}, {"$unset": {field: "", "confirmed": ""}, "$pull": {"attempts": {"kind": field}}})
    return {document["structure_id"]: document[field] for document in found}


def another_version(document: dict[str, object]) -> dict[str, object]:
    method = document["method"]
    assert isinstance(method, dict)
    return {**document, "method": {**method, "version": "another"}}


def test_a_distortion_that_the_machine_spoiled_refutes_nothing(ended: CampaignStore) -> None:
    (campaign_id,) = ended.campaign_ids()
    came: dict[str, dict[str, object] | None] = {**take_back(ended, "distortion")}
    lost, other, third, failed, *_ = came
    broken = failure_document(third, "calculator_error", "no memory left", "sevennet")
    unphysical = failure_document(failed, "unphysical", "it fell apart", "sevennet")
    came |= {lost: None, other: another_version(came[other] or {}), third: broken, failed: unphysical}
    rounds.close_distortion.original(campaign_id, 2, came)  # type: ignore[attr-defined]
    report = CampaignReport(ended, campaign_id)
    assert {*came} - {*report.distorted} == {lost, other, third}
    assert report.distorted[failed] == "slightly distorted it does not relax: unphysical"
    reasons = {name: (ended.structures.find_one({"structure_id": name}) or {})["distortion"]["reason"] for name in came}
    assert (reasons[lost], reasons[other], reasons[third]) == ("lost", "inconsistent", "calculator_error")
    shown = {item["structure_id"]: item["returns"] for item in report.as_dict()["candidates"]}
    assert [shown[name] for name in (lost, other, third)] == [None] * 3
    new = {document["structure_id"] for document in ended.structures.find({"is_new_phase": True})}
    assert {lost, other, third} <= new
    assert failed not in new


def test_a_confirmation_by_another_version_is_a_failure_and_the_others_stand(ended: CampaignStore) -> None:
    (campaign_id,) = ended.campaign_ids()
    came = take_back(ended, "confirmation")
    *_, highest = came
    came[highest] = another_version(came[highest])
    rounds.close_confirmation.original(campaign_id, 2, came)  # type: ignore[attr-defined]
    refused = ended.structures.find_one({"structure_id": highest}) or {}
    assert refused["confirmation"]["reason"] == "inconsistent"
    confirmed = {document["structure_id"] for document in ended.structures.find({"confirmed": {"$exists": True}})}
    assert confirmed == {*came} - {highest}


def test_a_seed_that_comes_late_and_is_withheld_is_set_aside(store: CampaignStore) -> None:
    nickeline = Lattice.hexagonal(4.2, 5.7)
    hidden = Structure.from_spacegroup("P6_3/mmc", nickeline, ["Bi", "Se"], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]])
    campaign = Campaign(
        "Bi-Se", strategy="random", rounds=1, per_round=1, seed_count=8, withheld=(str(hidden.to_json()),)
    )
    store.add_campaign(campaign)
    rounds.begin(campaign, store)

    def came(number: int) -> dict[str, dict[str, object] | None]:
        made = store.candidates(campaign.campaign_id, number)
        return {
            item.structure_id: relaxation_document(item.structure_id, relaxed(item.structure, OLD)) for item in made
        }

    late = "Bi-Se-r0-0005"
    rounds.close_round.original(campaign.campaign_id, 0, 0, came(0) | {late: None})  # type: ignore[attr-defined]
    store.record(campaign.campaign_id, [relaxation_document(late, relaxed(hidden, OLD))])
    rounds.close_round.original(campaign.campaign_id, 1, 0, came(1))  # type: ignore[attr-defined]
    assert [item["structure_id"] for item in store.documents(campaign.campaign_id, state="withheld")] == [late]
    assert late not in {phase.structure_id for phase in store.phases(campaign.campaign_id, 1)}


@pytest.mark.parametrize("reason", ["unphysical", "calculator_error"])
def test_the_report_the_commands_that_look_and_the_database_say_the_same_of_a_phase(
    ended: CampaignStore, reason: str
) -> None:
    """What is new, and what the confirming method says, also where it fails or relaxes the phase into another structure."""
    (campaign_id,) = ended.campaign_ids()
    came: dict[str, dict[str, Any] | None] = {**take_back(ended, "confirmation")}
    on_hull = {name for _, group in CampaignReport(ended, campaign_id).hull.on_hull() for name in group}
    failed = next(name for name in came if name not in on_hull)
    moved = next(name for name in came if name != failed and name.startswith("Bi-Se-r1"))
    came[failed] = failure_document(failed, reason, "told to fail", "sevennet-l3i5")
    other = Structure.from_dict((came[moved] or {})["structure"])
    other.apply_strain([0.5, 0.0, -0.3])
    came[moved] = {**(came[moved] or {}), "structure": other.as_dict()}
    rounds.close_confirmation.original(campaign_id, 2, came)  # type: ignore[attr-defined]

    shown = CampaignReport(ended, campaign_id).as_dict()
    entries = shown["candidates"] + shown["hull"] + shown["refuted"]
    confirmed = {item["structure_id"]: item["confirmed"] for item in entries}
    rows = {row["structure_id"]: row for row in hull_rows(ended, campaign_id, NEAR_HULL)}
    assert {failed, moved} <= set(confirmed)
    for name, said in confirmed.items():
        stored = ended.structure(campaign_id, name) or {}
        assert lineage(ended, name, campaign_id).get("confirmed") == stored.get("confirmed")
        if said is None:
            assert "confirmed" not in stored
            continue
        figures = stored["confirmed"]
        assert said["formation_energy_ev_per_atom"] == figures.get("formation_energy_per_atom")
        assert said["energy_above_hull_ev_per_atom"] == figures.get("energy_above_hull")
        assert said.get("problem") == figures.get("problem")
        if name in rows:
            assert rows[name]["confirmed_energy_above_hull"] == said["energy_above_hull_ev_per_atom"]
    problems = {name: said["problem"] for name, said in confirmed.items() if said and "problem" in said}
    of_the_phase = {failed: "does not relax: unphysical"} if reason == "unphysical" else {}
    assert problems == {moved: "relaxes into another structure", **of_the_phase}

    candidates = {item["structure_id"] for item in shown["candidates"]}
    new = ended.structures.find({"is_new_phase": True, "energy_above_hull": {"$lte": NEAR_HULL + ON_HULL}})
    own = "own_elements_energy_above_hull"
    assert candidates == {item["structure_id"] for item in new if item[own] <= NEAR_HULL + ON_HULL}
    assert {name for name, row in rows.items() if row["is_new_phase"]} >= candidates
    assert {item["structure_id"] for item in relaxed_documents(ended, campaign_id, NEAR_HULL, new=True)} >= candidates
