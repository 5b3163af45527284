"""A campaign of which an element's first structures fail: others are tried, and it goes on, or stops and says why. Its energies are a formula's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al import loop
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import StartingStructuresError
from ccdcgan_al.seeds.choose import Seed
from ccdcgan_al.types import Method, Relaxed
from launchpad import rounds
from launchpad.batches import workflows_of
from launchpad.database.store import CampaignStore
from launchpad.driver import stop_campaign, submit
from launchpad.service.configure import open_launchpad
from tests.faults.conftest import few_seeds
from workflows.documents import failure_document, relaxation_document

CAMPAIGN = Campaign("Bi-Se", "sevennet", "random", rounds=0, seed_count=8)
ID = CAMPAIGN.campaign_id
METHOD = Method("sevennet", "a formula", "0")
CELL = Lattice.cubic(3.0)
OTHERS = [
    Seed(
        Structure(CELL, ["Se"] * (i + 2), [[j / (i + 2), 0.3 * j % 1, 0] for j in range(i + 2)]),
        f"other {i}",
        "Se",
        "reference",
    )
    for i in range(5)
]
CLOSERS: dict[str, Any] = {"elements": rounds.close_elements, "distortion": rounds.close_distortion}


@pytest.fixture
def launchpad(fresh_mongo_uri: str, config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A LaunchPad, and an element with a few further structures."""
    monkeypatch.setenv("CCDCGAN_AL_MONGO_URI", fresh_mongo_uri)
    monkeypatch.setattr(loop, "choose_seeds", few_seeds)
    monkeypatch.setattr("ccdcgan_al.seeds.starting.element_structures", lambda symbol: OTHERS if symbol == "Se" else [])
    return open_launchpad(config_folder)


@pytest.fixture
def store(launchpad: Any, fresh_mongo_uri: str) -> CampaignStore:
    """A campaign whose seeds are on the LaunchPad."""
    del launchpad
    store = CampaignStore(fresh_mongo_uri)
    assert submit(CAMPAIGN, store)
    return store


def relaxed(
    store: CampaignStore, names: list[str], fails: tuple[str, ...], reason: str = "unphysical"
) -> dict[str, Any]:
    """Return a result for each structure, those that fail among them."""
    starts = {item.structure_id: item.structure for item in store.candidates(ID, 0)}
    found: dict[str, Any] = {}
    for name in names:
        if name in fails:
            found[name] = failure_document(name, reason, "told to fail", METHOD)
            continue
        energy = -3.5 - 0.5 * (len(starts[name].composition) > 1)
        found[name] = relaxation_document(name, Relaxed(starts[name], energy, METHOD, 1, 0.0, converged=True))
    return found


def ready(launchpad: Any, stage: str) -> list[str]:
    """Structures of the relaxations that wait in a stage."""
    query = {"spec.stage": stage, "spec._category": "relaxation", "state": "READY"}
    return sorted(found["spec"]["structure_id"] for found in launchpad.fireworks.find(query, {"spec.structure_id": 1}))


def close_seeds(store: CampaignStore, *fails: str, reason: str = "unphysical") -> None:
    names = [f"Bi-Se-r0-{number:04d}" for number in range(8)]
    rounds.close_round.original(ID, 0, 0, relaxed(store, names, fails, reason))  # type: ignore[attr-defined]


def close_elements(store: CampaignStore, names: list[str], *fails: str) -> None:
    rounds.close_elements.original(ID, relaxed(store, names, fails))  # type: ignore[attr-defined]


FURTHER = ["Bi-Se-r0-0008", "Bi-Se-r0-0009", "Bi-Se-r0-0010"]


def test_where_the_first_structure_of_an_element_fails_others_are_relaxed(store: CampaignStore, launchpad: Any) -> None:
    close_seeds(store, "Bi-Se-r0-0001")
    assert store.state(ID)[0] == "running"
    assert ready(launchpad, "elements") == FURTHER
    (opened,) = store.round_documents(ID)
    assert (opened["state"], opened["submitted"], opened["lacking"]) == ("open", 11, ["Se"])
    close_elements(store, FURTHER, FURTHER[0])
    (closed,) = store.round_documents(ID)
    assert (closed["state"], closed["relaxed"], closed["failed"]) == ("closed", 9, 2)
    assert len(ready(launchpad, "confirmation")) > 0  # it went on, as any campaign of no rounds
    assert store.state(ID)[0] == "running"
    assert {item["source"] for item in store.documents(ID, origin="reference")} == {
        "Bi",
        "Se",
        "other 0",
        "other 1",
        "other 2",
    }


