"""Pauling electronegativities, of which some are not known: an answer that never depends on the order of the elements. It knows no charge.

pymatgen gives NaN (and a warning) for He, Ne, Ar and what is heavier than Lr; whatever sorts or takes the largest of such values
answers by the order in which they come.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from pymatgen.core import Element

if TYPE_CHECKING:
    from collections.abc import Iterable


@lru_cache(maxsize=256)
def electronegativity(symbol: str) -> float | None:
    """Return an element's Pauling electronegativity; None where none is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns where none is known
        value = float(Element(symbol).X)
    return value if math.isfinite(value) else None


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
