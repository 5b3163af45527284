"""The AFLOW prototypes that pymatgen ships, their volumes with other elements in them, and which of them are the same. It chooses none.

Whether two prototypes match, and how close their atoms come, does not depend on which elements are put in: both are found once a process,
for all chemical systems. A prototype with elements in it is a `Substitution`, a few numbers; a structure is made of it when it is wanted.

Volumes of compounds are those of data-mined lattice scaling (Chu et al., Comput. Mater. Sci. 146, 184 (2018),
doi 10.1016/j.commatsci.2018.01.040): the tightest contact becomes a bond of the data-mined length. The table of lengths is that of pymatgen's
`DLSVolumePredictor`, and so is the rule, without its limits on the change of volume: a prototype's own volume says nothing here. Unlike there, an
element without a known electronegativity does not spoil the volume, and one without a radius is not left out. Elements get their measured molar
volume (pymatgen's `Element.molar_volume`): bond lengths mined from compounds make elemental oxygen ten times too dense.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Composition, Element, Structure
from scipy.constants import Avogadro

from ccdcgan_al.structures.electronegativity import electronegativity
from ccdcgan_al.structures.matching import ReducedCell, structure_matcher

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RAW_SITES = 64  # prototypes beyond this many sites in the primitive cell are never used
_REACH = 4.0  # Å beyond an atom's radius in which its contacts are looked for, pymatgen's default
_SMALLER = 0.7  # of a volume: a cell is looked at there first, so that it need not be at each volume between
_PLACEHOLDERS = ("Li", "Be", "B", "C", "N", "O", "F", "Na")  # stand in for any elements where prototypes are compared

Contacts = dict[tuple[str, str], float]
"""Smallest distance (Å) of two elements' atoms, by their symbols in alphabetical order."""


@dataclass(frozen=True, eq=False)
class Prototype:
    """A structure type.

    Attributes
    ----------
    structure : Structure
        Niggli-reduced primitive cell, with the elements of the compound that the type is named for.
    label : str
        AFLOW label.
    strukturbericht : str
        Symbol, or what the library has in its place.
    """

    structure: Structure
    label: str
    strukturbericht: str

    @cached_property
    def own(self) -> tuple[str, ...]:
        """Its own elements, in alphabetical order."""
        return tuple(sorted(element.symbol for element in self.structure.composition))

    @cached_property
    def amounts(self) -> tuple[int, ...]:
        """Number of atoms of each of its own elements."""
        return tuple(round(self.structure.composition[symbol]) for symbol in self.own)

    @cached_property
    def formula(self) -> str:
        """Reduced formula with its own elements."""
        return str(self.structure.composition.reduced_formula)

    @cached_property
    def contacts(self) -> Contacts:
        """Smallest distances between its own elements (Å)."""
        return contacts(self.structure)

    @cached_property
    def longest(self) -> float:
        """Longest lattice vector (Å) at its own volume."""
        return max(self.structure.lattice.abc)

    def with_placeholders(self, volume: float) -> Structure:
        """Return the cell at a volume (Å^3), with placeholders for its elements."""
        return substituted(self.structure, _PLACEHOLDERS[: len(self.own)], volume)


@dataclass(frozen=True)
class Substitution:
    """A prototype with other elements in the place of its own.

    Attributes
    ----------
    number : int
        Of the prototype in `library`.
    elements : tuple of str
        Symbols, in the place of the prototype's own in their alphabetical order.
    formula : str
        Reduced formula.
    volume : float
        Predicted, of the prototype's cell (Å^3).
    distance : float
        Mean distance of the elements from those they replace, in Pettifor's Mendeleev numbers.
    merges_at : float, optional
        That volume where the matcher, which merges what lies within 0.25 Å, makes a smaller cell of it; else None.
    """

    number: int
    elements: tuple[str, ...]
    formula: str
    volume: float
    distance: float
    merges_at: float | None = None

    @property
    def prototype(self) -> Prototype:
        """The prototype."""
        return library()[self.number]

    @property
    def label(self) -> str:
        """AFLOW label and the prototype's own formula."""
        return f"{self.prototype.label} {self.prototype.formula}"

    @property
    def longest(self) -> float:
        """Longest lattice vector (Å)."""
        return self.prototype.longest * (self.volume / self.prototype.structure.volume) ** (1 / 3)

    def structure(self) -> Structure:
        """Return the structure."""
        return substituted(self.prototype.structure, self.elements, self.volume)

    @property
    def reduced_sites(self) -> int:
        """Number of sites in the cell that the matcher compares."""
        return len(_cell(self.number, self.merges_at).structure)

    def same_as(self, other: Substitution) -> bool:
        """Whether the matcher takes the two for the same structure, this one first."""
        if self.formula != other.formula:
            return False
        places = tuple(self.elements.index(symbol) for symbol in other.elements)
        return _match((self.number, self.merges_at), (other.number, other.merges_at), places)


