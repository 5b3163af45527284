"""Relaxations on disk: what was relaxed once by the same choices is not relaxed again. It knows no campaign and no database.

Two kinds of folders hold them, one JSON file a relaxation, written whole or not at all, so that several processes may share a folder:

- A job's finished relaxations (`find_finished`, `keep_finished`). A worker can die, or lose the database, between the end of a relaxation and
  its record. Its Firework is then rerun, and the rerun takes the document from here. The folder is a machine's (`CCDCGAN_AL_RELAXED_FOLDER`,
  set in the config folder's `environment.sh`) and may be emptied at any time. Without one nothing is kept.
- An experiment's or benchmark's relaxations, failures included (`ResultCache.relax`). The same start always gives the same result,
  and a run that was killed goes on where it was::

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

_DECIMALS = 5  # of lattice vectors (Å) and fractional coordinates: what the last bits of another machine's arithmetic do not reach
_NAMED_BEFORE = {"GuardedForceFieldRelaxMaker": "RelaxMaker", "GuardedVaspRelaxMaker": "VaspMaker"}
"""Makers whose files are named by what the class was called when the first were written, so that these stay usable."""


def relaxation_key(structure: Structure, maker: Relaxer) -> str:
    """Return the sha256 (hex) of a starting structure and of the choices it is relaxed with.

    Parameters
    ----------
    structure : Structure
        Ordered; the order of its sites and its setting count, since the rattle acts on them.
    maker : Relaxer
        Its class and fields count, but for its name, and the versions of its potentials.

    Returns
    -------
    str
        64 hex digits.
    """
    choices = {key: value for key, value in _choices(maker).items() if key not in {"@version", "name"}}
    potentials = sorted({str(choices.get(field)) for field in ("method", "pre_relax")} & set(POTENTIALS))
    content = {
        "lattice": (structure.lattice.matrix.round(_DECIMALS) + 0.0).tolist(),  # + 0.0: no negative zeros
        "species": [site.species_string for site in structure],
        "coordinates": ((structure.frac_coords % 1.0).round(_DECIMALS) % 1.0 + 0.0).tolist(),
        "choices": choices,
        "versions": {name: _version(POTENTIALS[name].package) for name in potentials},
    }
    return _sha256(content)


def job_key(structure: Structure, structure_id: str, maker: Relaxer) -> str:
    """Return the name of a job's relaxation: the structure's id, and 16 hex digits of all that goes into it.

    Parameters
    ----------
    structure : Structure
        Where the relaxation starts.
    structure_id : str
        Its id in the campaign.
    maker : Relaxer
        Its class and fields count.
    """
    return f"{structure_id}-{_sha256([structure_id, structure.as_dict(), _choices(maker)])[:16]}"


@dataclass(frozen=True)
class ResultCache:
    """A folder of relaxation documents.

    Attributes
    ----------
    folder : Path
        Where the documents are; made at the first write.
    """

    folder: Path

    def relax(self, structure: Structure, maker: Relaxer) -> dict[str, Any]:
        """Return the document of this relaxation, relaxing now where it is not there yet.

        The structure's id, which seeds the rattle, is the first half of the key. Of the failures only ``calculator_error`` is
        tried again, since it may be the machine's.

        Parameters
        ----------
        structure : Structure
            Where it starts; kept with the document, as ``start``.
        maker : Relaxer
            What relaxes.

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
        """Return the document of this relaxation, None where it is not there.

        Raises
        ------
        ValueError
            A file of its name holds no JSON.
        """
        return self.read(relaxation_key(structure, maker))

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yield every document in the folder, in order of key."""
        for file in sorted(self.folder.glob("*.json")):
            yield json.loads(file.read_text(encoding="utf-8"))

    def read(self, key: str) -> dict[str, Any] | None:
        """Return the document of a key, None where there is none.

        Raises
        ------
        ValueError
            The file holds no JSON.
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
        """Keep a document under a key, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(document, self._file(key))

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def find_finished(structure: Structure, structure_id: str, maker: Relaxer) -> dict[str, Any] | None:
    """Return the document of a job's finished relaxation from this machine's folder.

    Parameters
    ----------
    structure : Structure
        Where the relaxation starts.
    structure_id : str
        Its id in the campaign.
    maker : Relaxer
        What relaxes.

    Returns
    -------
    dict of str to Any or None
        None where there is no result by the packages of this environment. Failures are not kept: a rerun tries them again.
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
    """Write a job's document to a file of its launch and, where it holds a result, to this machine's folder.

    A disk that is full or read-only is logged and is no reason to lose the result: it still goes to the database.

    Parameters
    ----------
    document : dict of str to Any
        A `RelaxationDocument` as plain JSON.
    structure : Structure
        Where the relaxation started.
    maker : Relaxer
        What relaxed.
    launch_file : Path
        Where `ccdcgan-al harvest` looks for it.
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
    """Return a Maker as a dict, its class by the name under which its files are kept."""
    choices: dict[str, Any] = maker.as_dict()
    name = choices.get("@class")
    return {**choices, "@class": _NAMED_BEFORE.get(str(name), name)} if name else choices


def _version(package: str) -> str | None:
    """Version of a distribution, None where it is not installed: then the relaxation itself says so."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
