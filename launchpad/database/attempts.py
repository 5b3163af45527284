"""Attempts of relaxations, which are added and never overwritten: their ids, and the update that adds one. This module writes nothing."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def attempt_id(kind: str, document: dict[str, Any]) -> str:
    """Return an id for a relaxation document. It is the same for the same document."""
    content = {key: value for key, value in document.items() if key not in ("attempt_id", "kind")}
    return hashlib.sha256(f"{kind} {json.dumps(content, sort_keys=True, default=str)}".encode()).hexdigest()[:24]


def append_attempt_update(kind: str, document: dict[str, Any], more: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the update, a pipeline, that adds a relaxation document to a structure's attempts.

    If the attempt is already there, nothing changes. A new attempt becomes the structure's `kind` if it is better than the
    present one. An energy is better than a failure, and any other failure is better than `lost`. If both are equal, the later one counts.

    Parameters
    ----------
    kind : str
        One of `launchpad.database.schema.KINDS`. The structure's state is that of its ``relaxation``.
    document : dict
        Document of `workflows.documents`, as plain JSON.
    more : dict
        Other fields to set, by name.

    Returns
    -------
    list of dict
        Stages of the pipeline.
    """
    name = attempt_id(kind, document)
    rank = 2 if document["state"] == "relaxed" else 0 if document["reason"] == "lost" else 1
    present = [
        {"case": {"$eq": [f"${kind}.state", "relaxed"]}, "then": 2},
        {"case": {"$eq": [f"${kind}.reason", "lost"]}, "then": 0},
        {"case": {"$eq": [f"${kind}.state", "failed"]}, "then": 1},
    ]
    later = {"$gte": [document.get("finished") or "", {"$ifNull": [f"${kind}.finished", ""]}]}
    better = {"$or": [{"$gt": [rank, "$_present"]}, {"$and": [{"$eq": [rank, "$_present"]}, later]}]}
    attempts = {"$ifNull": ["$attempts", []]}
    new = {"attempt_id": name, "kind": kind, **document}
    fields: dict[str, Any] = {kind: document}
    if kind == "relaxation":
        fields |= {key: document[key] for key in ("state", "reason", "message")}
    return [
        {"$set": {"_present": {"$switch": {"branches": present, "default": -1}}}},
        {"$set": {"_new": {"$not": [{"$in": [name, {"$ifNull": ["$attempts.attempt_id", []]}]}]}}},
        {"$set": {"_better": {"$and": ["$_new", better]}}},
        {
            "$set": {
                "attempts": {"$cond": ["$_new", {"$concatArrays": [attempts, [{"$literal": new}]]}, attempts]},
                "last_updated": {"$cond": ["$_new", "$$NOW", "$last_updated"]},
                **{key: {"$cond": ["$_better", {"$literal": value}, f"${key}"]} for key, value in fields.items()},
                **{key: {"$literal": value} for key, value in more.items()},
            }
        },
        {"$unset": ["_present", "_new", "_better"]},
    ]
