"""Relaxations that are finished but perhaps not recorded: kept on disk, so that a job that is run again does not relax again.

A worker can die, or lose the database, between the end of a relaxation and its record. Its Firework is then rerun, by
whoever finds it lost; the rerun takes the document from here. The folder is a machine's (`CCDCGAN_AL_RELAXED_FOLDER`, set in
the config folder's `environment.sh`), may be shared by several, and may be emptied at any time. Without one nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcgan_al.files import write_json
from ccdcgan_al.settings import Settings
from workflows.documents import package_versions

if TYPE_CHECKING:
    from pymatgen.core import Structure

logger = logging.getLogger("ccdcgan_al.relaxations")


def find(structure: Structure, structure_id: str, maker: Any) -> dict[str, Any] | None:
    """Return the document of a finished relaxation, None where there is none by the packages of this environment.

    Failures are not kept: a rerun tries them again.

    Parameters
    ----------
    structure, structure_id, maker : as given to `workflows.jobs.relax`
    """
    path = _path(structure, structure_id, maker)
    if path is None or not path.is_file():
        return None
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read (%s): %s is relaxed again", path, error, structure_id)
        return None
    return document if document.get("versions") == package_versions() else None


def keep(document: dict[str, Any], structure: Structure, maker: Any, launch_file: Path) -> None:
    """Write a document to `launch_file` and, where it holds a result, to the folder of finished relaxations.

    A disk that is full or read-only is logged and is no reason to lose the result: it still goes to the database.
    """
    kept = _path(structure, document["structure_id"], maker) if document["state"] == "relaxed" else None
    for path in (launch_file, kept):
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(document, path)
            except OSError as error:
                logger.warning("%s is not written to %s: %s", document["structure_id"], path, error)


def _path(structure: Structure, structure_id: str, maker: Any) -> Path | None:
    """File of a relaxation, named by its structure's id and the sha256 of all that goes into it."""
    folder = Settings().relaxed_folder
    if folder is None:
        return None
    content = json.dumps([structure_id, structure.as_dict(), maker.as_dict()], sort_keys=True, default=str)
    return folder / f"{structure_id}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.json"
