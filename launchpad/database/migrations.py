"""The schema version of the database: validators, indexes, and numbered migrations from older versions. This module knows no campaign.

A migration changes data of older versions. It can be repeated, run by several processes at the same time, and run again after it was
killed: it looks for the data that still need the change. The version is written last.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from ccdcgan_al import __version__
from ccdcgan_al.errors import MongoError
from ccdcgan_al.strategies.labels import descent_of
from ccdcgan_al.structures.fingerprint import fingerprints_of_documents
from launchpad.database.attempts import attempt_id
from launchpad.database.indexes import ensure_indexes
from launchpad.database.schema import SCHEMA, validator
from launchpad.uri import redact

if TYPE_CHECKING:
    from pymongo.database import Database

COLLECTION = "schema_version"
DUPLICATE_NAMESPACE, UNAUTHORIZED = 48, 13  # MongoDB's error codes: the collection exists; not allowed
_AT_A_TIME = 500


def m0001_one_schema(database: Database[dict[str, Any]]) -> None:
    """Migrate the unversioned database of ccdcgan-al 0.1.0.dev: systems, fingerprints, attempts with ids, hulls by scheme."""
    from pymongo import UpdateOne

    hulls = database["hulls"]
    if "campaign_id_1_round_1" in hulls.index_information():
        hulls.drop_index("campaign_id_1_round_1")  # now there are two hulls per round
    for campaign in database["campaigns"].find({"chemical_system": {"$exists": False}}):
        choices = campaign["campaign"]
        change = {"chemical_system": choices["chemical_system"], "method": choices["method"]}
        database["campaigns"].update_one({"_id": campaign["_id"]}, {"$set": change})
    systems = {item["_id"]: item["chemical_system"] for item in database["campaigns"].find({}, {"chemical_system": 1})}
    structures = database["structures"]
    while old := list(structures.find({"fingerprint": {"$exists": False}}).limit(_AT_A_TIME)):
        names = fingerprints_of_documents([document["start"] for document in old])
        writes = []
        for document, fingerprint in zip(old, names, strict=True):
            elements = sorted({site["label"] for site in document["start"]["sites"]})
            attempts = [
                {**attempt, "attempt_id": attempt_id(attempt["kind"], attempt)}
                for attempt in document.get("attempts", [])
            ]
            change = {
                "chemical_system": systems.get(document["campaign_id"], "-".join(elements)),
                "elements": elements,
                "n_sites": len(document["start"]["sites"]),
                "fingerprint": fingerprint,
                "attempts": attempts,
            }
            writes.append(UpdateOne({"_id": document["_id"], "fingerprint": {"$exists": False}}, {"$set": change}))
        structures.bulk_write(writes, ordered=False)
    _hulls_by_scheme(database, systems)
    unknown = {"$set": {"code_version": "0.1.0"}}
    database["rounds"].update_many({"code_version": {"$exists": False}}, unknown)
    database["rounds"].update_many({"opened": {"$exists": False}}, [{"$set": {"opened": "$last_updated"}}])
    database["models"].update_many({"state": {"$exists": False}}, {"$set": {"state": "stored"}})


def _hulls_by_scheme(database: Database[dict[str, Any]], systems: dict[str, str]) -> None:
    """Give each hull a scheme, and copy the results of the newest hulls into the structures. The next close of a round writes the rest."""
    from pymongo import UpdateOne

    figures = (
        "formation_energy_per_atom",
        "energy_above_hull",
        "corrected_formation_energy_per_atom",
        "corrected_energy_above_hull",
        "correction_driven",
        "space_group",
    )
    newest: dict[str, int] = {}
    for hull in database["hulls"].find({"scheme": {"$exists": False}}).sort("round", -1):
        campaign_id, entries = hull["campaign_id"], hull["entries"]
        current = newest.setdefault(campaign_id, hull["round"]) == hull["round"]
        if current:
            writes = [
                UpdateOne(
                    {"campaign_id": campaign_id, "structure_id": entry["structure_id"]},
                    [
                        {
                            "$set": {
                                **{name: entry[name] for name in figures},
                                "hull_round": hull["round"],
                                "method": hull["method"]["name"],
                                "functional": hull["method"]["functional"],
                                "energy_per_atom": "$relaxation.energy_per_atom",
                            }
                        }
                    ],
                )
                for entry in entries
            ]
            if writes:
                database["structures"].bulk_write(writes, ordered=False)
        change = {
            "scheme": "uncorrected",
            "chemical_system": systems.get(campaign_id, ""),
            "state": "current" if current else "superseded",
            "vertices": sorted(entry["structure_id"] for entry in entries if entry["energy_above_hull"] <= 0),
            "within": float(max((entry["energy_above_hull"] for entry in entries), default=0.0)),
            "total": len(entries),
            "code_version": "0.1.0",
        }
        database["hulls"].update_one({"_id": hull["_id"]}, {"$set": change})


def m0002_element_references(database: Database[dict[str, Any]]) -> None:
    """Mark the data of older versions: the zero of their formation energies is the method's own elements.

    `launchpad.database.rejudge` gives a campaign this version's zero when it is next run, closed or reported.
    """
    own = {"scheme": "own", "energies": {}, "deviations": {}, "warnings": []}
    without = {"element_references": {"$exists": False}}
    database["hulls"].update_many(without, {"$set": {"element_references": own}})
    judged = {**without, "formation_energy_per_atom": {"$exists": True}}
    database["structures"].update_many(judged, {"$set": {"element_references": "own", "element_driven": False}})


def m0003_parents(database: Database[dict[str, Any]]) -> None:
    """Give strategy, operation and parents their own fields. `source` is then only a seed's label. Mutants were called neighbours before."""
    from pymongo import UpdateOne

    structures, without = database["structures"], {"parents": {"$exists": False}}
    seed: dict[str, Any] = {"strategy": None, "operation": None, "parents": []}
    structures.update_many({**without, "origin": {"$ne": "generated"}}, {"$set": seed})
    found = structures.find(without, {"source": 1, "provenance.strategy": 1}).batch_size(_AT_A_TIME)
    while part := list(islice(found, _AT_A_TIME)):
        writes = []
        for document in part:
            descent = descent_of(document["source"])
            descent["strategy"] = descent["strategy"] or document.get("provenance", {}).get("strategy")
            writes.append(UpdateOne({"_id": document["_id"], **without}, {"$set": descent}))
        structures.bulk_write(writes, ordered=False)
    database["rounds"].update_many({"neighbours": {"$exists": True}}, {"$rename": {"neighbours": "mutants"}})


