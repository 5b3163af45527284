"""What came back for a structure is appended, never overwritten: names of attempts, and the update that adds one. It writes nothing itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def attempt_id(kind: str, document: dict[str, Any]) -> str:
    """Return a name for what came back, the same for the same document."""
    content = {key: value for key, value in document.items() if key not in ("attempt_id", "kind")}
    return hashlib.sha256(f"{kind} {json.dumps(content, sort_keys=True, default=str)}".encode()).hexdigest()[:24]


def append_attempt_update(kind: str, document: dict[str, Any], more: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the update, a pipeline, that adds a relaxation document to a structure's attempts.

    One that is there already changes nothing. A new one becomes the structure's `kind` where it is better than what that
    holds: an energy beats a failure, and any word of a Firework beats `lost`; of equals the one that finished later counts.

    Parameters
    ----------
    kind : str
        One of `launchpad.database.schema.KINDS`. The structure's state follows its ``relaxation``.
    document : dict
        Of `workflows.documents`, plain.
    more : dict
        Further fields that are set with it, by name.

    Returns
    -------
    list of dict
        The stages of the pipeline.
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
