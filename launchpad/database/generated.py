"""Bulk insertion of generated structures without exact copies of the campaign's structures. This module generates and selects no structure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from ccdcgan_al.structures.fingerprint import fingerprints_of_documents
from launchpad.database.indexes import DUPLICATE_KEY

if TYPE_CHECKING:
    from pymongo.collection import Collection

CHUNK = 5000
"""Number of documents in a chunk. The fingerprints of one chunk are computed while another is written."""

WRITERS = 2


def insert_new(
    structures: Collection[dict[str, Any]], campaign_id: str, documents: Iterable[dict[str, Any]], chunk: int = CHUNK
) -> int:
    """Insert documents of generated structures, without exact copies (by fingerprint) of each other and of the campaign's structures.

    It can be repeated. Existing documents are not changed.

    Parameters
    ----------
    structures : collection of dict
        Collection `structures`.
    campaign_id : str
        Campaign of the structures.
    documents : iterable of dict
        Documents without fingerprint and structure_id, which are added here. `start` is the structure as pymatgen's dict.
    chunk : int, default CHUNK
        Number of documents in a chunk.

    Returns
    -------
    int
        Number of new structures.
    """
    query = {"campaign_id": campaign_id, "state": {"$ne": "generated"}}
    known = {item["fingerprint"] for item in structures.find(query, {"_id": 0, "fingerprint": 1})}
    new = 0
    written: deque[Future[int]] = deque()
    with ThreadPoolExecutor(WRITERS) as writers:
        for part in _chunks(documents, chunk):
            kept = []
            names = fingerprints_of_documents([document["start"] for document in part])
            for document, name in zip(part, names, strict=True):
                if name not in known:
                    structure_id = f"{document['chemical_system']}-g-{name}"  # unique: MongoDB finds existing ones
                    document.update(campaign_id=campaign_id, structure_id=structure_id, fingerprint=name)
                    kept.append(document)
            if len(written) > WRITERS:
                new += written.popleft().result()
            written.append(writers.submit(_insert, structures, kept))
        return new + sum(future.result() for future in written)


def _chunks(documents: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    source = iter(documents)
    while part := list(islice(source, size)):
        yield part


def _insert(structures: Collection[dict[str, Any]], documents: Sequence[dict[str, Any]]) -> int:
    """Insert documents, and return the number of new ones. Another process may insert the same documents at the same time."""
    from pymongo.errors import BulkWriteError

    if not documents:
        return 0
    try:
        return len(structures.insert_many(documents, ordered=False).inserted_ids)
    except BulkWriteError as error:
        if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
            raise
        return int(error.details["nInserted"])
