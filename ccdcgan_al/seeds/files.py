"""A user's own structures, from a folder of structure files, bounded in size and time: what was read, and what was not and why. It relaxes nothing.

A file is accepted only if what was read is what it states (`cif_parsing`, `structure_parsing`); everything else is refused by name.
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

MAX_FILE_BYTES, MAX_SECONDS = 1_000_000, 30.0  # of a file: as it is, and decompressed
SAME_SITE = 0.05  # Å; a distortion that makes a larger cell is the user's, and a relaxation of the smaller cell would not find it again


@dataclass(frozen=True)
class StructuresRead:
    """What came of a user's files; each line names its file.

    Attributes
    ----------
    seeds : tuple of Seed
        The crystals, Niggli primitive cells, in order of file name and block; labels are the file's name, with #block
        where it has several.
    repaired : tuple of str, optional
        What was put right or assumed, one line a file.
    refused : tuple of str, optional
        What cannot be trusted or taken, why, and what to do, one line a file.
    not_read : tuple of str, optional
        Sub-folders and other files, and blocks without atoms, one line each.
    """

    seeds: tuple[Seed, ...]
    repaired: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()

    def or_stop(self) -> tuple[Seed, ...]:
        """Return the seeds where no file was refused.

        Raises
        ------
        StructureInputError
            One was; the message has every refused file, one line each.
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
    """Read a user's structure files: CIF, POSCAR, XYZ and JSON; all that is in a folder is read or named.

    Parameters
    ----------
    source : Path or sequence of Path
        A folder, a file, or files.
    elements : sequence of str, optional
        Symbols that the structures may hold; None for any.
    max_sites, max_length : int, optional and float, optional
        Limits of the Niggli primitive cell (length in Å), for what is relaxed; None: any cell.

    Returns
    -------
    StructuresRead
        A file that is missing, larger than 1 MB (as it is or decompressed), not read within 30 s, unreadable, inconsistent, disordered, too large a
        cell, or of other elements is among its `refused`, and the others are read all the same.
    """
    seeds: list[Seed] = []
    repaired: list[str] = []
    refused: list[str] = []
    not_read: list[str] = []
    for path in [source] if isinstance(source, Path) else list(source):
        files, others = _files(path)
        not_read += others
        if path.is_dir() and not files:
            refused.append(f"{path}: no structure files; wanted {WANTED}")
        for file in files:
            try:
                found, repairs, empty = _read(file, elements, max_sites, max_length)
            except StructureInputError as error:
                refused.append(f"{file}: {' '.join(str(error).split())}")
                continue
            seeds += found
            not_read += [f"{file}: the data block {block} holds no atoms and is not read" for block in empty]
            if repairs:
                repaired.append(f"{file}: {'; '.join(repairs)}")
    return StructuresRead(tuple(seeds), tuple(repaired), tuple(refused), tuple(not_read))


def _files(path: Path) -> tuple[list[Path], list[str]]:
    """Return the structure files that a path means, and a line for everything else in a folder."""
    if not path.is_dir():
        return [path], []
    files, others = [], []
    for item in sorted(path.iterdir()):
        if item.is_dir():
            others.append(f"{item}: a sub-folder, not read; give its files in the folder itself")
        elif item.name.startswith(".") or kind_of(item.name) is None:
            others.append(f"{item}: not read; wanted {WANTED}")
        else:
            files.append(item)
    return files, others


def _read(
    file: Path, elements: Sequence[str] | None, max_sites: int | None, max_length: float | None
) -> tuple[list[Seed], list[str], list[str]]:
    """Return one file's structures, its repairs and its blocks without atoms, or raise StructureInputError with the reason."""
    if not file.is_file():
        raise StructureInputError("no such file, or none that can be read; give a structure file")
    kind = kind_of(file.name)
    if kind is None:
        raise StructureInputError(f"its name does not say what it is; wanted {WANTED}")
    try:
        with time_limit(MAX_SECONDS):
            crystals, empty = read_crystals(decode(_bytes(file)), kind)
            return *_seeds(file, crystals, elements, max_sites, max_length), empty
    except TimeoutError:
        raise StructureInputError(
            f"not read within {MAX_SECONDS:g} s; give a file with one small cell and its symmetry written out"
        ) from None


def _bytes(file: Path) -> bytes:
    """Return a file's content, decompressed where its name ends in .gz, and never more of it than the limit."""
    from monty.io import zopen

    size = file.stat().st_size
    if size > MAX_FILE_BYTES:
        raise StructureInputError(f"{size} bytes; at most {MAX_FILE_BYTES} are read; give a smaller file")
    try:
        with zopen(file, "rb") as opened:
            data: bytes = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StructureInputError(f"cannot be opened ({error}); give it whole and readable") from None
    if len(data) > MAX_FILE_BYTES:
        raise StructureInputError(
            f"more than {MAX_FILE_BYTES} bytes when decompressed; at most so many are read; give a smaller file"
        )
    return data


def _seeds(
    file: Path,
    crystals: Sequence[ReadCrystal],
    elements: Sequence[str] | None,
    max_sites: int | None,
    max_length: float | None,
) -> tuple[list[Seed], list[str]]:
    """Return the crystals of a file as seeds, and its repairs, each checked and reduced."""
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
    """Return the Niggli primitive cell of a crystal that passes all checks."""
    check_crystal(crystal.structure)
    primitive = reduced_primitive(crystal.structure, SAME_SITE)
    symbols = sorted(element.symbol for element in primitive.composition)
    if elements is not None and not set(symbols) <= set(elements):
        raise StructureInputError(
            f"holds {'-'.join(symbols)}; wanted elements of {'-'.join(elements)} only; leave it out, or name its elements in the system"
        )
    most_sites, longest = max_sites or len(primitive), max_length or max(primitive.lattice.abc)
    if not fits_limits(primitive, most_sites, longest):
        raise StructureInputError(
            f"primitive cell of {len(primitive)} sites, longest vector {max(primitive.lattice.abc):.2f} Å; "
            f"at most {most_sites} sites and {longest:g} Å are relaxed; choose a smaller cell"
        )
    if len(primitive) > MAX_OWN_SITES:
        ReducedCell(primitive)  # what compares with it reduces it again, which has to end in time
    return primitive
