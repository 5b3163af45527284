"""A cache of relaxations on disk: what was relaxed once with the same choices is not relaxed again. It knows no campaign and no database.

A folder holds one JSON document (see `workflows.documents`) a relaxation, failures included, named by the sha256 of the starting structure and of
the Maker's choices. A document is written whole or not at all and never changed, so several processes may share a folder, and a run that was
killed goes on where it was. For experiments and benchmarks; a campaign's own record is its database::

    cache = RelaxedCache(Path("relaxed"))
    maker = RelaxMaker()
    result = read_relaxation(cache.relax(structure, maker))     # relaxes at the first call, reads the file afterwards

`cache.find(structure, maker)` only looks, and `cache.documents()` yields everything that is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcgan_al.files import write_json
from workflows.jobs import relax_to_document
from workflows.potentials import POTENTIALS

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from workflows.relax import RelaxMaker

_DECIMALS = 5  # of lattice vectors (Å) and fractional coordinates: what the last bits of another machine's arithmetic do not reach


def relaxation_key(structure: Structure, maker: RelaxMaker) -> str:
    """Return the sha256 (hex) of a starting structure and the choices it is relaxed with: the Maker's class and fields, the potentials' versions.

    Parameters
    ----------
    structure : ordered structure; the order of its sites and its setting count, since the rattle acts on them
    maker : anything with `as_dict()`, `method` and `relax(structure, structure_id)`
    """
    choices = {key: value for key, value in maker.as_dict().items() if key not in {"@version", "name"}}
    potentials = sorted({str(choices.get(field)) for field in ("method", "pre_relax")} & set(POTENTIALS))
    content = {
        "lattice": (structure.lattice.matrix.round(_DECIMALS) + 0.0).tolist(),  # + 0.0: no negative zeros
        "species": [site.species_string for site in structure],
        "coordinates": ((structure.frac_coords % 1.0).round(_DECIMALS) % 1.0 + 0.0).tolist(),
        "choices": choices,
        "versions": {name: _version(POTENTIALS[name].package) for name in potentials},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _version(package: str) -> str | None:
    """Version of a distribution, None where it is not installed: then the relaxation itself says so."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class RelaxedCache:
    """A folder of relaxations.

    Attributes
    ----------
    folder : where the documents are; made at the first write
    """

    folder: Path

    def relax(self, structure: Structure, maker: RelaxMaker) -> dict[str, Any]:
        """Return the document of this relaxation, relaxing now where it is not there yet.

        The structure's id, which seeds the rattle, is the first half of the key: the same start always gives the same result. Of the failures
        only ``calculator_error`` is tried again, since it may be the machine's.
        """
        known = self.find(structure, maker)
        if known is not None and known.get("reason") != "calculator_error":
            return known
        key = relaxation_key(structure, maker)
        document = {**relax_to_document(structure, key[:32], maker), "start": structure.as_dict()}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(document, self._file(key))
        return document

    def find(self, structure: Structure, maker: RelaxMaker) -> dict[str, Any] | None:
        """Return the document of this relaxation, None where it is not there."""
        file = self._file(relaxation_key(structure, maker))
        try:
            document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{file} is no relaxation document ({error}); remove it") from error
        return document

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yield every document in the folder, in order of key."""
        for file in sorted(self.folder.glob("*.json")):
            yield json.loads(file.read_text(encoding="utf-8"))

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"