@lru_cache(maxsize=1)
def library() -> tuple[Prototype, ...]:
    """Return the AFLOW prototypes (Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi 10.1016/j.commatsci.2017.01.017); takes seconds."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    prototypes = []
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        primitive = reduced_primitive(entry["snl"].structure)
        if len(primitive) <= MAX_RAW_SITES:
            prototypes.append(Prototype(primitive, entry["tags"]["aflow"], entry["tags"]["strukturbericht"]))
    return tuple(prototypes)


def reduced_primitive(structure: Structure, tolerance: float = 0.25) -> Structure:
    """Return the Niggli-reduced primitive cell, without site properties and oxidation states.

    Parameters
    ----------
    structure : Structure
        Ordered or disordered.
    tolerance : float, default 0.25
        By how much sites that become one may be apart (Å); their mean stands for them. pymatgen's default makes a
        cubic perovskite of one whose atoms are displaced by less.
    """
    bare = Structure(structure.lattice, structure.species_and_occu, structure.frac_coords)
    bare.remove_oxidation_states()
    return bare.get_primitive_structure(tolerance).get_reduced_structure("niggli")


def substitution(number: int, elements: Sequence[str]) -> Substitution | None:
    """Return the prototype of a number with these elements in alphabetical order of its own; None where no volume can be predicted."""
    prototype = library()[number]
    names = _symbols(prototype.own, elements)
    amounts = dict(zip(elements, prototype.amounts, strict=True))
    near = {_pair(names[a], names[b]): distance for (a, b), distance in prototype.contacts.items()}
    volume = predicted_volume(amounts, near, prototype.structure.volume)
    if volume is None:
        return None
    formula = _formula(tuple(amounts.items()))
    merges_at = volume if _merges(number, volume) else None
    return Substitution(number, tuple(elements), formula, volume, distance(names), merges_at)


def substituted(prototype: Structure, elements: Sequence[str], volume: float) -> Structure:
    """Return a structure with `elements` in the place of its own, in their alphabetical order, at a volume (Å^3)."""
    structure = prototype.copy()
    own = sorted(element.symbol for element in prototype.composition)
    structure.replace_species(_mapping(own, elements))
    structure.scale_lattice(volume)
    return structure


def distance(names: Mapping[str, str]) -> float:
    """Return the mean distance of elements from those they replace (old -> new), in Pettifor's Mendeleev numbers."""
    return sum(abs(Element(old).mendeleev_no - Element(new).mendeleev_no) for old, new in names.items()) / len(names)


def contacts(structure: Structure) -> Contacts:
    """Return the smallest distance of each two elements of a structure (Å), those within reach of the largest atom."""
    symbols = [site.specie.symbol for site in structure]
    first, second, _, distances = structure.get_neighbor_list(_REACH + _largest_radius())
    found: Contacts = {}
    for i, j, length in zip(first, second, distances, strict=True):
        pair = _pair(symbols[i], symbols[j])
        found[pair] = min(found.get(pair, math.inf), float(length))
    return found


def predicted_volume(amounts: Mapping[str, int], near: Contacts, volume: float) -> float | None:
    """Return the volume of a cell: by data-mined lattice scaling, or an element's measured one.

    Parameters
    ----------
    amounts : mapping of str to int
        Whole numbers of atoms in the cell, by symbol.
    near : Contacts
        Of the cell's elements (Å).
    volume : float
        Of the cell that has these contacts (Å^3).

    Returns
    -------
    float or None
        Å^3; None where there is no contact, or an element has no radius (He, Ne, Fr, most actinides) and no measured volume.
    """
    if len(amounts) == 1:
        ((symbol, count),) = amounts.items()
        if measured := molar_volume(symbol):
            return count * measured * 1e24 / Avogadro
    known = {symbol: radius(symbol) for symbol in amounts}
    radii = {symbol: value for symbol, value in known.items() if value is not None}
    if len(radii) < len(known):
        return None
    values = [value for symbol, count in amounts.items() for value in [electronegativity(symbol)] * count]
    finite = [value for value in values if value is not None]
    spread = float(np.std(finite)) if finite else 0.0
    bonds = {symbol: _bond_radius(symbol, spread) for symbol in amounts}
    ratios = []
    for (a, b), length in near.items():
        if length <= max(radii[a], radii[b]) + _REACH:
            mined = bonds[a], bonds[b]
            expected = radii[a] + radii[b] if mined[0] is None or mined[1] is None else mined[0] + mined[1]
            ratios.append(length / expected)
    if not ratios or min(ratios) <= 0:
        return None
    found = volume * (1 / min(ratios)) ** 3
    return found if math.isfinite(found) and found > 0 else None


