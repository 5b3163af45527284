"""Parse chemical systems such as `Bi-Se`. It does not know which systems a method can compute."""

import math
import re

from pymatgen.core import Element

from ccdcgan_al.errors import ChemicalSystemError
from ccdcgan_al.structures.electronegativity import electronegativity

MIN_ELEMENTS, MAX_ELEMENTS = 2, 8
_SHOWN = 60  # maximum number of characters of a wrong input in an error message

ELEMENT_SYMBOLS: frozenset[str] = frozenset(element.symbol for element in Element) - {"D", "T"}
"""Symbols of the elements. pymatgen also lists deuterium and tritium, which are hydrogen here."""


def parse_chemical_system(text: str) -> tuple[str, ...]:
    """Return the element symbols of a chemical system written as `Bi-Se`.

    Parameters
    ----------
    text : str
        2 to 8 element symbols joined by hyphens. They are in alphabetical order (`Co-Li-O`, as in the Materials
        Project) or in the order of a formula, by electronegativity (`Li-Co-O`).

    Returns
    -------
    tuple of str
        Element symbols in alphabetical order.

    Raises
    ------
    ChemicalSystemError
        A symbol is unknown, repeated or in lower case, the order is wrong, or there are too few or too many elements.
        The message is one line and suggests the right spelling if there is one.
    """
    shown = " ".join(text.split())
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
    prefix = f'chemical system "{shown}"'
    symbols = text.split("-")
    right = _right_spelling(text)
    hint = f'; write it as "{right}"' if right else '; write two or more element symbols, such as "Bi-Se"'
    unknown = [symbol for symbol in symbols if symbol not in ELEMENT_SYMBOLS]
    if unknown:
        found = " ".join(unknown[0].split())[:_SHOWN]
        raise ChemicalSystemError(f'{prefix}: "{found}" is not the symbol of an element{hint}')
    repeated = [symbol for position, symbol in enumerate(symbols) if symbol in symbols[:position]]
    if repeated:
        raise ChemicalSystemError(f"{prefix} repeats {repeated[0]}{hint}")
    if len(symbols) < MIN_ELEMENTS:
        raise ChemicalSystemError(f"{prefix} has one element; give {MIN_ELEMENTS} to {MAX_ELEMENTS}{hint}")
    if len(symbols) > MAX_ELEMENTS:
        raise ChemicalSystemError(f"{prefix} has {len(symbols)} elements; give {MIN_ELEMENTS} to {MAX_ELEMENTS}")
    if symbols not in (sorted(symbols), sorted(symbols, key=_formula_order)):
        raise ChemicalSystemError(f"{prefix} is neither in alphabetical order nor in the order of a formula{hint}")
    return tuple(sorted(symbols))


def _formula_order(symbol: str) -> tuple[float, str]:
    """Return the sort key of a symbol in a formula: Pauling electronegativity (unknown values last), then the alphabet."""
    value = electronegativity(symbol)
    return (math.inf if value is None else value), symbol


def _right_spelling(text: str) -> str | None:
    """Return the probable spelling (`se-bi`, `Bi, Se`, `BiSe` -> `Bi-Se`), or None if it is not a valid system."""
    parts = {part.capitalize() for part in re.split(r"[^A-Za-z]+", text) if part}
    if not parts <= ELEMENT_SYMBOLS:
        parts = set(re.findall(r"[A-Z][a-z]?", text))
        if "".join(re.findall(r"[A-Z][a-z]?", text)) != "".join(re.findall(r"[A-Za-z]", text)):
            return None
    if not parts <= ELEMENT_SYMBOLS or not MIN_ELEMENTS <= len(parts) <= MAX_ELEMENTS:
        return None
    return "-".join(sorted(parts))
