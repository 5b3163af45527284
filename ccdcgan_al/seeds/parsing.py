"""The crystals of a file's bytes: text of any usual encoding, as CIF, POSCAR, XYZ or JSON. It opens no file, reduces and limits nothing."""

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

MAX_CRYSTALS = 100  # of one file
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
    """Return what a file is by its name, in any case and with or without .gz: CIF, POSCAR, XYZ or JSON; None for anything else."""
    lower = name.lower().removesuffix(".gz")
    for suffix, kind in _KINDS.items():
        if lower.endswith(suffix) and lower != suffix:
            return kind
    return "POSCAR" if lower.startswith(("poscar", "contcar")) else None


def decode(data: bytes) -> str:
    """Return text of UTF-8 with or without byte order mark, UTF-16, or, where it is neither, Latin-1; its lines end in line feeds.

    Raises
    ------
    StructureInputError
        It holds zeros and no byte order mark, so it is no text.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        halves = data[::2].count(0), data[1::2].count(0)  # UTF-16 without a mark has a zero in every other byte
        encoding = "utf-16-be" if halves[0] > len(data) / 4 else "utf-16-le" if halves[1] > len(data) / 4 else None
        if encoding is None or min(halves):
            raise StructureInputError("no text (it holds zero bytes); give a text file")
    for name in (encoding,) if encoding else ("utf-8-sig", "latin-1"):
        try:
            return data.decode(name).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
    raise StructureInputError(f"no {encoding} text; save it as UTF-8")


def read_crystals(text: str, kind: str) -> tuple[list[ReadCrystal], list[str]]:
    """Return the crystals of a text, unchecked but for what its kind is checked for, and the names of its blocks without atoms.

    Raises
    ------
    StructureInputError
        What is wrong, in the words that follow a file's name.
    """
    readers = {"POSCAR": _poscar, "XYZ": _xyz, "JSON": _json}
    empty: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what readers warn of is looked at before, or is no part of the crystal
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
        raise StructureInputError(f"{len(crystals)} crystals in one file; at most {MAX_CRYSTALS} are read; split it")
    return crystals, empty


def _poscar(text: str) -> list[ReadCrystal]:
    """Return the crystal of a POSCAR, whose lines are counted and whose elements are named before pymatgen reads it."""
    from pymatgen.io.vasp import Poscar

    lines = text.rstrip().split("\n")  # not splitlines, to which a byte of another encoding can be a line's end
    words = [line.split("#")[0].split() for line in lines]
    first = next((k for k in range(5, len(words)) if words[k] and words[k][0].isdigit()), None)
    if first is None:
        raise StructureInputError(
            "not a readable POSCAR file (no line of counts); write how many atoms of each element"
        )
    last = first + max(1, first - 5)  # long lists of elements are wrapped, and their counts alike
    counts = [int(word) for line in words[first:last] for word in line]
    mode = last + 1 if words[last : last + 1] and words[last][:1] and words[last][0][0] in "sS" else last
    if not (mode < len(words) and words[mode] and words[mode][0][0].isalpha()):
        raise StructureInputError(
            "not a readable POSCAR file (no line Direct or Cartesian); write it above the coordinates"
        )
    atoms = words[mode + 1 : mode + 1 + sum(counts)]
    beyond = words[mode + 1 + sum(counts) :][:1]
    if len(atoms) < sum(counts) or not all(map(_is_position, atoms)) or any(map(_is_position, beyond)):
        raise StructureInputError(
            f"its counts sum to {sum(counts)} atoms, and it has another number of coordinates; correct one of them"
        )
    if sum(counts) > MAX_RAW_SITES:
        raise StructureInputError(
            f"{sum(counts)} sites in its cell; at most {MAX_RAW_SITES} are reduced; give its primitive cell"
        )
    ends = [line[6 if mode > last else 3 :][:1] for line in atoms]
    beside = [end[0] for end in ends if end and Element.is_valid_symbol(end[0])]
    species = [word.split("/")[0].split("_")[0] for line in words[5:first] for word in line]
    of_atoms, repairs = _elements_of(lines[0].split(), species, counts, beside if len(beside) == len(atoms) else [])
    scale, cell = float(lines[1]), [[float(word) for word in line[:3]] for line in words[2:5]]
    if scale < 0:  # a volume; pymatgen multiplies Cartesian coordinates with it
        scale = float(np.cbrt(-scale / abs(np.linalg.det(cell))))
    given = "\n".join(
        [lines[0], repr(scale), *lines[2:5], " ".join(of_atoms), " ".join("1" for _ in of_atoms), *lines[last:]]
    )
    return [ReadCrystal(Poscar.from_str(given, read_velocities=False).structure, repairs=tuple(repairs))]


def _elements_of(
    comment: Sequence[str], species: Sequence[str], counts: Sequence[int], beside: list[str]
) -> tuple[list[str], list[str]]:
    """Return the element of each atom of a POSCAR, and what was assumed: of the species line, else beside the coordinates, else of the comment."""

    def each(symbols: Sequence[str]) -> list[str]:
        return [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]

    if species:
        foreign = sorted({symbol for symbol in species if not Element.is_valid_symbol(symbol)})
        if foreign:
            raise StructureInputError(
                f"holds {', '.join(foreign)}, which is no element; write element symbols in the species line"
            )
        if len(species) != len(counts):
            raise StructureInputError(f"{len(species)} elements and {len(counts)} counts; write one count an element")
        if beside and beside != each(species):
            raise StructureInputError("its species line and the elements beside the coordinates differ; correct one")
        return each(species), []
    if beside:
        return beside, ["no species line: elements are those beside the coordinates"]
    if len(comment) == len(counts) and all(map(Element.is_valid_symbol, comment)):
        return each(comment), [f"no species line: elements {' '.join(comment)} are those of the comment"]
    raise StructureInputError("no species line; write the element symbols in a line above the counts")


def _is_position(line: Sequence[str]) -> bool:
    """Tell whether a line begins with three numbers."""
    try:
        return len([float(word) for word in line[:3]]) == 3  # noqa: PLR2004 - coordinates
    except ValueError:
        return False


def _xyz(text: str) -> list[ReadCrystal]:
    """Return the frames of an XYZ, whose comment lines hold the cells (extended XYZ)."""
    from ase.io import read

    frames = read(StringIO(text), index=":", format="extxyz")
    return [_of_ase(atoms, str(k + 1)) for k, atoms in enumerate(frames)]


def _json(text: str) -> list[ReadCrystal]:
    """Return the crystals of JSON: pymatgen's Structure dictionaries, one or a list, or what ASE wrote."""
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
        "JSON of something else; wanted pymatgen Structure dictionaries or atoms that ASE wrote; take it out, or write it as one of these"
    )


def _of_dictionary(item: dict[str, Any]) -> Structure:
    """Return pymatgen's structure of its dictionary: lattice, species and positions, and none of the properties, which could be any class."""
    species = [{one["element"]: float(one["occu"]) for one in site["species"]} for site in item["sites"]]
    return Structure(Lattice(item["lattice"]["matrix"]), species, [site["abc"] for site in item["sites"]])


def _of_ase(atoms: Atoms, block: str) -> ReadCrystal:
    """Return the crystal of ASE's atoms.

    Raises
    ------
    StructureInputError
        They have no cell, or one that is not periodic along all its vectors.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    if atoms.cell.rank < 3:  # noqa: PLR2004 - vectors
        raise StructureInputError(
            'no cell; write Lattice="ax ay az bx by bz cx cy cz" (Å) in the comment line, or give a CIF'
        )
    if not atoms.pbc.all():
        raise StructureInputError(
            f"periodic along {atoms.pbc.sum()} of its 3 vectors; wanted a crystal, periodic along all (pbc)"
        )
    return ReadCrystal(AseAtomsAdaptor.get_structure(atoms), block)
