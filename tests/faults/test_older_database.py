"""A campaign that the code of schema version 2 left in the middle of a round: migrated, it goes on to its end."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import json_util
from pymongo.database import Database

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.types import Method
from launchpad import driver
from launchpad.database.migrations import VERSION, schema_version
from tests.faults.scene import Scene

DUMP = Path(__file__).resolve().parents[1] / "data" / "version2.json.gz"


def restore(uri: str) -> Campaign:
    """Load the dump into an empty database, and return its campaign."""
    dump: dict[str, list[dict[str, Any]]] = json_util.loads(gzip.decompress(DUMP.read_bytes()))
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(uri) as client:
        database: Database[dict[str, Any]] = client.get_default_database()
        for name, documents in dump.items():
            if documents:
                database[name].insert_many(documents)
    (document,) = dump["campaigns"]
    return Campaign.from_dict(document["campaign"])


@pytest.mark.slow
def test_a_campaign_of_version_2_goes_on_to_its_end(scene: Scene) -> None:
    assert scene.uri is not None
    scene.campaign = restore(scene.uri)
    before = {item["structure_id"]: item for item in _structures(scene.uri)}
    recorded = Method(scene.campaign.method, "stand-in of the fault tests", "0")
    scene.environment.setattr(driver, "method_of", lambda _: recorded)  # by which the dump's energies were made
    scene.environment.setenv("FAULTS_GAN_STEPS", "50")
    report = scene.run()

    store = scene.store
    assert schema_version(store.database) == VERSION
    assert store.state(scene.campaign.campaign_id) == ("completed", "3 rounds done")
    assert report["campaign_id"] in {item["campaign_id"] for item in before.values()}
    rounds = store.round_documents(scene.campaign.campaign_id)
    assert [(item["state"], item["failed"]) for item in rounds] == [("closed", 0)] * 4
    assert [item["relaxed"] for item in rounds] == [8, 3, 4, 4]

    after = {item["structure_id"]: item for item in _structures(scene.uri)}
    for name, item in before.items():  # what was back stays, and is not relaxed again
        assert after[name]["start"] == item["start"]
        if item["state"] == "relaxed":
            assert after[name]["relaxation"] == item["relaxation"]
    relaxed = set(scene.relaxed())
    assert {"Bi-Se-r2-0002", "Bi-Se-r2-0003"} <= relaxed
    assert not relaxed & {"Bi-Se-r2-0000", "Bi-Se-r2-0001"} - _relaxed_again(after)
    # the last round learns from what the older version recorded, and its mutants name their parents
    made = store.candidates(scene.campaign.campaign_id, 3)
    assert {item.strategy for item in made} == {"ccdcgan"}
    assert all((item.operation is None) == (not item.parents) for item in made)
    assert any(item.operation for item in made)
    assert {parent for item in made for parent in item.parents} <= set(before)


def _structures(uri: str) -> list[dict[str, Any]]:
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(uri) as client:
        return list(client.get_default_database()["structures"].find())


def _relaxed_again(structures: dict[str, dict[str, Any]]) -> set[str]:
    """Ids of what was relaxed again from a distortion, or by the confirming method."""
    return {name for name, item in structures.items() if "distortion" in item or "confirmation" in item}
