"""What a campaign leaves in its database: figures in the structures, hulls, and documents of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bson
import pytest

from ccdcgan_al.hull.changes import hull_changes
from ccdcgan_al.hull.hull import ON_HULL
from launchpad.database import hull_records
from launchpad.database.schema import SCHEMA
from launchpad.results.report import CampaignReport

if TYPE_CHECKING:
    from tests.small_campaign import SmallCampaign

MONGODB_LIMIT = 16 * 1024 * 1024
SITES = 20  # most of a structure that is generated or a seed


def test_the_structures_say_what_the_report_says(small_campaign: SmallCampaign) -> None:
    report = CampaignReport(small_campaign.store, small_campaign.campaign.campaign_id).as_dict()
    query = {"chemical_system": "Bi-Se", "is_new_phase": True, "energy_above_hull": {"$gte": 0, "$lte": ON_HULL}}
    found = {item["structure_id"]: item for item in small_campaign.store.structures.find(query)}
    assert set(found) == {item["structure_id"] for item in report["new_phases"]}
    for item in [*report["hull"], *report["candidates"]]:
        stored = small_campaign.store.structures.find_one({"structure_id": item["structure_id"]}) or {}
        assert stored["formation_energy_per_atom"] == item["formation_energy_ev_per_atom"]
        assert stored["energy_above_hull"] == item["energy_above_hull_ev_per_atom"]
        assert stored["corrected_energy_above_hull"] == item["corrected"]["energy_above_hull_ev_per_atom"]
        assert stored["space_group"] == item["space_group"]
        assert stored["duplicate_of"] is None
        if item["confirmed"]:
            assert stored["confirmed"]["energy_above_hull"] == item["confirmed"]["energy_above_hull_ev_per_atom"]
    unstable = small_campaign.store.structures.find_one({"structure_id": small_campaign.unstable}) or {}
    assert unstable["is_new_phase"] is False


def test_hulls_are_current_once_a_scheme(small_campaign: SmallCampaign) -> None:
    query = {"chemical_system": "Bi-Se", "state": "current", "method.name": "sevennet"}
    found = {item["scheme"]: item for item in small_campaign.store.hulls.find(query)}
    assert set(found) == {"uncorrected", "MP2020"}
    assert {item["round"] for item in found.values()} == {small_campaign.campaign.rounds}
    for scheme, field in (("uncorrected", "energy_above_hull"), ("MP2020", "corrected_energy_above_hull")):
        on_hull = small_campaign.store.structures.find({field: {"$gte": 0, "$lte": ON_HULL}})
        assert set(found[scheme]["vertices"]) == {item["structure_id"] for item in on_hull}


def test_no_document_comes_near_the_limit_of_mongodb(small_campaign: SmallCampaign) -> None:
    """The largest of the campaign are measured, and what they would be with 20 sites, ten attempts and a full hull."""
    database = small_campaign.store.database
    largest = {name: max((len(bson.encode(item)) for item in database[name].find()), default=0) for name in SCHEMA}
    largest |= {
        name: max(len(bson.encode(item)) for item in database[name].find()) for name in ("workflows", "fireworks")
    }
    assert max(largest.values()) < MONGODB_LIMIT / 50, largest
    for item in database["structures"].find():
        per_site = len(bson.encode(item)) / len(item["start"]["sites"])
        assert 10 * SITES * per_site < MONGODB_LIMIT / 4
    entry = max(len(bson.encode(entry)) for hull in database["hulls"].find() for entry in hull["entries"])
    assert hull_records.MOST_ENTRIES * (entry + 100) < MONGODB_LIMIT / 4


def test_a_hull_document_keeps_the_lowest(small_campaign: SmallCampaign, monkeypatch: pytest.MonkeyPatch) -> None:
    report = CampaignReport(small_campaign.store, small_campaign.campaign.campaign_id)
    changes = hull_changes(report.hull, 2)
    full = hull_records.hull_documents(report.hull, changes)[0]
    monkeypatch.setattr(hull_records, "MOST_ENTRIES", 3)
    cut = hull_records.hull_documents(report.hull, changes)[0]
    assert cut["entries"] == full["entries"][:3]
    assert cut["total"] == full["total"] == len(report.hull.entries)
    above = [entry["energy_above_hull"] for entry in full["entries"]]
    assert above == sorted(above)
    assert max(above) <= full["within"]


def test_what_was_generated_and_not_chosen_is_there_once(small_campaign: SmallCampaign) -> None:
    store, campaign_id = small_campaign.store, small_campaign.campaign.campaign_id
    left = list(store.structures.find({"campaign_id": campaign_id, "state": "generated"}))
    rounds = {item["round"]: item for item in store.round_documents(campaign_id)}
    assert 0 < len(left) <= sum(item["novel"] - item["submitted"] for number, item in rounds.items() if number)
    assert len({item["fingerprint"] for item in left}) == len(left)
    assert all("relaxation" not in item and item["round"] in rounds for item in left)
    assert not {item["structure_id"] for item in left} & {d["structure_id"] for d in store.documents(campaign_id)}