@lru_cache(maxsize=256)
def molar_volume(symbol: str) -> float | None:
    """Return an element's measured molar volume (cm^3/mol); None where pymatgen has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns where it has none
        found = Element(symbol).molar_volume
    return float(found) if found else None


@lru_cache(maxsize=256)
def radius(symbol: str) -> float | None:
    """Return an element's atomic radius (Å); the calculated one where none is measured and the element binds (Kr, Xe, Rn); else None."""
    element = Element(symbol)
    found = element.atomic_radius
    if found is None and electronegativity(symbol) is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen warns where none is calculated
            found = element.atomic_radius_calculated
    return float(found) if found and math.isfinite(found) else None


@lru_cache(maxsize=1)
def _largest_radius() -> float:
    return max(found for element in Element if (found := radius(element.symbol)) is not None)


def _bond_radius(symbol: str, spread: float) -> float | None:
    """Return the data-mined radius (Å) by the standard deviation of the electronegativities; None where the table has none."""
    from pymatgen.core.structure_prediction.volume_predictor import bond_params

    if symbol not in bond_params:
        return None
    return float(bond_params[symbol]["r"]) + float(bond_params[symbol]["k"]) * spread


@lru_cache(maxsize=65536)
def _formula(amounts: tuple[tuple[str, int], ...]) -> str:
    return str(Composition(dict(amounts)).reduced_formula)


_WHOLE: dict[int, float] = {}
"""Smallest volume (Å^3) at which the cell of each prototype, by its number, is known not to become smaller."""


def _merges(number: int, volume: float) -> bool:
    """Whether the matcher makes a smaller cell of a prototype at a volume (Å^3): its tolerance is a length, whatever the scale."""
    if volume >= _WHOLE.setdefault(number, library()[number].structure.volume):
        return False
    for asked in (_SMALLER * volume, volume):
        if len(_cell(number, asked).structure) == len(library()[number].structure):
            _WHOLE[number] = min(asked, _WHOLE[number])
            return False
    return True


@lru_cache(maxsize=4096)
def _cell(number: int, volume: float | None) -> ReducedCell:
    """Return what is compared of a prototype, with placeholders for its elements; at its own volume where none is given (Å^3)."""
    prototype = library()[number]
    return ReducedCell(prototype.with_placeholders(volume or prototype.structure.volume))


@cache
def _match(first: tuple[int, float | None], second: tuple[int, float | None], places: tuple[int, ...]) -> bool:
    """Whether two prototypes match, the elements of the second being those of the first at `places`."""
    return _cell(*first).fits(_with_elements_at(*second, places), structure_matcher())


@lru_cache(maxsize=4096)
def _with_elements_at(number: int, volume: float | None, places: tuple[int, ...]) -> ReducedCell:
    """Return what is compared of a prototype, its elements being the placeholders at `places`."""
    known = _cell(number, volume)
    if places == tuple(range(len(places))):
        return known
    cell = copy(known)
    cell.structure = known.structure.copy()
    cell.structure.replace_species(_mapping(_PLACEHOLDERS, [_PLACEHOLDERS[place] for place in places]))
    cell.key = cell.structure.composition.reduced_formula, len(cell.structure)
    return cell


def without_copies(items: Sequence[Substitution]) -> list[Substitution]:
    """Return the first of each group of substitutions of one chemical system that match, in the order given."""
    by_key: dict[tuple[str, int], list[Substitution]] = defaultdict(list)
    for item in items:
        by_key[item.formula, item.reduced_sites].append(item)
    kept: set[int] = set()
    for group in by_key.values():
        left = group
        while left:
            first, *others = left
            kept.add(id(first))
            left = [item for item in others if not first.same_as(item)]
    return [item for item in items if id(item) in kept]


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a <= b else (b, a)


def _symbols(own: Sequence[str], elements: Sequence[str]) -> dict[str, str]:
    return dict(zip(own, elements, strict=True))


def _mapping(own: Sequence[str], elements: Sequence[str]) -> dict[Element, Element]:
    return {Element(old): Element(new) for old, new in zip(own, elements, strict=False)}
