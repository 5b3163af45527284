"""Symmetry operations of a space group that a file only names. They come from the tables of spglib and pymatgen. This module reads no file."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import spglib
from pymatgen.core import Lattice
from pymatgen.core.operations import SymmOp

from ccdcgan_al.errors import StructureInputError

MONOCLINIC, CUBIC = range(3, 16), range(195, 231)  # numbers of the International Tables
SAME_LENGTH, SAME_ANGLE = 0.02, 1.0  # largest changes of a file's cell by an operation: relative length, degrees
_SETTINGS = 530  # number of Hall numbers in spglib
_ICSD = {"S": "1", "Z": "2"}  # ICSD's suffixes for the origin


@dataclass(frozen=True)
class Setting:
    """One setting of a space group.

    Attributes
    ----------
    number : int
        Number in the International Tables.
    name : str
        Name for display, e.g. ``R -3 m :H``.
    choice : str
        Choice of axes or origin. Empty if there is only one.
    operations : tuple of SymmOp
        All operations, including those of the centring.
    """

    number: int
    name: str
    choice: str
    operations: tuple[SymmOp, ...]


@dataclass(frozen=True)
class _Row:
    hall_number: int
    number: int
    choice: str
    symbols: frozenset[str]
    hall: str
    standard: bool


def settings_of(symbol: str | None, number: int | None, hall: str | None = None) -> list[Setting]:
    """Return the settings that a file may mean. There are several if the file does not determine the axes or the origin.

    Parameters
    ----------
    symbol : str or None
        Hermann-Mauguin symbol, with or without a setting (``R -3 m :H``, ``F d -3 m Z``). None if there is none.
    number : int or None
        Number in the International Tables. None if there is none.
    hall : str, optional
        Hall symbol, which determines the setting. None if there is none.

    Returns
    -------
    list of Setting
        Settings. Empty if no table has the symbol, or if nothing is given.

    Raises
    ------
    StructureInputError
        If symbol and number are of different space groups.
    """
    rows = [row for row in _table() if hall and row.hall == _bare(hall)]
    if not rows and symbol:
        base, choice = _split(symbol)
        rows = [row for row in _table() if base in row.symbols and (not choice or row.choice == choice)]
        if not rows and not choice:
            found = _of_pymatgen(symbol)
            return _checked([found], symbol, number) if found else []
    if not rows and not symbol and number:
        rows = [row for row in _table() if row.number == number and row.standard]
    return _checked([_setting(row) for row in rows], symbol or hall or "", number)


def fits_cell(operations: list[SymmOp] | tuple[SymmOp, ...], lattice: Lattice) -> bool:
    """Return whether every operation keeps the lengths and angles of a cell, within 2 % and 1 degree."""
    metric = lattice.metric_tensor
    for operation in operations:
        turned = operation.rotation_matrix.T @ metric @ operation.rotation_matrix
        lengths = np.sqrt(np.diag(turned))
        if not np.allclose(lengths, lattice.abc, rtol=SAME_LENGTH):
            return False
        cosines = np.array([turned[1, 2], turned[0, 2], turned[0, 1]]) / (lengths[[1, 0, 0]] * lengths[[2, 2, 1]])
        if not np.allclose(np.degrees(np.arccos(np.clip(cosines, -1, 1))), lattice.angles, rtol=0, atol=SAME_ANGLE):
            return False
    return True


def _checked(settings: list[Setting], symbol: str, number: int | None) -> list[Setting]:
    """Return the settings. Raise an error if none has the number that the file states."""
    if not settings or number is None:
        return settings
    same = [setting for setting in settings if setting.number == number]
    if not same:
        raise StructureInputError(
            f"names the space group {symbol!r}, which is number {settings[0].number}, and states number {number}; "
            "correct one of them"
        )
    return same


@lru_cache(maxsize=1)
def _table() -> tuple[_Row, ...]:
    """Return spglib's table: each setting with its possible symbols, all without spaces and setting."""
    rows = []
    for hall_number in range(1, _SETTINGS + 1):
        kind = _kind(hall_number)
        long = kind.international.rpartition("=")[2]
        symbols = {long, kind.international_full}
        standard = kind.choice in ("", "1", "2", "H", "R", "b", "b1")
        if "=" not in kind.international:
            symbols.add(kind.international_short)
        elif kind.number in MONOCLINIC:
            symbols.add(" ".join(part for part in long.split() if part != "1"))
        if kind.number in CUBIC and "-3" in kind.international_short:
            symbols.add(kind.international_short.replace("-3", "3", 1))  # the notation before 1935
        if "e" in long.split():
            symbols |= _before_1992(long.split())
        bare = frozenset(_bare(symbol).lower() for symbol in symbols)
        rows.append(_Row(hall_number, kind.number, kind.choice, bare, _bare(kind.hall_symbol), standard))
    return tuple(rows)


