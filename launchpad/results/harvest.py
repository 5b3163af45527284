"""Finished relaxations whose worker died before it could write to the database. They are found in launch folders and recorded.

Files are not trusted. Sizes are limited, links are not followed, and nothing in a file is run or used as a path. A result is
recorded only if there is none. It never replaces a recorded result.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pymatgen.core import Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.types import FailedRelaxation, Method
from launchpad.database.store import CampaignStore
from workflows.documents import read_relaxation
from workflows.jobs import RELAXATION_FILE

MOST_BYTES = 4_000_000  # a document of 20 sites has 20 kB, a document of a VASP run some hundred kB
MOST_FIREWORK_BYTES = 16_000_000  # MongoDB's limit
FIREWORK_FILE = "FW.json"  # FireWorks writes it into a launch's folder before the job starts

Outcome = Literal["recorded", "left", "refused"]


@dataclass(frozen=True)
class Finding:
    """Result of harvesting one file, with its reason.

    Attributes
    ----------
    path : Path
        The file.
    outcome : Outcome
        ``recorded``; ``left``, because the database already has it; or ``refused``.
    reason : str
        Reason in words.
    structure_id : str, optional
        Id of the structure. None if it is not known.
    """

    path: Path
    outcome: Outcome
    reason: str
    structure_id: str | None = None


class _RefusedError(ValueError):
    """A file that is refused. The message states the reason."""


def harvest(folder: Path, store: CampaignStore) -> list[Finding]:
    """Record the finished relaxations of a folder and its subfolders that are missing in the database. It can be repeated.

    Parameters
    ----------
    folder : Path
        Folder in which workers were started, or any folder above their launch folders.
    store : CampaignStore
        Database of the campaigns.

    Returns
    -------
    list of Finding
        One finding for each file, newest file first.

    Raises
    ------
    NotADirectoryError
        If `folder` is not a folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder: give one in which workers ran")
    files = sorted(_files(folder), key=lambda path: (-path.lstat().st_mtime, path))
    return [_harvest(path, store) for path in files]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the result files below a folder. os.walk does not follow links."""
    for place, _, names in os.walk(folder):
        if RELAXATION_FILE in names:
            yield Path(place) / RELAXATION_FILE


def _harvest(path: Path, store: CampaignStore) -> Finding:
    """Record one file, or return why it is not recorded."""
    structure_id: str | None = None
    try:
        document = _relaxation(path)
        structure_id = document["structure_id"]
        spec = _spec(path.parent, document["structure_id"])
        stage = str(spec.get("stage"))
        field = stage if stage in ("confirmation", "distortion") else "relaxation"
        stored = _submitted(store, str(spec.get("campaign_id")), document["structure_id"])
        campaign = store.campaign(stored["campaign_id"])
        _check_method(document, campaign, store, confirms=field == "confirmation")
        _check_composition(document, stored)
    except _RefusedError as refusal:
        return Finding(path, "refused", str(refusal), structure_id)
    present = stored.get(field)
    if present == document:
        return Finding(path, "left", f"this {field} is recorded already", structure_id)
    if present is not None and present.get("reason") != "lost":
        return Finding(path, "left", f"another {field} is recorded, {present['state']}; it stays", structure_id)
    store.record(campaign.campaign_id, [document], as_field=field)
    closed = any(
        item["round"] == stored["round"] and item.get("state") == "closed"
        for item in store.round_documents(campaign.campaign_id)
    )
    late = (
        "; its round was closed without it, it counts from the next hull on" if closed and field == "relaxation" else ""
    )
    return Finding(path, "recorded", f"{document['state']}, campaign {campaign.campaign_id}{late}", structure_id)


def _relaxation(path: Path) -> dict[str, Any]:
    """Read a relaxation document and check it."""
    document = _json(path, MOST_BYTES)
    try:
        result = read_relaxation(document)
        structure_id = document["structure_id"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _RefusedError(f"no relaxation document: {type(error).__name__}: {str(error)[:120]}") from None
    if not isinstance(structure_id, str) or not isinstance(document.get("method"), dict):
        raise _RefusedError("no relaxation document: structure_id or method is missing")
    if not isinstance(result, FailedRelaxation) and not all(
        math.isfinite(number) for number in (result.energy_per_atom, *result.structure.cart_coords.ravel())
    ):
        raise _RefusedError("its energy or structure is not finite")
    return document


def _submitted(store: CampaignStore, campaign_id: str, structure_id: str) -> dict[str, Any]:
    """Return the database's document of a structure."""
    stored = store.structure(campaign_id, structure_id)
    if stored is None:
        raise _RefusedError(f"its campaign {campaign_id[:80]!r} has no such structure in {store.name}")
    return stored


def _spec(folder: Path, structure_id: str) -> dict[str, Any]:
    """Return the spec of a launch folder's Firework. The file may be compressed, because atomate2 compresses files of finished VASP runs."""
    for name in (FIREWORK_FILE, f"{FIREWORK_FILE}.gz"):
        if os.path.lexists(folder / name):
            spec = _json(folder / name, MOST_FIREWORK_BYTES).get("spec")
            if isinstance(spec, dict) and spec.get("structure_id") == structure_id:
                return spec
            raise _RefusedError(f"{name} beside it is not of this structure")
    raise _RefusedError(f"no {FIREWORK_FILE} beside it says which campaign it is of")


def _check_method(document: dict[str, Any], campaign: Campaign, store: CampaignStore, *, confirms: bool) -> None:
    """Refuse a result of another method than the campaign's, or of another version of it."""
    wanted, name = campaign.confirming_method if confirms else campaign.method, document["method"].get("name")
    if name != wanted:
        raise _RefusedError(f"it was relaxed by {str(name)[:40]!r}, its campaign relaxes by {wanted!r}")
    recorded = store.recorded_method(campaign.campaign_id, field="confirmation" if confirms else "relaxation")
    if document["state"] == "relaxed" and recorded and (came := Method(**document["method"])) != recorded:
        raise _RefusedError(
            f"it was relaxed by {str(came)[:160]}, its campaign's energies are of {recorded}: they share no hull"
        )


def _check_composition(document: dict[str, Any], stored: dict[str, Any]) -> None:
    """Refuse a structure whose atoms differ from the structure that was to be relaxed."""
    if document["state"] != "relaxed":  # a change of the atoms may be the reason of the failure
        return
    came, wanted = (Structure.from_dict(found).composition for found in (document["structure"], stored["start"]))
    if came != wanted:
        raise _RefusedError(f"it holds {came.formula[:80]}, its campaign asked for {wanted.formula}")


def _json(path: Path, most: int) -> dict[str, Any]:
    """Read a JSON object from a regular file of at most `most` bytes, compressed or not."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _RefusedError(f"{path.name} cannot be opened: {error.strerror} (links are not followed)") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _RefusedError(f"{path.name} is no regular file")
        try:
            with gzip.open(file) if path.suffix == ".gz" else file as plain:
                text = plain.read(most + 1)
        except (OSError, EOFError) as error:
            raise _RefusedError(f"{path.name} cannot be read: {error}") from None
    if len(text) > most:
        raise _RefusedError(f"{path.name} has more than {most} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(f"{path.name} is no JSON, perhaps cut short: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise _RefusedError(f"{path.name} holds no JSON object")
    return document
