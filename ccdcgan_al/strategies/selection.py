"""The selection of structures to relax, by validity, duplicates, rank and spread over compositions. It generates and relaxes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from ccdcgan_al.structures.covalent import covalent_ratio
from ccdcgan_al.structures.matching import StructureIndex
from ccdcgan_al.types import FloatArray

if TYPE_CHECKING:
    from pymatgen.core.structure_matcher import StructureMatcher


MIN_DISTANCE = 0.5  # Å, Long et al. 2021
MIN_VOLUME = 0.1  # Å^3, the published rule (CDVAE, arXiv 2110.06197)
MIN_COVALENT_RATIO = 0.7  # for `strict`: shortest distance divided by the sum of covalent radii (`structures.covalent`)


def is_valid(structure: Structure) -> bool:
    """Return whether all numbers are finite, all distances (with periodic images) >= 0.5 Å, and the volume >= 0.1 Å^3 (published rule)."""
    if not np.isfinite(structure.cart_coords).all():
        return False
    if structure.volume < MIN_VOLUME or min(structure.lattice.get_lll_reduced_lattice().abc) < MIN_DISTANCE:
        return False
    distances = structure.distance_matrix + np.diag([np.inf] * len(structure))
    return bool(distances.min(initial=np.inf) >= MIN_DISTANCE)


def loose_matcher() -> StructureMatcher:
    """Return the matcher that finds structures likely to relax into each other: ltol 0.25, stol 0.4, angle 7.

    Of 207 novel generated Bi-Se structures, 61 resembled a known one. 74 % of these relaxed into a known structure, and 18 % of the others.
    """
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(ltol=0.25, stol=0.4, angle_tol=7)


@dataclass(frozen=True)
class Selection:
    """The selected structures, and the number of structures left after each step.

    Attributes
    ----------
    chosen : list of int
        Indices of the selected structures, best first.
    energies, uncertainties : list of float
        Predictions for the selected structures (eV/atom).
    valid, strict, unique, novel : int
        Number of structures that passed the published rule, also passed the covalent rule, were the first of their kind,
        and matched nothing that was ever submitted.
    others : list of int
        Indices of the novel structures that were not selected, best first.
    other_energies, other_uncertainties : list of float
        Predictions for these structures (eV/atom).
    """

    chosen: list[int]
    energies: list[float]
    uncertainties: list[float]
    valid: int
    strict: int
    unique: int
    novel: int
    others: list[int]
    other_energies: list[float]
    other_uncertainties: list[float]


def select(
    structures: Sequence[Structure],
    seen: Iterable[Structure],
    count: int,
    predict: Callable[[list[Structure]], tuple[FloatArray, FloatArray]] | None,
    hull_energy: Callable[[Structure], float],
    *,
    kappa: float = 1.0,
    depth: float = 0.2,
    min_elements: int = 2,
    restacked: Collection[int] = (),
) -> Selection:
    """Select structures to relax.

    Parameters
    ----------
    structures : sequence of Structure
        Decoded structures, in the order of generation.
    seen : iterable of Structure
        Everything ever submitted, including references and training structures.
    count : int
        Maximum number of structures to select.
    predict : callable or None
        Function from structures to formation energies and standard deviations (eV/atom). None keeps the order of generation.
    hull_energy : callable
        Structure -> formation energy of the hull at its composition (eV/atom).
    kappa : float, default 1.0
        Number of standard deviations added to the predicted energy above hull before ranking (upper confidence bound).
    depth : float, default 0.2
        Fraction of the hull's depth at a structure's composition that is subtracted from its energy above hull before
        ranking. Near the elements the hull is shallow. Without this, all structures there would rank high, even poor ones.
    min_elements : int, default 2
        Minimum number of elements of a selected structure.
    restacked : collection of int, optional
        Indices of structures that are known layers in another stacking. Most of these are of little use.

    Returns
    -------
    Selection
        Selected structures. As long as other structures are waiting, no reduced formula takes more than an eighth of
        `count` (at least two), and neither do the restacked structures. With predictions, a structure that loosely resembles a
        seen or selected one comes after those that do not, because it mostly relaxes into the structure that it resembles.
    """
    seen = list(seen)
    valid = [i for i, structure in enumerate(structures) if is_valid(structure)]
    strict = [i for i in valid if covalent_ratio(structures[i]) >= MIN_COVALENT_RATIO]
    unique, novel = _new_ones(structures, strict, seen, min_elements)
    energies = spreads = np.full(len(novel), np.nan)
    order = list(range(len(novel)))
    is_fresh: Callable[[int], bool] | None = None
    if predict is not None and novel:
        found = [structures[i] for i in novel]
        energies, spreads = predict(found)
        hull = np.array([hull_energy(structure) for structure in found])
        rank = energies - hull + kappa * spreads + depth * hull
        order = [int(k) for k in np.argsort(rank, kind="stable")]
        is_fresh = _resembles_nothing(found, seen)
    groups = [(structures[i].composition.reduced_formula, *(("restacked",) if i in restacked else ())) for i in novel]
    ranked = _spread(order, groups, count, is_fresh or (lambda _: True))
    taken = set(ranked)
    others = [k for k in order if k not in taken]
    return Selection(
        chosen=[novel[k] for k in ranked],
        energies=[float(energies[k]) for k in ranked],
        uncertainties=[float(spreads[k]) for k in ranked],
        valid=len(valid),
        strict=len(strict),
        unique=len(unique),
        novel=len(novel),
        others=[novel[k] for k in others],
        other_energies=[float(energies[k]) for k in others],
        other_uncertainties=[float(spreads[k]) for k in others],
    )


def _new_ones(
    structures: Sequence[Structure], numbers: Iterable[int], seen: Iterable[Structure], min_elements: int
) -> tuple[list[int], list[int]]:
    """Return the first structure of each kind, and those of them that match nothing seen."""
    known, met = StructureIndex(seen), StructureIndex()
    unique: list[int] = []
    novel: list[int] = []
    for i in numbers:
        structure = structures[i]
        if len(structure.composition) < min_elements or structure in met:
            continue
        met.add(structure)
        unique.append(i)
        if structure not in known:
            novel.append(i)
    return unique, novel


def _resembles_nothing(structures: Sequence[Structure], seen: Iterable[Structure]) -> Callable[[int], bool]:
    """Return a function that tells whether a structure loosely resembles nothing seen and nothing that the function accepted before."""
    resembled = StructureIndex(seen, loose_matcher())

    def is_fresh(k: int) -> bool:
        if structures[k] in resembled:
            return False
        resembled.add(structures[k])
        return True

    return is_fresh


def _spread(
    order: Sequence[int], groups: Sequence[tuple[str, ...]], count: int, is_fresh: Callable[[int], bool]
) -> list[int]:
    """Return the first `count` of `order`: fresh ones, then others, with no group above its quota. Then fill up from those above it."""
    quota = max(2, count // 8)
    taken: Counter[str] = Counter()
    first: list[int] = []
    familiar: list[int] = []
    for k in order:
        if len(first) == count:
            return first
        if any(taken[group] >= quota for group in groups[k]):
            continue
        if is_fresh(k):
            taken.update(groups[k])
            first.append(k)
        else:
            familiar.append(k)
    for k in familiar:
        if all(taken[group] < quota for group in groups[k]):
            taken.update(groups[k])
            first.append(k)
    rest = set(order) - set(first)
    return [*first, *(k for k in order if k in rest)][:count]
