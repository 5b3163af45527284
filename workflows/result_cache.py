"""Relaxations on disk, so that the same structure is not relaxed again with the same choices. This module knows no campaign and no database.

Two kinds of folders hold them. Each relaxation is one JSON file, written completely or not at all, so several processes can share a folder:

- A job's finished relaxations (`find_finished`, `keep_finished`). A worker can die or lose the database after the end of a relaxation but
  before its record. Its Firework is then rerun, and the rerun takes the document from here. The folder belongs to a machine
  (`CCDCGAN_AL_RELAXED_FOLDER`, set in the config folder's `environment.sh`) and can be emptied at any time. Without the setting nothing is kept.
- The relaxations of an experiment or benchmark, including failures (`ResultCache.relax`). The same start always gives the same result,
  and a run that was killed continues where it stopped::

    cache = ResultCache(Path("relaxed"))
    result = read_relaxation(cache.relax(structure, maker))     # relaxes at the first call, reads the file afterwards
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcgan_al.files import write_json
from ccdcgan_al.settings import Settings
from workflows.documents import package_versions, relax_to_document
from workflows.potentials import POTENTIALS

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from workflows.jobs import Relaxer

logger = logging.getLogger("ccdcgan_al.relaxations")

_DECIMALS = 5  # decimals of lattice vectors (Å) and fractional coordinates; different machines agree to this precision
_NAMED_BEFORE = {"GuardedForceFieldRelaxMaker": "RelaxMaker", "GuardedVaspRelaxMaker": "VaspMaker"}
"""Old class names. Files keep these names, so that files of earlier versions can still be used."""


def relaxation_key(structure: Structure, maker: Relaxer) -> str:
    """Return the sha256 (hex) of a starting structure and of the relaxation's choices.

    Parameters
    ----------
    structure : Structure
        Ordered structure. The order of its sites and its setting matter, because the rattle depends on them.
    maker : Relaxer
        Maker of the relaxation. Its class, its fields except the name, and the versions of its potentials matter.

    Returns
    -------
    str
        Key of 64 hex digits.
    """
    choices = {key: value for key, value in _choices(maker).items() if key not in {"@version", "name"}}
    potentials = sorted({str(choices.get(field)) for field in ("method", "pre_relax")} & set(POTENTIALS))
    content = {
        "lattice": (structure.lattice.matrix.round(_DECIMALS) + 0.0).tolist(),  # + 0.0 removes negative zeros
        "species": [site.species_string for site in structure],
        "coordinates": ((structure.frac_coords % 1.0).round(_DECIMALS) % 1.0 + 0.0).tolist(),
        "choices": choices,
        "versions": {name: _version(POTENTIALS[name].package) for name in potentials},
    }
    return _sha256(content)


def job_key(structure: Structure, structure_id: str, maker: Relaxer) -> str:
    """Return the key of a job's relaxation: the structure's id, and 16 hex digits of a hash of all inputs.

    Parameters
    ----------
    structure : Structure
        Structure before relaxation.
    structure_id : str
        Id of the structure in the campaign.
    maker : Relaxer
        Maker of the relaxation. Its class and fields matter.
    """
    return f"{structure_id}-{_sha256([structure_id, structure.as_dict(), _choices(maker)])[:16]}"


@dataclass(frozen=True)
class ResultCache:
    """A folder with relaxation documents.

    Attributes
    ----------
    folder : Path
        Folder of the documents. It is created at the first write.
    """

    folder: Path

    def relax(self, structure: Structure, maker: Relaxer) -> dict[str, Any]:
        """Return the document of this relaxation. If it is not in the folder, relax now.

        The structure's id, which is the seed of the rattle, is the first half of the key. Only failures with the reason
        ``calculator_error`` are tried again, because the machine may have caused them.

        Parameters
        ----------
        structure : Structure
            Structure before relaxation. It is stored in the document as ``start``.
        maker : Relaxer
            Maker that relaxes.

        Returns
        -------
        dict of str to Any
            A `RelaxationDocument` as plain JSON.
        """
        known = self.find(structure, maker)
        if known is not None and known.get("reason") != "calculator_error":
            return known
        key = relaxation_key(structure, maker)
        document = {**relax_to_document(structure, key[:32], maker), "start": structure.as_dict()}
        self.write(key, document)
        return document

    def find(self, structure: Structure, maker: Relaxer) -> dict[str, Any] | None:
        """Return the document of this relaxation. Return None if it is not in the folder.

        Raises
        ------
        ValueError
            If the file contains no JSON.
        """
        return self.read(relaxation_key(structure, maker))

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yield every document in the folder, in order of key."""
        for file in sorted(self.folder.glob("*.json")):
            yield json.loads(file.read_text(encoding="utf-8"))

    def read(self, key: str) -> dict[str, Any] | None:
        """Return the document of a key. Return None if there is none.

        Raises
        ------
        ValueError
            If the file contains no JSON.
        """
        file = self._file(key)
        try:
            document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{file} is no relaxation document ({error}); remove it") from error
        return document

    def write(self, key: str, document: dict[str, Any]) -> None:
        """Write a document under a key, completely or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(document, self._file(key))

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def find_finished(structure: Structure, structure_id: str, maker: Relaxer) -> dict[str, Any] | None:
    """Return the document of a job's finished relaxation from this machine's folder.

    Parameters
    ----------
    structure : Structure
        Structure before relaxation.
    structure_id : str
        Id of the structure in the campaign.
    maker : Relaxer
        Maker that relaxes.

    Returns
    -------
    dict of str to Any or None
        Document. None if there is no result with this environment's packages. Failures are not kept, so a rerun tries again.
    """
    folder = Settings().relaxed_folder
    if folder is None:
        return None
    try:
        document = ResultCache(folder).read(job_key(structure, structure_id, maker))
    except (OSError, ValueError) as error:
        logger.warning("%s is relaxed again: %s", structure_id, error)
        return None
    return document if document is not None and document.get("versions") == package_versions() else None


def keep_finished(document: dict[str, Any], structure: Structure, maker: Relaxer, launch_file: Path) -> None:
    """Write a job's document to a file of its launch. If it has a result, write it to this machine's folder, too.

    If the disk is full or read-only, this is only logged. The result still goes to the database.

    Parameters
    ----------
    document : dict of str to Any
        A `RelaxationDocument` as plain JSON.
    structure : Structure
        Structure before relaxation.
    maker : Relaxer
        Maker that relaxed.
    launch_file : Path
        File in which `ccdcgan-al harvest` looks for the document.
    """
    places = [(ResultCache(launch_file.parent), launch_file.stem)]
    folder = Settings().relaxed_folder
    if folder is not None and document["state"] == "relaxed":
        places.append((ResultCache(folder), job_key(structure, document["structure_id"], maker)))
    for cache, key in places:
        try:
            cache.write(key, document)
        except OSError as error:
            logger.warning("%s is not written to %s: %s", document["structure_id"], cache.folder, error)


def _choices(maker: Relaxer) -> dict[str, Any]:
    """Return a Maker as a dict. Its class has the name that the files use."""
    choices: dict[str, Any] = maker.as_dict()
    name = choices.get("@class")
    return {**choices, "@class": _NAMED_BEFORE.get(str(name), name)} if name else choices


def _version(package: str) -> str | None:
    """Return the version of a distribution package. Return None if it is not installed: then the relaxation itself raises the error."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
