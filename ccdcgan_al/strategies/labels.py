"""The old labels of a structure's descent, from versions before schema 3. A label is one string, e.g. ``ccdcgan, slip in Bi-Se-r1-0003``.

This module reads labels that those versions stored. Nothing writes them now: `ccdcgan_al.types.Candidate` has a field for each part.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccdcgan_al.types import Operation

OPERATIONS: dict[str, Operation] = {"exchange": "swap", "replace": "transmute", "slip": "slip"}
"""Old name of an operation -> present name."""

_LABEL = re.compile(
    r"(?P<strategy>[a-z-]+)(?:, (?P<operation>exchange|replace|slip)(?: (?:in|of)(?: (?P<parent>\S+))?)?)?"
)


def descent_of(label: str) -> dict[str, Any]:
    """Return the parts of a generated structure's label.

    Parameters
    ----------
    label : str
        The old field ``source``.

    Returns
    -------
    dict
        ``source`` (empty), ``strategy``, ``operation`` and ``parents``. If the text is no such label, ``source`` is the text
        and nothing else is known.
    """
    found = _LABEL.fullmatch(label)
    if found is None:
        return {"source": label, "strategy": None, "operation": None, "parents": []}
    operation, parent = found["operation"], found["parent"]
    return {
        "source": "",
        "strategy": found["strategy"],
        "operation": None if operation is None else OPERATIONS[operation],
        "parents": [] if parent is None else [parent],
    }


def with_descent(item: dict[str, Any], *, generated: bool) -> dict[str, Any]:
    """Return a candidate of `benchmark discovery` with ``operation`` and ``parents``, even if an earlier version wrote it."""
    if "parents" in item:
        return item
    descent = descent_of(item["source"]) if generated else {"operation": None, "parents": []}
    return {**item, **{name: value for name, value in descent.items() if name != "strategy"}}