def test_where_all_fail_the_reason_names_the_element_and_what_helps(store: CampaignStore) -> None:
    close_seeds(store, "Bi-Se-r0-0001")
    close_elements(store, FURTHER, *FURTHER)
    state, reason = store.state(ID)
    assert state == "stopped"
    assert reason == (
        "round 0: none of 4 structures of Se could be relaxed (unphysical: 4); "
        "put a structure of Se that can be relaxed in a folder and give it with --seeds FOLDER"
    )
    (closed,) = store.round_documents(ID)
    assert (closed["state"], closed["failures"]) == ("closed", {"unphysical": 4})


def test_a_close_that_is_run_again_puts_nothing_twice(store: CampaignStore, launchpad: Any) -> None:
    for _ in range(2):
        close_seeds(store, "Bi-Se-r0-0001")
        assert not submit(CAMPAIGN, store)  # and so does the command
    assert ready(launchpad, "elements") == FURTHER
    assert len(workflows_of(launchpad, ID)) == 2
    assert store.round_documents(ID)[0]["submitted"] == 11
    for _ in range(2):
        close_elements(store, FURTHER)
    close_seeds(store, "Bi-Se-r0-0001")
    assert [item["name"].split()[1] for item in workflows_of(launchpad, ID)] == ["round", "elements", "confirmation"]
    assert len(store.documents(ID)) == 11


@pytest.mark.parametrize("dies", ["add_further", "submit", "further"])
def test_a_worker_that_dies_in_between_leaves_what_the_rerun_completes(
    store: CampaignStore, launchpad: Any, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    whole = getattr(CampaignStore, dies)

    def die(self: CampaignStore, *arguments: Any) -> Any:
        whole(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(CampaignStore, dies, die)
        with pytest.raises(KeyboardInterrupt):
            close_seeds(store, "Bi-Se-r0-0001")
    assert not submit(CAMPAIGN, store)
    close_seeds(store, "Bi-Se-r0-0001")
    assert ready(launchpad, "elements") == FURTHER
    assert store.round_documents(ID)[0]["submitted"] == 11
    assert len(store.documents(ID)) == 11
    assert len(workflows_of(launchpad, ID)) == 2


def test_a_broken_machine_is_no_reason_to_try_more(store: CampaignStore, launchpad: Any) -> None:
    close_seeds(store, *(f"Bi-Se-r0-{number:04d}" for number in range(8)), reason="calculator_error")
    assert ready(launchpad, "elements") == []
    assert store.state(ID) == ("stopped", "round 0: every relaxation failed (calculator_error: 8)")


def test_a_campaign_that_was_stopped_tries_no_more(store: CampaignStore, launchpad: Any) -> None:
    close_seeds(store, "Bi-Se-r0-0001")
    assert set(stop_campaign(store, launchpad, ID)) >= {*FURTHER}
    assert {item["state"] for item in store.documents(ID, structure_id={"$in": FURTHER})} == {"withdrawn"}
    close_elements(store, FURTHER[:1])
    assert store.state(ID) == ("stopped", "asked to stop")
    assert ready(launchpad, "confirmation") == []


def test_further_structures_count_towards_the_budget(launchpad: Any, fresh_mongo_uri: str) -> None:
    del launchpad
    store, campaign = CampaignStore(fresh_mongo_uri), Campaign("Bi-Se", strategy="random", seed_count=8, budget=10)
    submit(campaign, store)
    names = [item.structure_id for item in store.candidates(campaign.campaign_id, 0)]
    starts = {item.structure_id: item.structure for item in store.candidates(campaign.campaign_id, 0)}

    def came(known: dict[str, Structure]) -> dict[str, Any]:
        return {
            name: relaxation_document(name, Relaxed(cell, -3.5, METHOD, 1, 0.0, converged=True))
            for name, cell in known.items()
        }

    first: dict[str, Any] = {**came(starts), names[1]: failure_document(names[1], "unphysical", "told to fail", METHOD)}
    rounds.close_round.original(campaign.campaign_id, 0, 0, first)  # type: ignore[attr-defined]
    more = {item.structure_id: item.structure for item in store.candidates(campaign.campaign_id, 0)[8:]}
    rounds.close_elements.original(campaign.campaign_id, came(more))  # type: ignore[attr-defined]
    assert not store.is_open(campaign.campaign_id, 1)
    assert campaign.ending([11], [0]) == "the budget of 10 relaxations is spent"


def test_nothing_is_written_of_a_campaign_that_cannot_start(launchpad: Any, fresh_mongo_uri: str) -> None:
    store = CampaignStore(fresh_mongo_uri)
    with pytest.raises(StartingStructuresError, match="--seeds FOLDER"):
        submit(Campaign("Bi-He", seed_count=8), store)
    assert store.campaign_ids() == []
    assert launchpad.workflows.count_documents({}) == 0
