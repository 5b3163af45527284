"""Matching structures, by pymatgen's StructureMatcher, in large sets: the same answers with far fewer comparisons. This module ranks nothing.

Each structure is reduced only once. Two structures are compared only if their reduced cells have the same composition and if their
lattices can be mapped onto each other within the matcher's tolerances. The matcher has this condition, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from ccdcgan_al.types import FloatArray

if TYPE_CHECKING:
    from pymatgen.core.structure_matcher import StructureMatcher

LTOL, STOL, ANGLE_TOL = 0.2, 0.3, 5.0
"""StructureMatcher tolerances; MatterGen, Nature 639, 624 (2025); angle in degrees."""


_SLACK = 1e-6  # rounding allowance: the lattice condition is wider than the matcher's by this much


@lru_cache(maxsize=1)
def structure_matcher() -> StructureMatcher:
    """Return the matcher that decides whether two structures are the same phase: primitive cells, scaled volumes, the module's tolerances."""
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(ltol=LTOL, stol=STOL, angle_tol=ANGLE_TOL)


class ReducedCell:
    """A structure in the form that the matcher compares, and its lattice at volume 1.

    Parameters
    ----------
    structure : Structure
        Any ordered structure. It is reduced in the same way as by the matcher.

    Attributes
    ----------
    structure : Structure
        Primitive, Niggli-reduced structure.
    key : tuple of (str, int)
        Reduced formula and number of sites. Structures with different keys never match.
    lengths, angles : ndarray of float, shape (3,)
        Lengths and angles (degrees) of the lattice at volume 1.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure_matcher()._get_reduced_structure(structure)  # noqa: SLF001 - as its group_structures does
        self.key = self.structure.composition.reduced_formula, len(self.structure)
        lattice = self.structure.lattice
        scale = lattice.volume ** (-1 / 3)
        self.lengths, self.angles = scale * np.array(lattice.abc), np.array(lattice.angles)
        self._matrix = scale * lattice.matrix
        self._reach = 0.0

    def _vectors(self, reach: float) -> tuple[FloatArray, FloatArray]:
        """Return the lengths of the lattice's vectors up to at least `reach`, (n,), and the angles between them, (n, n) (degrees)."""
        if reach > self._reach:
            span = np.floor(reach * np.linalg.norm(np.linalg.inv(self._matrix), axis=0) + _SLACK).astype(int)
            grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in span], indexing="ij"), axis=-1).reshape(-1, 3)
            vectors = grid @ self._matrix
            lengths = np.linalg.norm(vectors, axis=1)
            kept = (lengths > _SLACK) & (lengths <= reach)
            units = vectors[kept] / lengths[kept][:, None]
            self._lengths = lengths[kept]
            self._between = np.degrees(np.arccos(np.clip(units @ units.T, -1, 1)))
            self._reach = reach
        return self._lengths, self._between

    def may_match(self, other: ReducedCell, matcher: StructureMatcher) -> bool:
        """Return whether some cell of this lattice has the lengths and angles of the other's reduced cell, within the tolerances."""
        ratio, tolerance = 1 + matcher.ltol + _SLACK, matcher.angle_tol + _SLACK
        lengths, between = self._vectors(ratio * float(other.lengths.max()))
        near = [(lengths < ratio * length) & (lengths > length / ratio) for length in other.lengths]
        a, b, c = (np.flatnonzero(mask) for mask in near)
        alpha, beta, gamma = other.angles
        ab = np.abs(between[np.ix_(a, b)] - gamma) <= tolerance
        if not ab.any():
            return False
        ac = np.abs(between[np.ix_(a, c)] - beta) <= tolerance
        bc = np.abs(between[np.ix_(b, c)] - alpha) <= tolerance
        return bool((ab & (ac.astype(np.float32) @ bc.T.astype(np.float32) > 0)).any())

    def fits(self, other: ReducedCell, matcher: StructureMatcher) -> bool:
        """Return the matcher's answer for the two structures, with this one first."""
        if self.key != other.key or not self.may_match(other, matcher):
            return False
        return bool(matcher.fit(self.structure, other.structure, skip_structure_reduction=True))


class StructureIndex:
    """An index of structures that tells whether a new structure was seen before.

    Parameters
    ----------
    structures : iterable of Structure, optional
        Structures that are in the index from the start.
    matcher : StructureMatcher, optional
        Matcher for primitive cells with scaled volumes. The default is `structure_matcher`.
    """

    def __init__(self, structures: Iterable[Structure] = (), matcher: StructureMatcher | None = None) -> None:
        self._matcher = matcher or structure_matcher()
        self._unreduced: dict[str, list[Structure]] = defaultdict(list)  # by formula, reduced at the first query
        self._cells: dict[tuple[str, int], list[ReducedCell]] = defaultdict(list)
        self._lengths: dict[tuple[str, int], FloatArray] = {}
        for structure in structures:
            self.add(structure)

    def add(self, structure: Structure) -> None:
        """Add a structure to the index."""
        self._unreduced[structure.composition.reduced_formula].append(structure)

    def __contains__(self, structure: Structure) -> bool:
        """Return whether a structure in the index matches this one."""
        formula = structure.composition.reduced_formula
        self.reduce(formula)
        if not any(key[0] == formula for key in self._cells):
            return False
        cell = ReducedCell(structure)
        return any(cell.fits(self._cells[cell.key][number], self._matcher) for number in self._near(cell))

    def reduce(self, formula: str) -> None:
        """Reduce the structures of a reduced formula. `in` does this at the first query for the formula."""
        for known in self._unreduced.pop(formula, []):
            self._remember(ReducedCell(known))

    def _remember(self, cell: ReducedCell) -> None:
        self._cells[cell.key].append(cell)
        self._lengths.pop(cell.key, None)

    def _near(self, cell: ReducedCell) -> list[int]:
        """Return the cells of the same composition whose lattices are long enough for a mapping, most similar first."""
        known = self._cells.get(cell.key)
        if not known:
            return []
        if cell.key not in self._lengths:
            self._lengths[cell.key] = np.sort([item.lengths for item in known], axis=1)
        own, others = np.sort(cell.lengths), self._lengths[cell.key]
        possible = np.flatnonzero((own <= (1 + self._matcher.ltol + _SLACK) * others).all(axis=1))
        return [int(k) for k in possible[np.abs(others[possible] - own).sum(axis=1).argsort(kind="stable")]]


def group_structures(structures: Sequence[Structure]) -> list[list[int]]:
    """Return the positions of matching structures, one list for each group, as StructureMatcher's `group_structures` groups them.

    Each group holds the structures that match the first structure which is in no earlier group.
    """
    by_key: dict[tuple[str, int], list[tuple[int, ReducedCell]]] = defaultdict(list)
    for number, structure in enumerate(structures):
        cell = ReducedCell(structure)
        by_key[cell.key].append((number, cell))
    groups = []
    for cells in by_key.values():
        left = cells
        while left:
            (number, first), *others = left
            same = {other for other, cell in others if first.fits(cell, structure_matcher())}
            groups.append([number, *sorted(same)])
            left = [item for item in others if item[0] not in same]
    return sorted(groups)
