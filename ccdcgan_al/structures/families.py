"""Families of structures: what must not be split between training and held-out data. They judge no energy."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from ccdcgan_al.structures.matching import structure_matcher
from ccdcgan_al.structures.symmetry import SYMPREC

COPY = 0.02  # eV/atom by which relaxed copies of one structure may differ; four times what a relaxation scatters


def merged_families(structures: Sequence[Structure], labels: Sequence[str], energies: Sequence[float]) -> list[str]:
    """Return labels under which no two copies of a structure stand apart: families that share a copy become one.

    A relaxed crystal may miss its space group by a hair and so get another label than its copy.

    Parameters
    ----------
    structures : sequence of Structure
        Relaxed structures.
    labels : sequence of str
        A first family of each, by prototype.
    energies : sequence of float
        Of each (eV/atom); only structures within `COPY` are compared.

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


def standard_setting(structure: Structure) -> Structure:
    """Niggli cell with the origin where spglib puts it (symprec 0.1), so that like crystals have like graphs.

    A structure in which no symmetry can be found comes back reduced, as it stands.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            standard = SpacegroupAnalyzer(structure, symprec=SYMPREC).get_primitive_standard_structure()
        except (ValueError, TypeError, AttributeError):
            standard = structure
        if standard.composition.reduced_formula != structure.composition.reduced_formula:
            standard = structure
        return standard.get_reduced_structure("niggli")


def structure_family(structure: Structure) -> str:
    """Label shared by copies of one prototype: anonymous formula and space group of the relaxed structure, elements not told apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            group = str(SpacegroupAnalyzer(structure, symprec=SYMPREC).get_space_group_number())
        except (ValueError, TypeError):
            group = hashlib.sha256(structure.formula.encode()).hexdigest()[:8]
    return f"{structure.composition.anonymized_formula}-{group}"
