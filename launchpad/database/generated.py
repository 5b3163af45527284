"""Generated structures in bulk: exact copies of what the campaign has are left out, the rest is inserted. It makes no structure and chooses none."""

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
"""Documents at a time: fingerprints of some are found while others are written."""

WRITERS = 2


def insert_new(
    structures: Collection[dict[str, Any]], campaign_id: str, documents: Iterable[dict[str, Any]], chunk: int = CHUNK
) -> int:
    """Insert documents of generated structures, less exact copies (by fingerprint) of each other and of the campaign's.

    May be repeated: what is there stays as it is.

    Parameters
    ----------
    structures : collection of dict
        The collection.
    campaign_id : str
        Whose they are.
    documents : iterable of dict
        Without fingerprint and structure_id, which they get; `start` is the structure as pymatgen's dict.
    chunk : int, default CHUNK
        How many at a time.

    Returns
    -------
    int
        How many were new.
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
                    structure_id = f"{document['chemical_system']}-g-{name}"  # unique: MongoDB tells which are there
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
    """Insert, and return how many were new; another process may insert the same at the same moment."""
    from pymongo.errors import BulkWriteError

    if not documents:
        return 0
    try:
        return len(structures.insert_many(documents, ordered=False).inserted_ids)
    except BulkWriteError as error:
        if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
            raise
        return int(error.details["nInserted"])
