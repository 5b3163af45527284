"""Relaxed structures in formats of other programs: CIF, POSCAR, ASE database, pymatgen entries, OPTIMADE. This module reads no database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcgan_al.files import write_atomically
from ccdcgan_al.structures.cif import cif_text
from ccdcgan_al.types import DFT

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry

FIGURES = (
    "formation_energy_per_atom", "energy_above_hull", "corrected_formation_energy_per_atom",
    "corrected_energy_above_hull", "correction_driven", "element_references", "own_elements_formation_energy_per_atom",
    "own_elements_energy_above_hull", "element_driven", "is_new_phase", "space_group", "origin", "round", "source",
    "strategy", "operation", "parents", "campaign_id",
)  # fmt: skip
PREFIX = "_ccdcgan_al_"
"""Prefix of the fields that OPTIMADE does not define."""

OPTIMADE = "1.2.0"
"""Version of the specification (https://github.com/Materials-Consortia/OPTIMADE) that `optimade` follows."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def export(documents: Sequence[dict[str, Any]], style: str, out: Path) -> list[Path]:
    """Write structures to files.

    Parameters
    ----------
    documents : sequence of dict
        Documents of `structures`, relaxed.
    style : str
        One of `STYLES`.
    out : Path
        Folder for `cif` and `poscar`, otherwise a file.

    Returns
    -------
    list of Path
        Written files.

    Raises
    ------
    ValueError
        If the style is unknown, if there is nothing to write, or if `out` is a file instead of a folder or the reverse.
    """
    if style not in STYLES:
        raise ValueError(f"unknown format {style!r}: use one of {', '.join(STYLES)}")
    if not documents:
        raise ValueError("nothing to export: no relaxed structure fits; ask for more with --within")
    folder = style in FOLDERS
    if out.exists() and out.is_dir() is not folder:
        raise ValueError(
            f"{out} is {'a file' if folder else 'a folder'}; {style} goes into a {'folder' if folder else 'file'}"
        )
    (out if folder else out.parent).mkdir(parents=True, exist_ok=True)
    return STYLES[style](documents, out)


def structure_of(document: dict[str, Any]) -> Structure:
    """Return the relaxed structure of a document."""
    from pymatgen.core import Structure

    return Structure.from_dict(document["relaxation"]["structure"])


def entry_of(document: dict[str, Any]) -> ComputedStructureEntry:
    """Return a document as pymatgen's entry: its own energy, uncorrected, and how it was obtained.

    A VASP energy has its run type, U values and POTCARs, with which pymatgen applies MP2020. A potential's energy has none of these,
    so that no program mistakes it for a DFT energy.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    structure, relaxation = structure_of(document), document["relaxation"]
    parameters: dict[str, Any] = {"method": relaxation["method"]}
    if relaxation["method"]["name"] == DFT:
        details = relaxation["details"]
        parameters |= {
            "run_type": details["run_type"],
            "hubbards": details["hubbards"],
            "potcar_symbols": details["potcar"],
        }
        parameters |= {"is_hubbard": bool(details["hubbards"]), "software": "vasp"}
    energy = relaxation["energy_per_atom"] * len(structure)
    return ComputedStructureEntry(
        structure, energy, parameters=parameters, data=figures_of(document), entry_id=document["structure_id"]
    )


def figures_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a structure without its geometry. Energies are in eV/atom."""
    return {name: document.get(name) for name in FIGURES}


def optimade_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return a structure as an OPTIMADE resource of type `structures`.

    Parameters
    ----------
    document : dict
        Document of `structures`, relaxed.

    Returns
    -------
    dict
        Resource with the attributes that the specification requires, and this project's data under `PREFIX`.
    """
    structure = structure_of(document)
    composition = structure.composition.element_composition
    elements = sorted(element.symbol for element in composition)
    reduced = composition.reduced_composition
    amounts = {symbol: round(reduced[symbol]) for symbol in elements}
    letters = [chr(ord("A") + number) for number in range(len(elements))]
    anonymous = zip(letters, sorted(amounts.values(), reverse=True), strict=True)

    def formula(parts: Any) -> str:
        return "".join(f"{symbol}{amount if amount > 1 else ''}" for symbol, amount in parts)

    return {
        "type": "structures",
        "id": f"{document['campaign_id']}/{document['structure_id']}",
        "attributes": {
            "immutable_id": None,
            "last_modified": document["last_updated"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "elements": elements,
            "nelements": len(elements),
            "elements_ratios": [composition.get_atomic_fraction(symbol) for symbol in elements],
            "chemical_formula_descriptive": composition.reduced_formula,
            "chemical_formula_reduced": formula(amounts.items()),
            "chemical_formula_anonymous": formula(anonymous),
            "dimension_types": [1, 1, 1],
            "nperiodic_dimensions": 3,
            "lattice_vectors": structure.lattice.matrix.tolist(),
            "cartesian_site_positions": structure.cart_coords.tolist(),
            "nsites": len(structure),
            "species": [{"name": name, "chemical_symbols": [name], "concentration": [1.0]} for name in elements],
            "species_at_sites": [site.specie.symbol for site in structure],
            "structure_features": [],
            **{f"{PREFIX}{name}": value for name, value in figures_of(document).items()},
            f"{PREFIX}energy_per_atom": document["relaxation"]["energy_per_atom"],
            f"{PREFIX}method": document["relaxation"]["method"],
        },
    }


def _name(document: dict[str, Any]) -> str:
    """Return a file name for a structure. It never contains a path."""
    name = f"{document['structure_id']}-{document['formula']}"
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a file; it has other characters than letters, digits and ._+-"
        )
    return name


def _cif(documents: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    return _each(documents, out, ".cif", cif_text)


def _poscar(documents: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    from pymatgen.io.vasp import Poscar

    return _each(documents, out, ".vasp", lambda structure: Poscar(structure.get_sorted_structure()).get_str())


def _each(documents: Sequence[dict[str, Any]], out: Path, suffix: str, text: Callable[[Structure], str]) -> list[Path]:
    paths = []
    for document in documents:
        paths.append(out / f"{_name(document)}{suffix}")
        write_atomically(paths[-1], text(structure_of(document)), mode=0o644)
    return paths


def _ase(documents: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    """Write an ASE database (SQLite). The data are its key-value pairs, so that `ase db FILE energy_above_hull<0.05` finds them."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.db import connect
    from pymatgen.io.ase import AseAtomsAdaptor

    part = out.with_name(f"{out.name}.part.db")
    part.unlink(missing_ok=True)
    with connect(part, type="db") as database:
        for document in documents:
            atoms = AseAtomsAdaptor.get_atoms(structure_of(document), msonable=False)
            atoms.calc = SinglePointCalculator(atoms, energy=document["relaxation"]["energy_per_atom"] * len(atoms))
            figures = {**figures_of(document), "parents": " ".join(document["parents"])}  # ASE accepts no lists
            known = {name: value for name, value in figures.items() if value is not None and value != ""}
            known |= {"structure_id": document["structure_id"], "method": document["relaxation"]["method"]["name"]}
            database.write(atoms, key_value_pairs=known)
    part.replace(out)
    return [out]


def _entries(documents: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    from monty.json import MontyEncoder

    text = json.dumps([entry_of(document).as_dict() for document in documents], cls=MontyEncoder, indent=1)
    write_atomically(out, text + "\n", mode=0o644)
    return [out]


def _optimade(documents: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    answer = {
        "data": [optimade_of(document) for document in documents],
        "meta": {
            "api_version": OPTIMADE,
            "data_returned": len(documents),
            "data_available": len(documents),
            "more_data_available": False,
            "query": {"representation": "/structures"},
            "provider": {"name": "ccdcgan-al", "description": "active-learning campaigns", "prefix": PREFIX.strip("_")},
        },
    }
    write_atomically(out, json.dumps(answer, indent=1) + "\n", mode=0o644)
    return [out]


STYLES: dict[str, Callable[[Sequence[dict[str, Any]], Path], list[Path]]] = {
    "cif": _cif,
    "poscar": _poscar,
    "ase": _ase,
    "entries": _entries,
    "optimade": _optimade,
}
FOLDERS = {"cif": ".cif", "poscar": ".vasp"}
SUFFIXES = {"ase": ".db", "entries": ".json", "optimade": ".json"}
