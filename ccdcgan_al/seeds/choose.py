"""Choose starting structures: prototypes with substituted elements, and structures of the elements. It relaxes nothing and knows no energy.

`ccdcgan_al.seeds.prototypes` provides the prototypes and predicts volumes. `ccdcgan_al.seeds.files` reads the user's own structures.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING

from pymatgen.core import Composition, Element, Structure

from ccdcgan_al.seeds.prototypes import (
    Substitution,
    contacts,
    distance,
    library,
    predicted_volume,
    reduced_primitive,
    substituted,
    substitution,
    without_copies,
)
from ccdcgan_al.structures.electronegativity import most_electronegative
from ccdcgan_al.structures.matching import StructureIndex, group_structures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ccdcgan_al.types import Origin

__all__ = [
    "MAX_REFERENCE_LENGTH",
    "MAX_REFERENCE_SITES",
    "MAX_SEED_LENGTH",
    "MAX_SITES",
    "REFERENCES_PER_ELEMENT",
    "Seed",
    "choose_seeds",
    "element_structures",
    "fits_limits",
    "is_charge_balanced",
    "prototype_structures",
    "reduced_primitive",
    "references_per_element",
    "scale_to_predicted_volume",
    "substitute",
    "unlike",
    "without_duplicates",
]

MAX_SITES, MAX_SEED_LENGTH = 20, 10.0  # the published selection, npj Comput. Mater. 7, 66 (2021); length in Å
MAX_REFERENCE_SITES = (
    32  # an element's ground state may be larger, it sets the hull's zero: alpha-S has 32, alpha-Mn 29
)
MAX_REFERENCE_LENGTH = 14.0  # Å; alpha-S has 13.3
MAX_OWN_SITES, MAX_OWN_LENGTH = (
    64,
    40.0,
)  # limits of a user's own structure, which is relaxed even if no codec can encode it; length in Å
REFERENCES_PER_ELEMENT = 4
BALANCED_TURN = (
    3  # structures of a charge-balanced composition in one turn; other compositions get one (the project's choice)
)

# Structures of the elements at low temperature (Donohue, The Structures of the Elements, Wiley 1974). Keys are
# Strukturbericht symbols of the library's prototypes, or AFLOW labels if there is no symbol.
_GROUND_STATES = {
    "A1": "Ac Ag Al Ar Au Ca Ce Cu Ir Kr Ne Ni Pb Pd Pt Rh Sr Th Xe Yb",
    "A2": "Ba Cr Cs Eu Fe K Li Mo Na Nb Ra Rb Ta V W",
    "A3": "Be Cd Co Dy Er Gd He Hf Ho Lu Mg Os Re Ru Sc Tb Tc Ti Tl Tm Y Zn Zr",
    "A3'": "Am Bk Ce Cf Cm La Nd Pm Pr",
    "A4": "C Ge Si Sn",
    "A5": "Sn",
    "A6": "In",
    "A7": "As Bi Sb",
    "A8": "S Se Te",
    "A9": "C",
    "A10": "Hg",
    "A11": "Ga",
    "A12": "Mn",
    "A13": "Mn",
    "A14": "Br Cl I",
    "A16": "S",
    "A17": "P",
    "A20": "U",
    "A_a": "Pa",
    "A_c": "Np",
    "A_h": "Po",
    "C19": "Sm",
    "A_cP8_205_c": "F H N",
    "A_hR12_166_2h": "B",
    "A_hR2_166_c": "O",
    "A_mC4_12_i": "F O",
    "A_mP16_11_8e": "Pu",
    "A_tP4_136_f": "H N",
}
_FIRST = {"C": "A9", "S": "A16", "O": "A_mC4_12_i", "F": "A_mC4_12_i"}  # the first choice of an element in several rows
_MOLECULAR = "Br Cl F H I N O"
_MOLECULAR_TYPES = ("A14", "A_mC4_12_i", "A_cP8_205_c", "A_tP4_136_f", "A18")
_P_BLOCK_TYPES = ("A7", "A8", "A4", "A_h", "A14", "A17", "A1", "A2", "A3")
_METAL_TYPES = ("A1", "A3", "A2", "A3'", "A4", "A_h", "A7")


@dataclass(frozen=True)
class Seed:
    """A starting structure.

    Attributes
    ----------
    structure : Structure
        Niggli-reduced primitive cell at the predicted volume. A structure from a file keeps its volume.
    label : str
        AFLOW label and the prototype's own formula, or the file's name (with #block if the file has several).
    formula : str
        Reduced formula. It is used to spread the seeds over compositions.
    origin : Origin, default "seed"
        ``reference`` for an element, otherwise ``seed``.
    substitution_distance : float, default 0.0
        Mean distance between new and replaced elements, in Pettifor's Mendeleev numbers.
    """

    structure: Structure
    label: str
    formula: str
    origin: Origin = "seed"
    substitution_distance: float = 0.0


def scale_to_predicted_volume(structure: Structure) -> Structure | None:
    """Return the structure at its predicted volume, from data-mined lattice scaling or from an element's measured volume.

    Parameters
    ----------
    structure : Structure
        Ordered structure of any volume.

    Returns
    -------
    Structure or None
        Scaled copy. None if no two atoms are in contact, or if an element's radius is unknown (He, Ne, Fr, most
        actinides).
    """
    amounts = {element.symbol: round(amount) for element, amount in structure.composition.items()}
    volume = predicted_volume(amounts, contacts(structure), structure.volume)
    if volume is None:
        return None
    scaled = structure.copy()
    scaled.scale_lattice(volume)
    return scaled


def substitute(prototype: Structure, label: str, elements: Sequence[str], origin: Origin) -> Seed | None:
    """Replace the elements of a prototype, in alphabetical order, by `elements`. Return it at the predicted volume."""
    own = sorted(element.symbol for element in prototype.composition)
    scaled = scale_to_predicted_volume(substituted(prototype, elements, prototype.volume))
    if scaled is None:
        return None
    name = f"{label} {prototype.composition.reduced_formula}"
    far = distance(dict(zip(own, elements, strict=True)))
    return Seed(scaled, name, scaled.composition.reduced_formula, origin, far)


def _seed(item: Substitution, origin: Origin) -> Seed:
    return Seed(item.structure(), item.label, item.formula, origin, item.distance)


def fits_limits(structure: Structure, max_sites: int, max_length: float) -> bool:
    """Return whether a cell has at most `max_sites` sites and no lattice vector longer than `max_length` (Å)."""
    return len(structure) <= max_sites and max(structure.lattice.abc) <= max_length


def without_duplicates(seeds: Sequence[Seed]) -> list[Seed]:
    """Return the first structure of each group of matching structures, in the given order."""
    return [seeds[min(group)] for group in group_structures([seed.structure for seed in seeds])]


def prototype_structures(
    elements: Sequence[str], max_sites: int = MAX_SITES, max_length: float = MAX_SEED_LENGTH
) -> list[Seed]:
    """Return all prototypes with two or more of the elements, in every order of the elements, at predicted volumes.

    Parameters
    ----------
    elements : sequence of str
        Element symbols of the chemical system.
    max_sites : int, default MAX_SITES
        Maximum number of sites in the primitive cell.
    max_length : float, default MAX_SEED_LENGTH
        Maximum length of a lattice vector of the Niggli cell (Å), after scaling.

    Returns
    -------
    list of Seed
        Structures without duplicates, sorted by formula and then by substitution distance. Of matching structures, the
        one with the smallest substitution distance is kept.
    """
    return [_seed(item, "seed") for item in _prototypes(tuple(sorted(elements)), max_sites, max_length)]


def _prototypes(
    elements: tuple[str, ...], max_sites: int, max_length: float, say: Callable[[str], None] | None = None
) -> list[Substitution]:
    """Return the substitutions for `prototype_structures`, and report progress to `say`."""
    subsets = [subset for size in range(2, len(elements) + 1) for subset in combinations(elements, size)]
    found: list[Substitution] = []
    for done, subset in enumerate(subsets):
        if say is not None:
            say(f"{'-'.join(subset)}, {done + 1} of {len(subsets)}")
        found += _of_subset(subset, max_sites, max_length)
    return sorted(found, key=_likeness)


def _likeness(item: Substitution) -> tuple[str, float, str]:
    return item.formula, item.distance, item.label


@lru_cache(maxsize=256)
def _of_subset(subset: tuple[str, ...], max_sites: int, max_length: float) -> tuple[Substitution, ...]:
    """Return the prototypes with all of these elements."""
    found = []
    for number, prototype in enumerate(library()):
        if len(prototype.own) == len(subset) and len(prototype.structure) <= max_sites:
            for order in permutations(subset):
                item = substitution(number, order)
                if item is not None and item.longest <= max_length:
                    found.append(item)
    return tuple(without_copies(sorted(found, key=_likeness)))


def element_structures(
    element: str, max_sites: int = MAX_REFERENCE_SITES, max_length: float = MAX_REFERENCE_LENGTH
) -> list[Seed]:
    """Return structures of one element: the prototype of its ground state first, then common structure types.

    The limits are wider than those of compounds, because a missing ground state would lower every formation energy.

    Parameters
    ----------
    element : str
        Element symbol.
    max_sites : int, default MAX_REFERENCE_SITES
        Maximum number of sites in the Niggli primitive cell.
    max_length : float, default MAX_REFERENCE_LENGTH
        Maximum length of a lattice vector of the Niggli primitive cell (Å).

    Returns
    -------
    list of Seed
        Structures of origin ``reference``, without duplicates.
    """
    return [_seed(item, "reference") for item in _elements(element, max_sites, max_length)]


@lru_cache(maxsize=256)
def _elements(element: str, max_sites: int, max_length: float) -> tuple[Substitution, ...]:
    own = [types for types, symbols in _GROUND_STATES.items() if element in symbols.split()]
    own.sort(key=lambda types: types != _FIRST.get(element))
    common: tuple[str, ...] = _P_BLOCK_TYPES if Element(element).block == "p" else _METAL_TYPES
    if element in _MOLECULAR.split():
        common = _MOLECULAR_TYPES
    rank = {types: number for number, types in reversed(list(enumerate([*own, *common])))}
    found = []
    for number, prototype in enumerate(library()):
        if len(prototype.own) != 1 or len(prototype.structure) > max_sites:
            continue
        item = substitution(number, [element])
        if item is not None and item.longest <= max_length:
            found.append((rank.get(prototype.strukturbericht, rank.get(prototype.label, len(rank))), item))
    found.sort(key=lambda ranked: (ranked[0], ranked[1].distance, ranked[1].label))
    return tuple(without_copies([item for _, item in found]))


def is_charge_balanced(formula: str) -> bool:
    """Return whether common oxidation states, one for each element, balance the formula. The most electronegative element is negative."""
    # pymatgen's `oxi_state_guesses` mixes several states of one element: it takes 8 s for FeC12 and gives the same answer
    composition = Composition(formula)
    anion = most_electronegative(element.symbol for element in composition)
    states = [
        [(state, amount) for state in element.common_oxidation_states if element.symbol != anion or state < 0]
        for element, amount in composition.items()
    ]
    return any(sum(state * amount for state, amount in choice) == 0 for choice in product(*states))


def references_per_element(elements: Sequence[str], count: int) -> int:
    """Return the maximum number of structures of each element in a starting set of `count` structures."""
    return min(REFERENCES_PER_ELEMENT, max(1, count // (4 * len(elements))))


def choose_seeds(
    elements: Sequence[str],
    count: int = 64,
    seed: int = 0,
    withhold: Iterable[Structure] = (),
    extra: Iterable[Seed] = (),
    say: Callable[[str], None] | None = None,
) -> list[Seed]:
    """Choose the starting set: the elements, then prototypes that are spread over compositions and structure types.

    Compositions take turns. Charge-balanced compositions come first and give three structures in a turn, others give one. A composition
    first gives the prototype with the smallest substitution distance. Later it prefers prototypes that are not used yet.

    Parameters
    ----------
    elements : sequence of str
        Element symbols of the chemical system.
    count : int, default 64
        Number of structures, including the elements. The set is smaller if the library has fewer structures.
    seed : int, default 0
        Random seed. The same seed gives the same list.
    withhold : iterable of Structure, optional
        Structures to keep out. All structures that match them by `structures.matching.structure_matcher` (with scaled volumes) are
        also kept out.
    extra : iterable of Seed, optional
        The user's own structures, from `read_structures`. All of them are chosen, before the prototypes.
    say : callable, optional
        Function that receives short texts about the progress.

    Returns
    -------
    list of Seed
        Starting structures. References come first.

    Raises
    ------
    ValueError
        `count` is smaller than the number of elements.
    """
    if count < len(elements):
        raise ValueError(f"got a count of {count}: it must be at least {len(elements)}, one structure for each element")
    withheld = list(withhold)
    per_element = references_per_element(elements, count)
    chosen: list[Seed] = []
    for element in elements:
        if say is not None:
            say(element)
        chosen += unlike(element_structures(element), withheld)[:per_element]
    chosen += unlike(extra, withheld)
    given = [*withheld, *(item.structure for item in chosen)]
    prototypes = _unlike(_prototypes(tuple(sorted(elements)), MAX_SITES, MAX_SEED_LENGTH, say), given)
    return [*chosen, *(_seed(item, "seed") for item in _taking_turns(prototypes, count - len(chosen), seed))]


def _taking_turns(prototypes: Iterable[Substitution], count: int, seed: int) -> list[Substitution]:
    """Return up to `count` prototypes: compositions in random order take turns, charge-balanced ones first and with more a turn."""
    generator = random.Random(seed)
    by_formula: dict[str, list[Substitution]] = defaultdict(list)
    for item in prototypes:
        by_formula[item.formula].append(item)
    for group in by_formula.values():
        others = group[1:]
        generator.shuffle(others)
        group[1:] = others
    formulas = sorted(by_formula)
    generator.shuffle(formulas)
    turn = {formula: BALANCED_TURN if is_charge_balanced(formula) else 1 for formula in formulas}
    formulas.sort(key=lambda formula: -turn[formula])
    taken: list[Substitution] = []
    used: Counter[str] = Counter()  # labels, of which new ones come first
    while len(taken) < count and any(by_formula.values()):
        for formula in formulas:
            group = by_formula[formula]
            for _ in range(min(turn[formula], len(group), max(0, count - len(taken)))):
                item = min(group, key=lambda candidate: used[candidate.label]) if used[formula] else group[0]
                group.remove(item)
                used.update((item.label, formula))
                taken.append(item)
    return taken


def unlike(seeds: Iterable[Seed], others: Iterable[Structure]) -> list[Seed]:
    """Return the seeds that match none of the other structures."""
    hidden = StructureIndex(others)  # reduces each structure only once, because a large cell takes long
    return [seed for seed in seeds if seed.structure not in hidden]


def _unlike(items: Iterable[Substitution], others: Sequence[Structure]) -> list[Substitution]:
    """Return the substitutions that match none of the other structures. Only substitutions with the formula of one are compared."""
    hidden, formulas = StructureIndex(others), {_formula(structure) for structure in others}
    return [item for item in items if not (item.formula in formulas and item.structure() in hidden)]


def _formula(structure: Structure) -> str:
    return str(structure.composition.element_composition.reduced_formula)
