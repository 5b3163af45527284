"""Read a user's own structures from structure files, with limits on size and time. It relaxes nothing.

A file is accepted only if its crystal agrees with its own statements (`cif_parsing`, `parsing`). Every other file is refused by name with a
reason.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.checks import ReadCrystal, check_crystal
from ccdcgan_al.seeds.choose import MAX_OWN_SITES, Seed, fits_limits, reduced_primitive
from ccdcgan_al.seeds.parsing import WANTED, decode, kind_of, read_crystals
from ccdcgan_al.seeds.time_limit import time_limit
from ccdcgan_al.structures.matching import ReducedCell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from ccdcgan_al.types import Origin

MAX_FILE_BYTES, MAX_SECONDS = 1_000_000, 30.0  # limits of a file; the size limit holds before and after decompression
SAME_SITE = (
    0.05  # Å, tolerance of the primitive cell; a larger tolerance would remove distortions that the user intends
)


@dataclass(frozen=True)
class StructuresRead:
    """Result of reading a user's files. Each line of text names its file.

    Attributes
    ----------
    seeds : tuple of Seed
        Crystals as Niggli primitive cells, in the order of file name and block. The label is the file's name, with
        #block if the file has several.
    repaired : tuple of str, optional
        What was corrected or assumed, one line for each file.
    refused : tuple of str, optional
        Refused files with the reason and what to do, one line for each file.
    not_read : tuple of str, optional
        Sub-folders, other files and blocks without atoms, one line each.
    """

    seeds: tuple[Seed, ...]
    repaired: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()

    def or_stop(self) -> tuple[Seed, ...]:
        """Return the seeds if no file was refused.

        Raises
        ------
        StructureInputError
            A file was refused. The message has one line for each refused file.
        """
        if len(self.refused) > 1:
            raise StructureInputError(
                "\n".join([f"{len(self.refused)} files are refused, and nothing was started:", *self.refused])
            )
        if self.refused:
            raise StructureInputError(self.refused[0])
        return self.seeds


def read_structures(
    source: Path | Sequence[Path],
    elements: Sequence[str] | None = None,
    max_sites: int | None = None,
    max_length: float | None = None,
) -> StructuresRead:
    """Read a user's structure files: CIF, POSCAR, XYZ and JSON. Every item of a folder is either read or named in the result.

    A file is refused, and the others are still read, if one of these holds:

    - the file is missing, unreadable, or larger than 1 MB before or after decompression;
    - reading takes more than 30 s;
    - the structure is inconsistent or disordered, has other elements, or has too large a cell.

    Parameters
    ----------
    source : Path or sequence of Path
        A folder, a file, or several files.
    elements : sequence of str, optional
        Elements that the structures may contain. None means any.
    max_sites : int, optional
        Maximum number of sites of the Niggli primitive cell. None means no limit.
    max_length : float, optional
        Maximum length of a vector of the Niggli primitive cell (Å). None means no limit.

    Returns
    -------
    StructuresRead
        Structures, and notes on corrected, refused and unread files.
    """
    seeds: list[Seed] = []
    repaired: list[str] = []
    refused: list[str] = []
    not_read: list[str] = []
    for path in [source] if isinstance(source, Path) else list(source):
        files, others = _files(path)
        not_read += others
        if path.is_dir() and not files:
            refused.append(f"{path}: the folder has no structure files; give {WANTED}")
        for file in files:
            try:
                found, repairs, empty = _read(file, elements, max_sites, max_length)
            except StructureInputError as error:
                refused.append(f"{file}: {' '.join(str(error).split())}")
                continue
            seeds += found
            not_read += [f"{file}: the data block {block} has no atoms and is not read" for block in empty]
            if repairs:
                repaired.append(f"{file}: {'; '.join(repairs)}")
    return StructuresRead(tuple(seeds), tuple(repaired), tuple(refused), tuple(not_read))


def _files(path: Path) -> tuple[list[Path], list[str]]:
    """Return the structure files of a path, and a line for every other item in a folder."""
    if not path.is_dir():
        return [path], []
    files, others = [], []
    for item in sorted(path.iterdir()):
        if item.is_dir():
            others.append(f"{item}: a sub-folder, not read; move its files into the folder itself")
        elif item.name.startswith(".") or kind_of(item.name) is None:
            others.append(f"{item}: not a structure file, not read; give {WANTED}")
        else:
            files.append(item)
    return files, others


def _read(
    file: Path, elements: Sequence[str] | None, max_sites: int | None, max_length: float | None
) -> tuple[list[Seed], list[str], list[str]]:
    """Return the structures, repairs and blocks without atoms of one file, or raise StructureInputError with the reason."""
    if not file.is_file():
        raise StructureInputError("no such file, or it is not a regular file; give a structure file")
    kind = kind_of(file.name)
    if kind is None:
        raise StructureInputError(f"the file name shows no known format; give {WANTED}")
    try:
        with time_limit(MAX_SECONDS):
            crystals, empty = read_crystals(decode(_bytes(file)), kind)
            return *_seeds(file, crystals, elements, max_sites, max_length), empty
    except TimeoutError:
        raise StructureInputError(
            f"reading took more than {MAX_SECONDS:g} s; give a file with one small cell and its symmetry operations"
        ) from None


def _bytes(file: Path) -> bytes:
    """Return a file's content, up to the size limit. A file whose name ends in .gz is decompressed."""
    from monty.io import zopen

    size = file.stat().st_size
    if size > MAX_FILE_BYTES:
        raise StructureInputError(f"the file has {size} bytes; the limit is {MAX_FILE_BYTES}; give a smaller file")
    try:
        with zopen(file, "rb") as opened:
            data: bytes = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StructureInputError(f"the file cannot be read ({error}); give a complete, readable file") from None
    if len(data) > MAX_FILE_BYTES:
        raise StructureInputError(
            f"the decompressed file has more than {MAX_FILE_BYTES} bytes, which is the limit; give a smaller file"
        )
    return data


