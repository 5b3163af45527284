"""Relaxed Bi-Se structures with formation energies by SevenNet 7net-0, as shipped; and how such a file is written. It relaxes nothing."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Lattice, Structure

if TYPE_CHECKING:
    from ccdcgan_al.benchmarks.starting_pool import Kind

SHIPPED = Path(__file__).parent / "data" / "bi-se-7net-0.json.gz"
LICENCE = (
    "Prototypes: AFLOW library as shipped by pymatgen (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)); Materials Project, CC BY 4.0 "
    "(Jain et al., APL Mater. 1, 011002 (2013)), by their ids; random crystals by pyxtal. Relaxed structures and energies: CC BY 4.0."
)
_DECIMALS = 4  # of lattice vectors (Å) and fractional coordinates


@dataclass(frozen=True)
class LabelledStructure:
    """One entry of a data set.

    Attributes
    ----------
    label : str
        Prototype's label, or the number of a random draw.
    kind : Kind
        ``element``, ``aflow``, ``binary``, ``ternary`` (of a table), ``random`` or ``campaign`` (chosen by a strategy
        of `benchmark discovery`).
    family : str
        What must not be split between training and held-out structures.
    formation_energy : float
        eV/atom, against the data set's own elements.
    relaxed, start : Structure
        The structure after and before relaxation.
    """

    label: str
    kind: Kind
    family: str
    formation_energy: float
    relaxed: Structure
    start: Structure


def plain(structure: Structure) -> dict[str, Any]:
    """Return a structure as short JSON: lattice vectors (Å), species, fractional coordinates."""
    return {
        "lattice": structure.lattice.matrix.round(_DECIMALS).tolist(),
        "species": [site.specie.symbol for site in structure],
        "coordinates": (structure.frac_coords % 1.0).round(_DECIMALS).tolist(),
    }


def write_set(data: dict[str, Any], file: Path) -> None:
    """Write a data set as gzipped JSON, the same bytes for the same data."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(json.dumps(data, separators=(",", ":"), sort_keys=True).encode(), mtime=0))


def read_set(file: Path = SHIPPED) -> tuple[list[LabelledStructure], dict[str, Any]]:
    """Read a data set.

    Returns
    -------
    tuple of (list of LabelledStructure, dict)
        The structures, and everything else that the file says (method, versions, references, licence, what was left
        out).

    Raises
    ------
    ValueError
        No data set.
    """
    try:
        data = json.loads(gzip.decompress(file.read_bytes()))
        structures = [
            LabelledStructure(
                item["label"],
                item["kind"],
                item["family"],
                item["formation_energy"],
                _structure(item["relaxed"]),
                _structure(item["start"]),
            )
            for item in data.pop("structures")
        ]
    except (gzip.BadGzipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} is no data set of relaxed structures ({error}); make one: benchmark relaxed-set"
        ) from error
    return structures, data


def _structure(stored: dict[str, Any]) -> Structure:
    return Structure(Lattice(np.array(stored["lattice"])), stored["species"], stored["coordinates"])
