"""Schema, indexes and migrations: what MongoDB refuses, what the docs say, and an old database brought up to date."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import WriteError

from ccdcgan_al.errors import MongoError
from launchpad.database.indexes import INDEXES, index_table, missing_indexes
from launchpad.database.migrations import COLLECTION, MIGRATIONS, VERSION, prepare, schema_version, wrong_validators
from launchpad.database.schema import SCHEMA, markdown
from launchpad.database.store import CampaignStore
from launchpad.uri import database_name

DOCS = Path(__file__).resolve().parents[2] / "docs" / "database.md"
OLD = Path(__file__).resolve().parents[1] / "data" / "version0.json"
"""A database as the code before schema versions wrote it: one campaign, made up, dumped by bson.json_util."""


VERSION_2 = OLD.with_name("version2.json.gz")


@pytest.fixture
def database(fresh_mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]]
    with MongoClient(fresh_mongo_uri, tz_aware=True) as client:
        yield client[database_name(fresh_mongo_uri)]


@pytest.fixture
def old(database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    for name, documents in json_util.loads(OLD.read_text()).items():
        if name != "indexes":
            database[name].insert_many(documents)
    database["hulls"].create_index([("campaign_id", 1), ("round", 1)], unique=True)
    return database


def content(database: Database[dict[str, Any]]) -> str:
    found = {name: list(database[name].find().sort("_id", 1)) for name in (*SCHEMA, "schema_version")}
    return json.dumps(found, default=str, sort_keys=True)


@pytest.mark.parametrize("collection", list(SCHEMA))
def test_the_docs_hold_every_field(collection: str) -> None:
    assert f"### `{collection}`\n\n{markdown(collection)}" in DOCS.read_text()


def test_the_docs_hold_every_index_and_migration() -> None:
    text = DOCS.read_text()
    assert index_table() in text
    assert all(f"| {number} | `{migrate.__name__}` |" in text for number, migrate in MIGRATIONS.items())
    assert {index.collection for index in INDEXES} <= {*SCHEMA, "jobflow_outputs"}


def test_a_new_database_has_validators_and_indexes(database: Database[dict[str, Any]]) -> None:
    prepare(database)
    assert missing_indexes(database) == []
    assert wrong_validators(database) == []
    assert schema_version(database) == VERSION
    assert prepare(database) == []


@pytest.mark.parametrize("collection", list(SCHEMA))
def test_mongodb_refuses_what_does_not_fit(database: Database[dict[str, Any]], collection: str) -> None:
    prepare(database)
    with pytest.raises(WriteError, match="failed validation"):
        database[collection].insert_one({"campaign_id": 3})


def test_an_old_database_is_brought_up_to_date(old: Database[dict[str, Any]]) -> None:
    assert prepare(old) == [migrate.__name__ for migrate in MIGRATIONS.values()]
    after = content(old)
    for name in SCHEMA:  # every document now fits: a write that changes nothing passes its validator
        old[name].update_many({}, [{"$set": {"last_updated": "$last_updated"}}])
    structures = {item["structure_id"]: item for item in old["structures"].find()}
    new = structures["Bi-Se-r1-0000"]
    assert (new["chemical_system"], new["elements"], new["n_sites"]) == ("Bi-Se", ["Bi", "Se"], 2)
    assert (new["method"], new["energy_per_atom"], new["energy_above_hull"]) == ("sevennet", -3.9, 0.0)
    assert len(new["attempts"]) == 1
    assert (new["source"], new["strategy"], new["operation"], new["parents"]) == ("", "ccdcgan", None, [])
    hulls = list(old["hulls"].find().sort("round", 1))
    assert [(hull["scheme"], hull["state"]) for hull in hulls] == [
        ("uncorrected", "superseded"),
        ("uncorrected", "current"),
    ]
    assert {hull["element_references"]["scheme"] for hull in hulls} == {new["element_references"]} == {"own"}
    assert structures["Bi-Se-r1-0001"]["fingerprint"] == structures["Bi-Se-r0-0002"]["fingerprint"]
    for migrate in MIGRATIONS.values():
        migrate(old)
    assert content(old) == after


def test_labels_of_older_versions_become_strategy_operation_and_parents(
    database: Database[dict[str, Any]], fresh_mongo_uri: str
) -> None:
    for name, documents in json_util.loads(gzip.decompress(VERSION_2.read_bytes())).items():
        if documents and "." not in name:
            database[name].insert_many(documents)
    assert prepare(database) == ["m0003_parents", "m0004_failed_confirmations"]
    store = CampaignStore(fresh_mongo_uri)
    (campaign_id,) = store.campaign_ids()
    found = {item.structure_id: item for number in range(3) for item in store.candidates(campaign_id, number)}
    assert found["Bi-Se-r0-0002"].source == "rock salt"
    assert {(item.strategy, item.operation, item.parents) for item in store.candidates(campaign_id, 0)} == {
        (None, None, ())
    }
    made = {
        "Bi-Se-r1-0000": ("transmute", ("Bi-Se-r0-0003",)),
        "Bi-Se-r1-0001": (None, ()),
        "Bi-Se-r1-0002": ("slip", ("Bi-Se-r0-0004",)),
        "Bi-Se-r2-0001": ("swap", ("Bi-Se-r0-0006",)),
    }
    assert {name: (found[name].operation, found[name].parents) for name in made} == made
    assert {(found[name].strategy, found[name].source) for name in made} == {("ccdcgan", "")}
    assert database["structures"].count_documents({"parents": {"$exists": False}}) == 0
    assert [item["mutants"] for item in store.round_documents(campaign_id)] == [0, 6, 6]
    before = content(database)
    MIGRATIONS[3](database)
    assert content(database) == before


def test_a_failed_confirmation_of_an_older_version_says_its_problem(database: Database[dict[str, Any]]) -> None:
    for name, documents in json_util.loads(gzip.decompress(VERSION_2.read_bytes())).items():
        if documents and "." not in name:
            database[name].insert_many(documents)
    structures = database["structures"]
    confirmed = {"method": "sevennet", "energy_above_hull": 0.01}
    changes: dict[str, dict[str, Any]] = {
        "Bi-Se-r0-0002": {"confirmation": {"state": "failed", "reason": "unphysical"}},
        "Bi-Se-r0-0003": {"confirmation": {"state": "failed", "reason": "lost"}},
        "Bi-Se-r0-0004": {"confirmation": {"state": "relaxed"}, "confirmed": confirmed},
    }
    for name, change in changes.items():
        structures.update_one({"structure_id": name}, {"$set": change})
    MIGRATIONS[4](database)
    MIGRATIONS[4](database)
    found = {item["structure_id"]: item.get("confirmed") for item in structures.find()}
    assert found["Bi-Se-r0-0002"] == {"method": "sevennet", "problem": "does not relax: unphysical"}
    assert found["Bi-Se-r0-0003"] is None
    assert found["Bi-Se-r0-0004"] == confirmed
    structures.update_many({}, {"$unset": {"confirmed": ""}})  # no confirming hull was built
    MIGRATIONS[4](database)
    assert structures.count_documents({"confirmed": {"$exists": True}}) == 0


def test_what_came_back_before_is_not_recorded_again(old: Database[dict[str, Any]], fresh_mongo_uri: str) -> None:
    store = CampaignStore(fresh_mongo_uri)
    (campaign_id,) = store.campaign_ids()
    (document,) = store.documents(campaign_id, structure_id="Bi-Se-r1-0000")
    store.record(campaign_id, [document["relaxation"]])
    (stored,) = old["structures"].find({"structure_id": "Bi-Se-r1-0000"})
    assert len(stored["attempts"]) == 1


def test_a_migration_that_was_killed_is_run_again(
    old: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("launchpad.database.migrations._hulls_by_scheme", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(old)
    assert schema_version(old) == 0
    assert prepare(old) == [migrate.__name__ for migrate in MIGRATIONS.values()]
    assert schema_version(old) == VERSION
    assert old["hulls"].count_documents({"scheme": {"$exists": False}}) == 0


def test_a_newer_database_is_refused(database: Database[dict[str, Any]], fresh_mongo_uri: str) -> None:
    prepare(database)
    database[COLLECTION].update_one({}, {"$set": {"version": VERSION + 1}})
    with pytest.raises(MongoError, match=f"has schema version {VERSION + 1}, .* knows versions up to {VERSION}"):
        CampaignStore(fresh_mongo_uri)
