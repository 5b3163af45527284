"""Check a campaign's starting structures, and find more structures of an element if all of its structures failed.

It uses no database and relaxes nothing. `ccdcgan_al.seeds.choose` makes the structures.
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
"""Number of further prototypes of an element to try if all earlier ones failed."""

_HELP = "put {what} in a folder and give it with --seeds FOLDER"


def own_seeds(campaign: Campaign) -> list[Seed]:
    """Return the user's own starting structures."""
    return [Seed(Structure.from_dict(json.loads(text)), name, "", "seed") for name, text in campaign.own_seeds.items()]


def withheld(campaign: Campaign) -> list[Structure]:
    """Return the structures that are withheld from the campaign."""
    return [Structure.from_dict(json.loads(text)) for text in campaign.withheld]


def check_system(campaign: Campaign, known: Collection[str] = ()) -> None:
    """Check that starting structures of all elements, and of a compound, can be made or are given.

    Parameters
    ----------
    campaign : Campaign
        Choices of the campaign, including the user's own structures.
    known : collection of str, optional
        Elements with a stored reference. They need no starting structure.

    Raises
    ------
    StartingStructuresError
        A structure cannot be made. The message names the elements, the reason and the option that helps.
    """
    given = [elements_of(seed.structure) for seed in unlike(own_seeds(campaign), withheld(campaign))]
    nothing = [symbol for symbol in campaign.elements if radius(symbol) is None and molar_volume(symbol) is None]
    _refuse(campaign, [symbol for symbol in nothing if symbol not in known and (symbol,) not in given])
    unbound = [symbol for symbol in campaign.elements if radius(symbol) is None]
    if len(campaign.elements) - len(unbound) <= 1 and not any(set(unbound) & set(symbols) for symbols in given):
        names = " and ".join(unbound)
        raise StartingStructuresError(
            f"{campaign.chemical_system}: no starting compound can be made, because the atomic radius of {names} is not known and its volume "
            f"cannot be predicted; {_HELP.format(what=f'structures that contain {names}')}"
        )


def check_chosen(campaign: Campaign, chosen: Iterable[Structure], known: Collection[str] = ()) -> None:
    """Check that the starting structures contain a structure of every element.

    Parameters
    ----------
    campaign : Campaign
        Choices of the campaign.
    chosen : iterable of Structure
        Starting structures of the campaign.
    known : collection of str, optional
        Elements with a stored reference. They need no starting structure.

    Raises
    ------
    StartingStructuresError
        An element has no structure. The message names the element, the reason and the option that helps.
    """
    _refuse(campaign, [symbol for symbol in lacking(campaign.elements, chosen) if symbol not in known])


def _refuse(campaign: Campaign, elements: Sequence[str]) -> None:
    """Raise if there are elements without a starting structure."""
    if elements:
        why = "; ".join(f"no starting structure of {symbol} can be made, {_why_none(symbol)}" for symbol in elements)
        what = f"a structure of {' and of '.join(elements)}"
        raise StartingStructuresError(f"{campaign.chemical_system}: {why}; {_HELP.format(what=what)}")


def _why_none(element: str) -> str:
    """Return the reason why there is no structure of an element."""
    if molar_volume(element) is None and radius(element) is None:
        return "because neither its molar volume nor its atomic radius is known"
    if not element_structures(element):
        return f"because no prototype fits into {MAX_REFERENCE_SITES} atoms and {MAX_REFERENCE_LENGTH:g} Å"
    return "because all of them match withheld structures"


def without_compounds(campaign: Campaign) -> list[str]:
    """Return the elements that are in no starting compound, because none can be made and none is given."""
    given = {symbol for seed in own_seeds(campaign) for symbol in elements_of(seed.structure)}
    return [element for element in campaign.elements if radius(element) is None and element not in given]


def elements_of(structure: Structure) -> tuple[str, ...]:
    """Return the symbols of a structure's elements, in alphabetical order."""
    return tuple(sorted(element.symbol for element in structure.composition.element_composition))


def lacking(elements: Sequence[str], relaxed: Iterable[Structure]) -> list[str]:
    """Return the elements without a relaxed structure."""
    there = {symbols[0] for structure in relaxed if len(symbols := elements_of(structure)) == 1}
    return [element for element in elements if element not in there]


def further_structures(campaign: Campaign, elements: Sequence[str], tried: Sequence[Structure]) -> list[Seed]:
    """Return up to `FURTHER` more prototypes of each element. They match no structure that was tried or is withheld.

    Parameters
    ----------
    campaign : Campaign
        Choices of the campaign.
    elements : sequence of str
        Elements without a relaxed structure.
    tried : sequence of Structure
        Structures that were relaxed or failed.
    """
    found = []
    for element in elements:
        own = [structure for structure in tried if elements_of(structure) == (element,)]
        found += unlike(element_structures(element), [*own, *withheld(campaign)])[:FURTHER]
    return found


def why_lacking(elements: Sequence[str], failures: Iterable[tuple[Structure, str]]) -> str:
    """Return a text that names elements without a relaxed structure, and the reasons of the failures.

    Parameters
    ----------
    elements : sequence of str
        Elements without a relaxed structure.
    failures : iterable of tuple of (Structure, str)
        Starting structure and reason of each failure.
    """
    told = []
    of_each = [(elements_of(structure), reason) for structure, reason in failures]
    for element in elements:
        reasons = Counter(reason for symbols, reason in of_each if symbols == (element,))
        counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        told.append(
            f"none of {reasons.total()} structures of {element} could be relaxed{f' ({counts})' if counts else ''}"
        )
    return "; ".join(told)


def what_helps(elements: Sequence[str]) -> str:
    """Return which option of a campaign helps if no structure of these elements could be relaxed."""
    what = f"a structure of {' and of '.join(elements)} that can be relaxed"
    return _HELP.format(what=what)
