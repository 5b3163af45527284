"""What a campaign starts from: its starting structures, what is lacking among them, and what is tried where an element lacks a relaxed one.

It has no database and relaxes nothing; the structures themselves are made by `ccdcgan_al.seeds.choose`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from ccdcgan_al.errors import StartingStructuresError
from ccdcgan_al.seeds.choose import MAX_REFERENCE_LENGTH, MAX_REFERENCE_SITES, Seed, element_structures, unlike
from ccdcgan_al.seeds.prototypes import molar_volume, radius

if TYPE_CHECKING:
    from ccdcgan_al.campaign import Campaign

FURTHER = 3
"""Prototypes of an element that are tried where none of those before was relaxed."""

_HELP = "put {what} in a folder and give it with --seeds FOLDER"


def own_seeds(campaign: Campaign) -> list[Seed]:
    """Return the user's own starting structures."""
    return [Seed(Structure.from_dict(json.loads(text)), name, "", "seed") for name, text in campaign.own_seeds.items()]


def withheld(campaign: Campaign) -> list[Structure]:
    """Structures that the campaign must not be given."""
    return [Structure.from_dict(json.loads(text)) for text in campaign.withheld]


def check_system(campaign: Campaign, known: Collection[str] = ()) -> None:
    """Refuse, at once, a system with an element of which nothing is known to make a structure by, or no compound can be made.

    Parameters
    ----------
    campaign : Campaign
        Its choices, the user's own structures among them.
    known : collection of str, optional
        Elements of which a structure need not be relaxed, since a reference is stored.

    Raises
    ------
    StartingStructuresError
        Names the elements, what is not known of them, and the option that helps.
    """
    given = [elements_of(seed.structure) for seed in unlike(own_seeds(campaign), withheld(campaign))]
    nothing = [symbol for symbol in campaign.elements if radius(symbol) is None and molar_volume(symbol) is None]
    _refuse(campaign, [symbol for symbol in nothing if symbol not in known and (symbol,) not in given])
    unbound = [symbol for symbol in campaign.elements if radius(symbol) is None]
    if len(campaign.elements) - len(unbound) <= 1 and not any(set(unbound) & set(symbols) for symbols in given):
        names = " and ".join(unbound)
        raise StartingStructuresError(
            f"{campaign.chemical_system}: no starting compound can be made, since no atomic radius of {names} is known, by which "
            f"its volume would be predicted; {_HELP.format(what=f'structures that hold {names}')}"
        )


def check_chosen(campaign: Campaign, chosen: Iterable[Structure], known: Collection[str] = ()) -> None:
    """Refuse starting structures among which there is none of an element.

    Parameters
    ----------
    campaign : Campaign
        Its choices.
    chosen : iterable of Structure
        Its starting structures.
    known : collection of str, optional
        Elements of which a structure need not be relaxed, since a reference is stored.

    Raises
    ------
    StartingStructuresError
        Names the element, why there is none of it, and the option that helps.
    """
    _refuse(campaign, [symbol for symbol in lacking(campaign.elements, chosen) if symbol not in known])


def _refuse(campaign: Campaign, elements: Sequence[str]) -> None:
    """Raise where there are elements without a starting structure."""
    if elements:
        why = "; ".join(f"no starting structure of {symbol} can be made, {_why_none(symbol)}" for symbol in elements)
        what = f"a structure of {' and of '.join(elements)}"
        raise StartingStructuresError(f"{campaign.chemical_system}: {why}; {_HELP.format(what=what)}")


def _why_none(element: str) -> str:
    """Say why there is no structure of an element."""
    if molar_volume(element) is None and radius(element) is None:
        return "since neither its molar volume nor its atomic radius is known"
    if not element_structures(element):
        return f"since no prototype fits into {MAX_REFERENCE_SITES} atoms and {MAX_REFERENCE_LENGTH:g} Å"
    return "since all of them match what is withheld"


def without_compounds(campaign: Campaign) -> list[str]:
    """Return the elements that no starting compound holds, since none can be made and none is given."""
    given = {symbol for seed in own_seeds(campaign) for symbol in elements_of(seed.structure)}
    return [element for element in campaign.elements if radius(element) is None and element not in given]


def elements_of(structure: Structure) -> tuple[str, ...]:
    """Return the symbols of a structure's elements, in alphabetical order."""
    return tuple(sorted(element.symbol for element in structure.composition.element_composition))


def lacking(elements: Sequence[str], relaxed: Iterable[Structure]) -> list[str]:
    """Return the elements of which no structure was relaxed."""
    there = {symbols[0] for structure in relaxed if len(symbols := elements_of(structure)) == 1}
    return [element for element in elements if element not in there]


def further_structures(campaign: Campaign, elements: Sequence[str], tried: Sequence[Structure]) -> list[Seed]:
    """Return up to `FURTHER` more prototypes of each element that match nothing that was tried or is withheld.

    Parameters
    ----------
    campaign : Campaign
        Its choices.
    elements : sequence of str
        Of which none was relaxed.
    tried : sequence of Structure
        Structures that were relaxed or failed.
    """
    found = []
    for element in elements:
        own = [structure for structure in tried if elements_of(structure) == (element,)]
        found += unlike(element_structures(element), [*own, *withheld(campaign)])[:FURTHER]
    return found


def why_lacking(elements: Sequence[str], failures: Iterable[tuple[Structure, str]]) -> str:
    """Say which elements no structure was relaxed of, and why not.

    Parameters
    ----------
    elements : sequence of str
        Of which none was relaxed.
    failures : iterable of tuple of (Structure, str)
        Structure as it started, and reason.
    """
    told = []
    of_each = [(elements_of(structure), reason) for structure, reason in failures]
    for element in elements:
        reasons = Counter(reason for symbols, reason in of_each if symbols == (element,))
        counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        told.append(
            f"no structure of {element} was relaxed, of {reasons.total()} tried{f' ({counts})' if counts else ''}"
        )
    return "; ".join(told)


def what_helps(elements: Sequence[str]) -> str:
    """Say which option of a campaign helps where no structure of these elements was relaxed."""
    what = f"a structure of {' and of '.join(elements)} that does relax"
    return _HELP.format(what=what)