def _before_1992(parts: list[str]) -> set[str]:
    """Return the symbols before 1992 of a symbol with the glide plane e: Cmca and Cmcb for C m c e."""
    axis = parts.index("e")  # 1 to 3, direction of the normal of the plane
    return {"".join([*parts[:axis], glide, *parts[axis + 1 :]]) for glide in "abc" if glide != "abc"[axis - 1]}


def _kind(hall_number: int) -> spglib.SpaceGroupType:
    kind = spglib.get_spacegroup_type(hall_number)
    if kind is None:
        raise ValueError(f"spglib knows no Hall number {hall_number}: wanted 1 to {_SETTINGS}")
    return kind


@lru_cache(maxsize=64)
def _operations(hall_number: int) -> tuple[SymmOp, ...]:
    found = spglib.get_symmetry_from_database(hall_number)
    if found is None:
        raise ValueError(f"spglib knows no Hall number {hall_number}: wanted 1 to {_SETTINGS}")
    return tuple(
        SymmOp.from_rotation_and_translation(rotation, translation)
        for rotation, translation in zip(found["rotations"], found["translations"], strict=True)
    )


def _setting(row: _Row) -> Setting:
    kind = _kind(row.hall_number)
    name = kind.international.rpartition("=")[2].strip() + (f" :{row.choice}" if row.choice else "")
    return Setting(row.number, name, row.choice, _operations(row.hall_number))


def _of_pymatgen(symbol: str) -> Setting | None:
    """Return the setting for a symbol from pymatgen's tables, which include the COD's, e.g. A -1. None if they do not have it."""
    from pymatgen.io.cif import CifBlock, CifParser

    name = "_symmetry_space_group_name_H-M"
    block = CifBlock({name: symbol}, [], "x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it found the group by its name, or took P1; both are checked
        parser = CifParser.from_str(str(block))
        found = tuple(parser.get_symops(block))
    if not any(name in warning for warning in parser.warnings):
        return None
    rotations, translations = zip(*((item.rotation_matrix, item.translation_vector) for item in found), strict=True)
    kind = spglib.get_spacegroup_type_from_symmetry(np.array(rotations, dtype=np.intc), np.array(translations))
    return None if kind is None else Setting(kind.number, symbol, "", found)


def _split(symbol: str) -> tuple[str, str]:
    """Return a symbol without spaces, and its setting: the part after a colon, or H, R, S, Z at the end (ICSD's and pymatgen's suffixes)."""
    base, _, choice = symbol.partition(":")
    if not choice and (found := re.search(r"\s*([HRSZ])\s*$", base)):
        base, choice = base[: found.start()], found.group(1)
    choice = choice.strip()
    choice = _ICSD.get(choice.upper(), choice.upper() if choice.upper() in ("H", "R") else choice)
    return _bare(base).lower(), choice


def _bare(symbol: str) -> str:
    return re.sub(r"[\s_()]", "", symbol)
