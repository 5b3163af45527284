"""Which generated structures are worth a relaxation: validity, duplicates, rank, spread over compositions. It generates and relaxes nothing."""

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
MIN_COVALENT_RATIO = 0.7  # `strict`: shortest distance over the sum of covalent radii (`structures.covalent`)


def is_valid(structure: Structure) -> bool:
    """Whether all numbers are finite, every distance is >= 0.5 Å, periodic images counted, and the volume >= 0.1 Å^3 (published rule)."""
    if not np.isfinite(structure.cart_coords).all():
        return False
    if structure.volume < MIN_VOLUME or min(structure.lattice.get_lll_reduced_lattice().abc) < MIN_DISTANCE:
        return False
    distances = structure.distance_matrix + np.diag([np.inf] * len(structure))
    return bool(distances.min(initial=np.inf) >= MIN_DISTANCE)


def loose_matcher() -> StructureMatcher:
    """Return the matcher that decides what resembles a structure enough to relax into it: ltol 0.25, stol 0.4, angle 7.

    Of 207 generated Bi-Se structures that were novel, 61 resembled a known one; 74 % of these relaxed into a known one, and 18 % of the others.
    """
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(ltol=0.25, stol=0.4, angle_tol=7)


@dataclass(frozen=True)
class Selection:
    """What was chosen, and how many were left after each step.

    Attributes
    ----------
    chosen : list of int
        Indices into the structures given, best first.
    energies, uncertainties : list of float
        Predictions for the chosen (eV/atom).
    valid, strict, unique, novel : int
        How many of those given passed the published rule, also the covalent one, were the first of their kind, and
        matched nothing ever submitted.
    others : list of int
        Indices of the novel that were not chosen, best first.
    other_energies, other_uncertainties : list of float
        Predictions for these.
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
    """Choose structures to relax.

    Parameters
    ----------
    structures : sequence of Structure
        Decoded structures, in the order generated.
    seen : iterable of Structure
        Everything ever submitted, references and training structures among them.
    count : int
        How many to choose at most.
    predict : callable or None
        Structures -> formation energies and standard deviations (eV/atom); None keeps the order generated.
    hull_energy : callable
        Structure -> formation energy of the hull at its composition (eV/atom).
    kappa : float, default 1.0
        Standard deviations added to the predicted energy above hull before ranking (upper confidence bound).
    depth : float, default 0.2
        Share of the hull's depth at its composition that is taken off a structure's energy above hull before ranking.
        Beside the elements the hull is shallow and all lies near it, also what is worth little.
    min_elements : int, default 2
        Structures of fewer elements are not chosen.
    restacked : collection of int, optional
        Indices of those that are known layers in another stacking, which is mostly worth little.

    Returns
    -------
    Selection
        `Selection`; no reduced formula, and not the restacked, take more than an eighth of `count` (at least two)
        while others are waiting. Where there are predictions, what loosely resembles something seen or chosen before
        comes after what does not: such a structure mostly relaxes into the one it resembles.
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
    """Return the first of each kind, and those of them that match nothing seen."""
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
    """Return a function that tells whether a structure loosely resembles nothing seen, nor one of which it said so before."""
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
    """First `count` of `order`: those that are fresh, then the others, no group above its quota; then what is above it."""
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