def m0004_failed_confirmations(database: Database[dict[str, Any]]) -> None:
    """Give phases that the confirming method could not relax the field `confirmed` with the problem, as campaigns have it now."""
    from launchpad.database.hull_records import OF_THE_MACHINE, does_not_relax

    structures = database["structures"]
    failed = {
        "confirmation.state": "failed",
        "confirmation.reason": {"$nin": sorted(OF_THE_MACHINE)},
        "confirmed": {"$exists": False},
    }
    for campaign_id in structures.distinct("campaign_id", failed):
        confirmed = structures.find_one({"campaign_id": campaign_id, "confirmed": {"$exists": True}}, {"confirmed": 1})
        if confirmed is None:
            continue  # no confirming hull was built
        method = confirmed["confirmed"]["method"]
        for reason in structures.distinct("confirmation.reason", {**failed, "campaign_id": campaign_id}):
            structures.update_many(
                {**failed, "campaign_id": campaign_id, "confirmation.reason": reason},
                {"$set": {"confirmed": {"method": method, "problem": does_not_relax(reason)}}},
            )


MIGRATIONS: dict[int, Callable[[Database[dict[str, Any]]], None]] = {
    1: m0001_one_schema,
    2: m0002_element_references,
    3: m0003_parents,
    4: m0004_failed_confirmations,
}
VERSION = max(MIGRATIONS)


def schema_version(database: Database[dict[str, Any]]) -> int:
    """Return the schema version of a database. Return 0 if it has none."""
    found = database[COLLECTION].find_one({"_id": COLLECTION})
    return 0 if found is None else int(found["version"])


def prepare(database: Database[dict[str, Any]]) -> list[str]:
    """Bring a database to this version of the schema, and return the names of the applied migrations.

    If the database is already at this version, it costs only one read. Otherwise validators and indexes are created, too.

    Raises
    ------
    MongoError
        If the database has a newer version than this program knows.
    """
    version = schema_version(database)
    if version == VERSION:
        return []
    if version > VERSION:
        raise MongoError(
            f"database {redact(database.name)!r} has schema version {version}, and this ccdcgan-al ({__version__}) knows "
            f"versions up to {VERSION}: use the ccdcgan-al that wrote it, or a newer one, or another database"
        )
    applied = []
    for number, migrate in sorted(MIGRATIONS.items()):
        if number > version:
            migrate(database)
            applied.append(migrate.__name__)
    ensure_validators(database)
    ensure_indexes(database)
    change = {
        "$max": {"version": VERSION},
        "$set": {"code_version": __version__, "last_updated": datetime.now(UTC)},
        "$addToSet": {"applied": {"$each": applied}},
    }
    database[COLLECTION].update_one({"_id": COLLECTION}, change, upsert=True)
    return applied


def repair(database: Database[dict[str, Any]]) -> int:
    """Bring a database to this version, create missing validators and indexes, and return the version."""
    prepare(database)
    ensure_validators(database)
    ensure_indexes(database)
    return schema_version(database)


def ensure_validators(database: Database[dict[str, Any]]) -> None:
    """Create the collections with their validators. Collections with the right validator are not changed.

    Raises
    ------
    MongoError
        If the user may not change an existing collection (`readWrite` creates new ones, `dbAdmin` changes them).
    """
    from pymongo.errors import OperationFailure

    for name in wrong_validators(database):
        try:
            database.create_collection(name, check_exists=False, validator=validator(name))
        except OperationFailure as error:
            if error.code != DUPLICATE_NAMESPACE:
                raise
            try:
                database.command("collMod", name, validator=validator(name))
            except OperationFailure as refusal:
                if refusal.code != UNAUTHORIZED:
                    raise
                raise MongoError(
                    f"the collection {name!r} of {database.name!r} is to get this version's validator, which this user may not "
                    "change: let a user with the role dbAdmin run `ccdcgan-al init` once"
                ) from None


def wrong_validators(database: Database[dict[str, Any]]) -> list[str]:
    """Return the collections whose validator is not this version's."""
    there = {item["name"]: item.get("options", {}).get("validator") for item in database.list_collections()}
    return [name for name in SCHEMA if there.get(name) != validator(name)]