def _seeds(
    file: Path,
    crystals: Sequence[ReadCrystal],
    elements: Sequence[str] | None,
    max_sites: int | None,
    max_length: float | None,
) -> tuple[list[Seed], list[str]]:
    """Check and reduce the crystals of a file. Return them as seeds, and the repairs."""
    several = len(crystals) > 1
    seeds, repairs = [], []
    for crystal in crystals:
        try:
            primitive = _reduced(crystal, elements, max_sites, max_length)
        except StructureInputError as error:
            raise StructureInputError(f"block {crystal.block}: {error}" if several else str(error)) from None
        origin: Origin = "reference" if len(primitive.composition) == 1 else "seed"
        label = f"{file.name}#{crystal.block}" if several else file.name
        seeds.append(Seed(primitive, label, primitive.composition.reduced_formula, origin))
        if crystal.repairs:
            repairs.append((f"block {crystal.block}: " if several else "") + "; ".join(crystal.repairs))
    return seeds, repairs


def _reduced(
    crystal: ReadCrystal, elements: Sequence[str] | None, max_sites: int | None, max_length: float | None
) -> Structure:
    """Check a crystal and return its Niggli primitive cell."""
    check_crystal(crystal.structure)
    primitive = reduced_primitive(crystal.structure, SAME_SITE)
    symbols = sorted(element.symbol for element in primitive.composition)
    if elements is not None and not set(symbols) <= set(elements):
        raise StructureInputError(
            f"the structure contains {'-'.join(symbols)}; the system is {'-'.join(elements)}; remove the file, or choose another system"
        )
    most_sites, longest = max_sites or len(primitive), max_length or max(primitive.lattice.abc)
    if not fits_limits(primitive, most_sites, longest):
        raise StructureInputError(
            f"the primitive cell has {len(primitive)} sites and a longest vector of {max(primitive.lattice.abc):.2f} Å; "
            f"the limits are {most_sites} sites and {longest:g} Å; choose a smaller cell"
        )
    if len(primitive) > MAX_OWN_SITES:
        ReducedCell(primitive)  # later comparisons repeat this reduction, so it must finish within the time limit
    return primitive
