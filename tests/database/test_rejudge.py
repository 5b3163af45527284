"""A campaign of an earlier version, whose zero was the potential's own elements, is judged again from its stored total energies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccdcgan_al.hull.element_references import materials_project_energies
from launchpad.database.migrations import m0002_element_references
from launchpad.database.rejudge import judge_again
from launchpad.database.store import CampaignStore
from launchpad.results.report import CampaignReport
from tests.small_campaign import CAMPAIGN, ELEMENTS, small_campaign

NAME = CAMPAIGN.campaign_id


@pytest.fixture
def store(fresh_mongo_uri: str, tmp_path: Path) -> Iterator[CampaignStore]:
    """A completed campaign of this version, in a database of its own."""
    with small_campaign(fresh_mongo_uri, tmp_path / "config") as campaign:
        yield campaign.store


def shift(formula_elements: dict[str, float]) -> float:
    """By how much a formation energy moves from the campaign's own elements to the Materials Project's (eV/atom)."""
    known = materials_project_energies()
    return sum(share * (ELEMENTS_OF_HULL[symbol] - known[symbol]) for symbol, share in formula_elements.items())


ELEMENTS_OF_HULL: dict[str, float] = {}


def content(store: CampaignStore) -> dict[str, Any]:
    """Everything that is judged."""
    times = {"_id": 0, "last_updated": 0}
    return {
        "hulls": list(store.hulls.find({"campaign_id": NAME}, times).sort([("round", 1), ("scheme", 1)])),
        "structures": list(store.structures.find({"campaign_id": NAME}, times).sort("structure_id", 1)),
        "rounds": list(store.rounds.find({"campaign_id": NAME}, times).sort("round", 1)),
    }


def made_old(store: CampaignStore) -> None:
    """Make of the campaign what the earlier version left: other figures, no label."""
    report = CampaignReport(store, NAME)
    ELEMENTS_OF_HULL.update(report.hull.own_elements)
    assert pytest.approx(ELEMENTS, abs=0.02) == ELEMENTS_OF_HULL
    for document in store.structures.find({"campaign_id": NAME, "predicted_energy": {"$type": "number"}}):
        atoms = [site["label"] for site in document["start"]["sites"]]
        moved = shift({symbol: atoms.count(symbol) / len(atoms) for symbol in set(atoms)})
        store.structures.update_one({"_id": document["_id"]}, {"$inc": {"predicted_energy": -moved}})
    gone = (
        "element_references",
        "own_elements_formation_energy_per_atom",
        "own_elements_energy_above_hull",
        "element_driven",
    )
    store.structures.update_many({}, {"$unset": dict.fromkeys(gone, "")})
    store.structures.update_many({"energy_above_hull": {"$exists": True}}, {"$inc": {"energy_above_hull": 0.02}})
    store.hulls.update_many({}, {"$unset": {"element_references": ""}, "$set": {"vertices": []}})
    store.rounds.update_many({}, {"$set": {"stable": 77, "within_50_mev": 77, "within_100_mev": 77}})
    m0002_element_references(store.database)
    assert store.structures.distinct("element_references") == ["own"]


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found["hulls"] == wanted["hulls"]
    assert found["rounds"] == wanted["rounds"]
    for one, other in zip(found["structures"], wanted["structures"], strict=True):
        # a structure that was drawn and not relaxed has no figures; its prediction is labelled when it is moved
        names = one.keys() | other.keys() if "energy_above_hull" in other else other.keys()
        assert {name: one.get(name) for name in names - {"predicted_energy"}} == {
            name: other.get(name) for name in names - {"predicted_energy"}
        }
        assert one.get("predicted_energy") == pytest.approx(other.get("predicted_energy"), abs=1e-9)


def test_nothing_is_done_where_the_zero_is_this_versions(store: CampaignStore) -> None:
    before = content(store)
    assert judge_again(store, NAME) is False
    assert content(store) == before


def test_an_old_campaign_gets_this_versions_figures(store: CampaignStore) -> None:
    wanted = content(store)
    made_old(store)
    assert judge_again(store, NAME) is True
    same(content(store), wanted)
    assert judge_again(store, NAME) is False


def test_the_report_of_an_old_campaign_has_one_zero(store: CampaignStore) -> None:
    wanted = CampaignReport(store, NAME).as_dict()
    made_old(store)
    assert CampaignReport(store, NAME).as_dict() == wanted
    assert wanted["element_references"]["scheme"] == "materials_project"


def test_it_goes_on_where_it_was_killed(store: CampaignStore, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = content(store)
    made_old(store)
    save, calls = CampaignStore.save_hull, []

    def killed(*given: Any) -> bool:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return save(*given)

    with monkeypatch.context() as patch:
        patch.setattr(CampaignStore, "save_hull", killed)
        with pytest.raises(KeyboardInterrupt):
            judge_again(store, NAME)
    assert judge_again(store, NAME) is True
    same(content(store), wanted)


def test_a_campaign_without_a_hull_is_left_alone(fresh_mongo_uri: str) -> None:
    store = CampaignStore(fresh_mongo_uri)
    store.add_campaign(CAMPAIGN)
    assert judge_again(store, NAME) is False
