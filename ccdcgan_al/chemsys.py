"""Chemical systems as users write them, `Bi-Se`; it does not say which systems a method can compute."""

import math
import re

from pymatgen.core import Element

from ccdcgan_al.errors import ChemicalSystemError
from ccdcgan_al.structures.electronegativity import electronegativity

MIN_ELEMENTS, MAX_ELEMENTS = 2, 8
_SHOWN = 60  # characters of a wrong input that an error repeats

ELEMENT_SYMBOLS: frozenset[str] = frozenset(element.symbol for element in Element) - {"D", "T"}
"""Symbols of the elements; deuterium and tritium, which pymatgen lists too, are hydrogen here."""


def parse_chemical_system(text: str) -> tuple[str, ...]:
    """Return the element symbols of a chemical system written as `Bi-Se`.

    Parameters
    ----------
    text : str
        2 to 8 element symbols joined by hyphens, in alphabetical order (`Co-Li-O`, as the Materials Project has it)
        or in the order of a formula, by electronegativity (`Li-Co-O`).

    Returns
    -------
    tuple of str
        The symbols, in alphabetical order.

    Raises
    ------
    ChemicalSystemError
        An unknown, repeated or lower-case symbol, a wrong order, too few or too many elements. The message is one
        line and gives the right spelling where there is one.
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
        raise ChemicalSystemError(f"{prefix} has a single element; wanted {MIN_ELEMENTS} to {MAX_ELEMENTS}{hint}")
    if len(symbols) > MAX_ELEMENTS:
        raise ChemicalSystemError(
            f"{prefix} has {len(symbols)} elements; wanted {MIN_ELEMENTS} to {MAX_ELEMENTS}; leave some out"
        )
    if symbols not in (sorted(symbols), sorted(symbols, key=_formula_order)):
        raise ChemicalSystemError(f"{prefix} is neither in alphabetical order nor in that of a formula{hint}")
    return tuple(sorted(symbols))


def _formula_order(symbol: str) -> tuple[float, str]:
    """Sort key of a symbol in a formula: Pauling electronegativity (none known: last), then the alphabet."""
    value = electronegativity(symbol)
    return (math.inf if value is None else value), symbol


def _right_spelling(text: str) -> str | None:
    """Return what was probably meant (`se-bi`, `Bi, Se`, `BiSe` -> `Bi-Se`), None where that is not a valid system."""
    parts = {part.capitalize() for part in re.split(r"[^A-Za-z]+", text) if part}
    if not parts <= ELEMENT_SYMBOLS:
        parts = set(re.findall(r"[A-Z][a-z]?", text))
        if "".join(re.findall(r"[A-Z][a-z]?", text)) != "".join(re.findall(r"[A-Za-z]", text)):
            return None
    if not parts <= ELEMENT_SYMBOLS or not MIN_ELEMENTS <= len(parts) <= MAX_ELEMENTS:
        return None
    return "-".join(sorted(parts))
