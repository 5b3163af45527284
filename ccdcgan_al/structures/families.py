"""Families of structures, which must not be split between training and held-out data. This module judges no energy."""

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

COPY = 0.02  # eV/atom, largest difference of relaxed copies of one structure; four times the scatter of a relaxation


def merged_families(structures: Sequence[Structure], labels: Sequence[str], energies: Sequence[float]) -> list[str]:
    """Return labels that are the same for all copies of a structure. Families that share a copy become one family.

    A relaxed crystal may narrowly miss its space group, so its label can differ from the label of its copy.

    Parameters
    ----------
    structures : sequence of Structure
        Relaxed structures.
    labels : sequence of str
        First label of each structure's family, by prototype.
    energies : sequence of float
        Energies of the structures (eV/atom). Only structures within `COPY` are compared.

    Returns
    -------
    list of str
        One label for each structure: the alphabetically first of the merged labels.
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
    """Return the Niggli cell with spglib's origin (symprec 0.1), so that like crystals have like graphs.

    If no symmetry can be found, only the cell is reduced.
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
    """Return a label shared by copies of one prototype: anonymous formula and space group of the relaxed structure, without the elements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            group = str(SpacegroupAnalyzer(structure, symprec=SYMPREC).get_space_group_number())
        except (ValueError, TypeError):
            group = hashlib.sha256(structure.formula.encode()).hexdigest()[:8]
    return f"{structure.composition.anonymized_formula}-{group}"
