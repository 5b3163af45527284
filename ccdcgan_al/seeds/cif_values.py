"""The values of a CIF text by name, block by block, as pymatgen splits them. It knows no crystal."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccdcgan_al.errors import StructureInputError

_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(\(\d+\))?"
)  # with a standard uncertainty in brackets or without
_HEADER = re.compile(r"\s*data_(\S*)", re.IGNORECASE)
_LOOP = re.compile(r"(?<!\S)loop_(?=\s|$)", re.IGNORECASE)
_ATOMS = re.compile(r"(?<![^\s])_atom_site[_.]fract_x(?=\s|$)", re.IGNORECASE)


@dataclass(frozen=True)
class CifValues:
    """The values of a data block.

    Attributes
    ----------
    text : str
        The block.
    values : dict of str to str or list of str
        Name (lower case, underscores for dots) -> value, or values of a loop.
    """

    text: str
    values: dict[str, str | list[str]]

    @property
    def has_atoms(self) -> bool:
        """Whether the block has a table of atoms."""
        return any(
            name.startswith(("_atom_site_fract", "_atom_site_label", "_atom_site_cartn")) for name in self.values
        )

    def column(self, *names: str) -> list[str]:
        """Return the values of the first of these names that the block has; empty where it has none."""
        for name in names:
            if (found := self.values.get(name.lower())) is not None:
                return [found] if isinstance(found, str) else found
        return []

    def scalar(self, *names: str) -> str | None:
        """Return the first value of these names that is stated, which '?' and '.' are not."""
        for name in names:
            for value in self.column(name)[:1]:
                if value.strip() not in ("", "?", "."):
                    return value.strip()
        return None


def number_of(text: str) -> float | None:
    """Return a CIF number, its standard uncertainty left off; None where the text is none ('?' and '.' are none)."""
    return float(text.partition("(")[0]) if _NUMBER.fullmatch(text.strip()) else None


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Return the data blocks as (name, text), all names different; text fields between semicolons are left whole.

    Raises
    ------
    StructureInputError
        There is none.
    """
    blocks: list[tuple[str, list[str]]] = []
    in_field = False
    for line in text.split("\n"):
        if line.startswith(";"):
            in_field = not in_field
        header = None if in_field else _HEADER.match(line)
        if header:
            blocks.append(
                (header.group(1) or str(len(blocks) + 1), [f"data_{header.group(1) or 'x'}{line[header.end() :]}"])
            )
        elif blocks:
            blocks[-1][1].append(line if in_field else _LOOP.sub("loop_", line))
    if not blocks:
        raise StructureInputError("not a readable CIF file (no line begins with data_); give a CIF")
    names: list[str] = []
    for name, _ in blocks:
        tries = (name, *(f"{name}-{number}" for number in range(2, len(blocks) + 2)))
        names.append(next(one for one in tries if one not in names))
    return [(name, "\n".join(lines)) for name, (_, lines) in zip(names, blocks, strict=True)]


def values_of(block: str) -> CifValues:
    """Return the values of a block.

    Raises
    ------
    StructureInputError
        It cannot be split into values, or has two tables of atoms.
    """
    from pymatgen.io.cif import CifBlock

    if len(_ATOMS.findall(block)) > 1:
        raise StructureInputError("two tables of atoms in one data block; write a line data_NAME before the second")
    try:
        data = CifBlock.from_str(block).data
    except (ValueError, IndexError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise StructureInputError(f"not a readable CIF file ({reason}); correct it") from None
    return CifValues(block, {name.replace(".", "_").lower().rstrip("_"): value for name, value in data.items()})
