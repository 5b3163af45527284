"""Families of structures: what must not be split between training and held-out data. They judge no energy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

from pymatgen.core import Structure

from ccdcgan_al.structures.matching import structure_matcher

COPY = 0.02  # eV/atom by which relaxed copies of one structure may differ; four times what a relaxation scatters


def merged_families(structures: Sequence[Structure], labels: Sequence[str], energies: Sequence[float]) -> list[str]:
    """Return labels under which no two copies of a structure stand apart: families that share a copy become one.

    A relaxed crystal may miss its space group by a hair and so get another label than its copy.

    Parameters
    ----------
    structures : relaxed structures
    labels : a first family of each, by prototype
    energies : of each (eV/atom); only structures within `COPY` are compared

    Returns
    -------
    list of str
        One label a structure, the alphabetically first of those merged.
    """
    parent = {label: label for label in labels}

    def root(label: str) -> str:
        while parent[label] != label:
            label = parent[label]
        return label

    matcher = structure_matcher()
    by_formula: dict[str, list[int]] = defaultdict(list)
    for number, structure in enumerate(structures):
        by_formula[structure.composition.reduced_formula].append(number)
    for numbers in by_formula.values():
        for one, other in combinations(numbers, 2):
            first, second = sorted((root(labels[one]), root(labels[other])))
            near = abs(energies[one] - energies[other]) <= COPY
            if first != second and near and matcher.fit(structures[one], structures[other]):
                parent[second] = first
    return [root(label) for label in labels]
