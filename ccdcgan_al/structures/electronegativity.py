"""Pauling electronegativities. Results never depend on the order of the elements, although some values are unknown. It knows no charge.

pymatgen gives NaN (and a warning) for He, Ne, Ar and the elements heavier than Lr. If a list contains NaN, sorting it or
taking its maximum depends on its order.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from pymatgen.core import Element

if TYPE_CHECKING:
    from collections.abc import Iterable


def _pauling() -> dict[str, float]:
    """Return the known values by symbol. pymatgen caches an element's value at the first request, so it gives no warnings afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {element.symbol: float(element.X) for element in Element}
    return {symbol: value for symbol, value in values.items() if math.isfinite(value)}


_PAULING = _pauling()


def electronegativity(symbol: str) -> float | None:
    """Return an element's Pauling electronegativity. None if it is unknown."""
    return _PAULING.get(symbol)


def most_electronegative(symbols: Iterable[str]) -> str | None:
    """Return the element with the largest electronegativity. If several are equal, return the first of the alphabet.

    Elements of unknown electronegativity are ignored. None if all are unknown.
    """
    known = {symbol: value for symbol in symbols if (value := electronegativity(symbol)) is not None}
    return min(known, key=lambda symbol: (-known[symbol], symbol), default=None)


def by_electronegativity(symbol: str) -> tuple[float, str]:
    """Sort key for rising electronegativity. Elements of unknown value come first, and equal ones are in alphabetical order."""
    value = electronegativity(symbol)
    return (-math.inf if value is None else value), symbol


def without_electronegativity(symbols: Iterable[str]) -> list[str]:
    """Return the elements of unknown electronegativity, in alphabetical order."""
    return sorted({symbol for symbol in symbols if electronegativity(symbol) is None})
