"""Parse the crystals of a file's bytes: CIF, POSCAR, XYZ or JSON in any usual text encoding. It opens no file and reduces no cell."""

from __future__ import annotations

import json
import warnings
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.checks import MAX_RAW_SITES, ReadCrystal
from ccdcgan_al.seeds.cif_parsing import read_cif

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

MAX_CRYSTALS = 100  # maximum number of crystals in one file
_MARKS = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_KINDS = {
    ".cif": "CIF",
    ".mcif": "CIF",
    ".vasp": "POSCAR",
    ".poscar": "POSCAR",
    ".xyz": "XYZ",
    ".extxyz": "XYZ",
    ".json": "JSON",
}
WANTED = "CIF (.cif, .mcif), POSCAR (.vasp, .poscar, POSCAR*, CONTCAR*), .xyz, .extxyz or .json, each also with .gz"


def kind_of(name: str) -> str | None:
    """Return the format of a file from its name, with or without .gz, in upper or lower case: CIF, POSCAR, XYZ, JSON or None."""
    lower = name.lower().removesuffix(".gz")
    for suffix, kind in _KINDS.items():
        if lower.endswith(suffix) and lower != suffix:
            return kind
    return "POSCAR" if lower.startswith(("poscar", "contcar")) else None


def decode(data: bytes) -> str:
    """Decode text in UTF-8 (with or without a byte order mark) or UTF-16, otherwise in Latin-1. Line ends become line feeds.

    Raises
    ------
    StructureInputError
        The data are not text: they contain zero bytes, or their byte order mark is wrong.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        halves = data[::2].count(0), data[1::2].count(0)  # UTF-16 without a mark has a zero in every other byte
        encoding = "utf-16-be" if halves[0] > len(data) / 4 else "utf-16-le" if halves[1] > len(data) / 4 else None
        if encoding is None or min(halves):
            raise StructureInputError("the file is not text (it contains zero bytes); give a text file")
    for name in (encoding,) if encoding else ("utf-8-sig", "latin-1"):
        try:
            return data.decode(name).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
    raise StructureInputError(f"the file is not valid {encoding} text; save it as UTF-8")


def read_crystals(text: str, kind: str) -> tuple[list[ReadCrystal], list[str]]:
    """Return the crystals of a text, and the names of its blocks without atoms. Only the checks of the format are made.

    Raises
    ------
    StructureInputError
        The text cannot be read. The message is written so that it can follow the name of a file.
    """
    readers = {"POSCAR": _poscar, "XYZ": _xyz, "JSON": _json}
    empty: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # warnings of the readers are checked separately, or do not concern the crystal
            if kind == "CIF":
                crystals, empty = read_cif(text)
            else:
                crystals = readers[kind](text)
    except (TimeoutError, StructureInputError):
        raise
    except Exception as error:  # parsers of free text fail in many ways; the reason is kept
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise StructureInputError(f"not a readable {kind} file ({reason}); correct it") from error
    if len(crystals) > MAX_CRYSTALS:
        raise StructureInputError(f"the file has {len(crystals)} crystals; the limit is {MAX_CRYSTALS}; split the file")
    return crystals, empty


def _poscar(text: str) -> list[ReadCrystal]:
    """Return the crystal of a POSCAR. Its lines are counted and its elements determined before pymatgen reads it."""
    from pymatgen.io.vasp import Poscar

    lines = text.rstrip().split("\n")  # not splitlines, which also splits at special characters of other encodings
    words = [line.split("#")[0].split() for line in lines]
    first = next((k for k in range(5, len(words)) if words[k] and words[k][0].isdigit()), None)
    if first is None:
        raise StructureInputError(
            "not a readable POSCAR file (no line of counts); write the number of atoms of each element"
        )
    last = first + max(1, first - 5)  # long lists of elements are wrapped, and so are their counts
    counts = [int(word) for line in words[first:last] for word in line]
    mode = last + 1 if words[last : last + 1] and words[last][:1] and words[last][0][0] in "sS" else last
    if not (mode < len(words) and words[mode] and words[mode][0][0].isalpha()):
        raise StructureInputError(
            "not a readable POSCAR file (no line Direct or Cartesian); write this line above the coordinates"
        )
    atoms = words[mode + 1 : mode + 1 + sum(counts)]
    beyond = words[mode + 1 + sum(counts) :][:1]
    if len(atoms) < sum(counts) or not all(map(_is_position, atoms)) or any(map(_is_position, beyond)):
        raise StructureInputError(
            f"the counts sum to {sum(counts)} atoms, but the number of coordinates differs; correct one of them"
        )
    if sum(counts) > MAX_RAW_SITES:
        raise StructureInputError(
            f"the cell has {sum(counts)} sites; the limit is {MAX_RAW_SITES}; give the primitive cell"
        )
    ends = [line[6 if mode > last else 3 :][:1] for line in atoms]
    beside = [end[0] for end in ends if end and Element.is_valid_symbol(end[0])]
    species = [word.split("/")[0].split("_")[0] for line in words[5:first] for word in line]
    of_atoms, repairs = _elements_of(lines[0].split(), species, counts, beside if len(beside) == len(atoms) else [])
    scale, cell = float(lines[1]), [[float(word) for word in line[:3]] for line in words[2:5]]
    if scale < 0:  # a negative scale is a volume; pymatgen would multiply Cartesian coordinates by it
        scale = float(np.cbrt(-scale / abs(np.linalg.det(cell))))
    given = "\n".join(
        [lines[0], repr(scale), *lines[2:5], " ".join(of_atoms), " ".join("1" for _ in of_atoms), *lines[last:]]
    )
    return [ReadCrystal(Poscar.from_str(given, read_velocities=False).structure, repairs=tuple(repairs))]


def _elements_of(
    comment: Sequence[str], species: Sequence[str], counts: Sequence[int], beside: list[str]
) -> tuple[list[str], list[str]]:
    """Return the element of each atom of a POSCAR, and notes on assumptions. Elements come from the species line, the coordinates or the comment."""

    def each(symbols: Sequence[str]) -> list[str]:
        return [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]

    if species:
        foreign = sorted({symbol for symbol in species if not Element.is_valid_symbol(symbol)})
        if foreign:
            raise StructureInputError(
                f"{', '.join(foreign)} is not an element; write element symbols in the species line"
            )
        if len(species) != len(counts):
            raise StructureInputError(
                f"there are {len(species)} elements but {len(counts)} counts; write one count for each element"
            )
        if beside and beside != each(species):
            raise StructureInputError("the species line and the elements next to the coordinates differ; correct one")
        return each(species), []
    if beside:
        return beside, ["there is no species line: the elements next to the coordinates are used"]
    if len(comment) == len(counts) and all(map(Element.is_valid_symbol, comment)):
        return each(comment), [f"there is no species line: the elements {' '.join(comment)} of the comment are used"]
    raise StructureInputError("there is no species line; write the element symbols in a line above the counts")


def _is_position(line: Sequence[str]) -> bool:
    """Return whether a line begins with three numbers."""
    try:
        return len([float(word) for word in line[:3]]) == 3  # noqa: PLR2004 - coordinates
    except ValueError:
        return False


def _xyz(text: str) -> list[ReadCrystal]:
    """Return the frames of an extended XYZ, which has the cells in its comment lines."""
    from ase.io import read

    frames = read(StringIO(text), index=":", format="extxyz")
    return [_of_ase(atoms, str(k + 1)) for k, atoms in enumerate(frames)]


def _json(text: str) -> list[ReadCrystal]:
    """Return the crystals of a JSON text: one or several pymatgen Structure dictionaries, or atoms that ASE wrote."""
    found = json.loads(text)
    items = found if isinstance(found, list) else [found]
    if items and all(isinstance(item, dict) and {"lattice", "sites"} <= set(item) for item in items):
        return [ReadCrystal(_of_dictionary(item), str(k + 1)) for k, item in enumerate(items)]
    if isinstance(found, dict) and "__ase_objtype__" in found:
        from ase.io.jsonio import decode as decode_ase

        return [_of_ase(decode_ase(text), "1")]
    if isinstance(found, dict) and "ids" in found:
        from ase.io import read

        return [_of_ase(atoms, str(k + 1)) for k, atoms in enumerate(read(StringIO(text), index=":", format="json"))]
    raise StructureInputError(
        "the JSON is neither pymatgen Structure dictionaries nor atoms that ASE wrote; write it as one of these, or remove the file"
    )


def _of_dictionary(item: dict[str, Any]) -> Structure:
    """Return the structure of a pymatgen dictionary: lattice, species and positions. Properties are left out, because they could be of any class."""
    species = [{one["element"]: float(one["occu"]) for one in site["species"]} for site in item["sites"]]
    return Structure(Lattice(item["lattice"]["matrix"]), species, [site["abc"] for site in item["sites"]])


def _of_ase(atoms: Atoms, block: str) -> ReadCrystal:
    """Return the crystal of ASE's atoms.

    Raises
    ------
    StructureInputError
        The atoms have no cell, or the cell is not periodic along all its vectors.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    if atoms.cell.rank < 3:  # noqa: PLR2004 - vectors
        raise StructureInputError(
            'there is no cell; write Lattice="ax ay az bx by bz cx cy cz" (Å) in the comment line, or give a CIF file'
        )
    if not atoms.pbc.all():
        raise StructureInputError(
            f"the cell is periodic along {atoms.pbc.sum()} of its 3 vectors; give a crystal that is periodic along all 3 (pbc)"
        )
    return ReadCrystal(AseAtomsAdaptor.get_structure(atoms), block)
