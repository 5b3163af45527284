"""Pauling electronegativities, of which some are not known: an answer that never depends on the order of the elements. It knows no charge.

pymatgen gives NaN (and a warning) for He, Ne, Ar and what is heavier than Lr; whatever sorts or takes the largest of such values
answers by the order in which they come.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from pymatgen.core import Element

if TYPE_CHECKING:
    from collections.abc import Iterable


def _pauling() -> dict[str, float]:
    """Return what is known, by symbol. pymatgen remembers an element's value once it was asked for, so that it warns of none afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {element.symbol: float(element.X) for element in Element}
    return {symbol: value for symbol, value in values.items() if math.isfinite(value)}


_PAULING = _pauling()


def electronegativity(symbol: str) -> float | None:
    """Return an element's Pauling electronegativity; None where none is known."""
    return _PAULING.get(symbol)


def most_electronegative(symbols: Iterable[str]) -> str | None:
    """Return the element of the largest electronegativity, of equal ones the first of the alphabet.

    An element of which none is known is never it; None where none is known of any.
    """
    known = {symbol: value for symbol in symbols if (value := electronegativity(symbol)) is not None}
    return min(known, key=lambda symbol: (-known[symbol], symbol), default=None)


def by_electronegativity(symbol: str) -> tuple[float, str]:
    """Sort key that puts elements in rising order, those of which none is known first, equal ones by the alphabet."""
    value = electronegativity(symbol)
    return (-math.inf if value is None else value), symbol


def without_electronegativity(symbols: Iterable[str]) -> list[str]:
    """Return those of which no electronegativity is known, in alphabetical order."""
    return sorted({symbol for symbol in symbols if electronegativity(symbol) is None})
