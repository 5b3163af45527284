"""A user's own structures, from a folder of CIF and POSCAR files, bounded in size and time. It chooses and relaxes nothing."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds import MAX_LENGTH, MAX_SITES, Seed, reduced_primitive, within
from ccdcgan_al.time_limit import time_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccdcgan_al.types import Origin

MAX_FILE_BYTES, MAX_SECONDS, MAX_RAW_SITES = 1_000_000, 30.0, 1000  # of a file, before it is reduced
SAME_SITE = 0.05  # Å; a distortion that makes a larger cell is the user's, and a relaxation of the smaller cell would not find it again
_PATTERNS = ("*.cif", "*.vasp", "*.poscar", "POSCAR*", "CONTCAR*")


def read_structures(
    source: Path | Sequence[Path],
    elements: Sequence[str] | None = None,
    max_sites: int = MAX_SITES,
    max_length: float = MAX_LENGTH,
) -> list[Seed]:
    """Read a user's CIF and POSCAR files.

    Parameters
    ----------
    source : a folder (its `*.cif`, `*.vasp`, `*.poscar`, `POSCAR*` and `CONTCAR*` files), a file, or files
    elements : symbols that the structures may hold; None for any
    max_sites, max_length : limits of the Niggli primitive cell (length in Å)

    Returns
    -------
    list of Seed
        One a file, Niggli primitive cells, in order of file name.

    Raises
    ------
    StructureInputError
        A file that is missing, larger than 1 MB, not read within 30 s, unreadable, disordered, too large a cell, or of other elements; the
        message names the file and the reason.
    """
    paths = [source] if isinstance(source, Path) else list(source)
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted({file for pattern in _PATTERNS for file in path.glob(pattern) if file.is_file()})
            if not found:
                raise StructureInputError(f"{path}: no structure files; wanted CIF or POSCAR ({', '.join(_PATTERNS)})")
            files += found
        else:
            files.append(path)
    return [_read(file, elements, max_sites, max_length) for file in files]


def _read(file: Path, elements: Sequence[str] | None, max_sites: int, max_length: float) -> Seed:
    """Return one file's structure, or raise StructureInputError with the file's name and the reason."""
    if not file.is_file():
        raise StructureInputError(f"{file}: no such file; give a CIF or POSCAR file")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise StructureInputError(f"{file}: {file.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read")
    try:
        with time_limit(MAX_SECONDS):
            return _parse(file, elements, max_sites, max_length)
    except TimeoutError:
        raise StructureInputError(
            f"{file}: not read within {MAX_SECONDS:g} s; give a file with one small cell and its symmetry written out"
        ) from None


def _parse(file: Path, elements: Sequence[str] | None, max_sites: int, max_length: float) -> Seed:
    """Do what `_read` says, of a file that is not too long."""
    style = "cif" if file.suffix.lower() == ".cif" else "poscar"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            structure = Structure.from_str(file.read_text(), fmt=style)
        except TimeoutError:
            raise
        except Exception as error:  # parsers of free text fail in many ways; the reason is kept
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise StructureInputError(f"{file}: not a readable {style.upper()} file ({reason})") from error
    if not structure.is_ordered:
        raise StructureInputError(f"{file}: disordered (partial occupancies); wanted an ordered structure")
    lattice, coordinates = structure.lattice.matrix, structure.frac_coords
    if not math.isfinite(lattice.sum() + coordinates.sum()) or structure.volume < 0.1:  # noqa: PLR2004 (Å^3, the published rule)
        raise StructureInputError(f"{file}: no volume, or coordinates that are not finite numbers")
    if len(structure) > MAX_RAW_SITES:
        raise StructureInputError(f"{file}: {len(structure)} sites in its cell; at most {MAX_RAW_SITES} are reduced")
    primitive = reduced_primitive(structure, SAME_SITE)
    symbols = sorted(element.symbol for element in primitive.composition)
    if elements is not None and not set(symbols) <= set(elements):
        raise StructureInputError(f"{file}: holds {'-'.join(symbols)}; wanted elements of {'-'.join(elements)} only")
    if not within(primitive, max_sites, max_length):
        raise StructureInputError(
            f"{file}: primitive cell of {len(primitive)} sites, longest vector {max(primitive.lattice.abc):.2f} Å; "
            f"at most {max_sites} sites and {max_length:g} Å are taken; choose a smaller cell"
        )
    origin: Origin = "reference" if len(symbols) == 1 else "seed"
    return Seed(primitive, file.name, primitive.composition.reduced_formula, origin)
