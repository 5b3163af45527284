"""The trained networks of campaigns in MongoDB: bytes in GridFS under their sha256, with their round. This module neither trains nor loads them."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import Any

import gridfs
from pymongo import ASCENDING
from pymongo.database import Database

from ccdcgan_al.errors import MongoError

UPLOAD_SECONDS = 30.0  # s; uploading a model's few MB takes less: older incomplete files come from a dead worker


class ModelStore:
    """Models of one database. docs/database.md has their fields.

    Parameters
    ----------
    database : Database[dict[str, Any]]
        Database of the campaigns.
    """

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self.documents = database["models"]
        self.files = gridfs.GridFS(database, collection="model_files")

    def save(self, campaign_id: str, round_number: int, name: str, blob: bytes, provenance: dict[str, Any]) -> str:
        """Store a model's bytes under their sha256, and return it. The same bytes are stored only once."""
        sha256 = hashlib.sha256(blob).hexdigest()
        self._put_file(sha256, blob)
        where = {"campaign_id": campaign_id, "round": round_number, "name": name}
        change = {"sha256": sha256, "bytes": len(blob), "provenance": provenance, "state": "stored"}
        self.documents.update_one(where, {"$set": {**change, "last_updated": datetime.now(UTC)}}, upsert=True)
        return sha256

    def read(self, campaign_id: str, round_number: int, name: str) -> bytes:
        """Return a model's bytes, by the sha256 in its document.

        Raises
        ------
        KeyError
            If there is no such model.
        MongoError
            If the bytes are missing, or differ from those that were stored.
        """
        document = self.documents.find_one({"campaign_id": campaign_id, "round": round_number, "name": name})
        if document is None:
            raise KeyError(f"no model {name!r} of round {round_number} in campaign {campaign_id!r}")
        sha256 = str(document["sha256"])
        try:
            blob: bytes = self.files.get(sha256).read()
        except gridfs.errors.GridFSError as error:  # there is no such file, or parts of it are missing
            raise MongoError(
                f"model {name!r} of round {round_number}: {error}; restore model_files, or train it anew"
            ) from error
        if hashlib.sha256(blob).hexdigest() != sha256:
            raise MongoError(
                f"model {name!r} of round {round_number}: its bytes do not have the sha256 {sha256}, and are not used; "
                "restore model_files, or train it anew"
            )
        return blob

    def hashes(self, campaign_id: str) -> dict[str, str]:
        """Return the sha256 of every model, by round and name."""
        found = self.documents.find({"campaign_id": campaign_id}).sort([("round", ASCENDING), ("name", ASCENDING)])
        return {f"round {document['round']} {document['name']}": document["sha256"] for document in found}

    def _put_file(self, name: str, blob: bytes) -> None:
        """Store bytes under a name that only these bytes have. GridFS writes them in parts, and writes the file's document last."""
        deadline = time.monotonic() + UPLOAD_SECONDS
        while not self.files.exists({"_id": name}):
            try:
                self.files.put(blob, _id=name)
            except gridfs.errors.FileExists:  # another worker is writing this file, or died while writing it
                if time.monotonic() > deadline:
                    self.files.delete(name)
                time.sleep(0.2)
