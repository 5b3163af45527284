"""Which structures match, by pymatgen's StructureMatcher, among very many: with its own answers, and few of its comparisons. It ranks nothing.

A structure is reduced once. Two are compared only where their reduced cells have the same composition and where their lattices
can be mapped onto each other within the matcher's tolerances, which is a condition that the matcher has, too.
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


_SLACK = 1e-6  # by which the condition on lattices is wider than the matcher's, for what rounding does


@lru_cache(maxsize=1)
def structure_matcher() -> StructureMatcher:
    """Return the matcher that decides what is the same phase: primitive cells, volumes scaled, module's tolerances."""
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(ltol=LTOL, stol=STOL, angle_tol=ANGLE_TOL)


class ReducedCell:
    """A structure as the matcher compares it, with its lattice at one volume.

    Parameters
    ----------
    structure : Structure
        Any ordered structure; it is reduced as the matcher does.

    Attributes
    ----------
    structure : Structure
        Primitive, Niggli-reduced.
    key : tuple of (str, int)
        Reduced formula and number of sites; structures of different ones never match.
    lengths, angles : ndarray of float, shape (3,)
        Of the lattice at volume 1 (angles in degrees).
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
        """Lengths of the lattice's vectors up to `reach` at least, (n,), and the angles between them, (n, n) (degrees)."""
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
        """Whether some cell of this lattice has the lengths and angles of the other's reduced cell, within the tolerances."""
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
        """Return what the matcher says of the two, this one first."""
        if self.key != other.key or not self.may_match(other, matcher):
            return False
        return bool(matcher.fit(self.structure, other.structure, skip_structure_reduction=True))


class StructureIndex:
    """Structures, to ask whether a new one was seen before.

    Parameters
    ----------
    structures : iterable of Structure, optional
        What was seen to begin with.
    matcher : StructureMatcher, optional
        Decides what is the same, of primitive cells with scaled volumes; default `structure_matcher`.
    """

    def __init__(self, structures: Iterable[Structure] = (), matcher: StructureMatcher | None = None) -> None:
        self._matcher = matcher or structure_matcher()
        self._unreduced: dict[str, list[Structure]] = defaultdict(list)  # by formula, reduced when first asked for
        self._cells: dict[tuple[str, int], list[ReducedCell]] = defaultdict(list)
        self._lengths: dict[tuple[str, int], FloatArray] = {}
        for structure in structures:
            self.add(structure)

    def add(self, structure: Structure) -> None:
        """Remember a structure."""
        self._unreduced[structure.composition.reduced_formula].append(structure)

    def __contains__(self, structure: Structure) -> bool:
        """Whether a structure that matches this one was seen."""
        formula = structure.composition.reduced_formula
        self.reduce(formula)
        if not any(key[0] == formula for key in self._cells):
            return False
        cell = ReducedCell(structure)
        return any(cell.fits(self._cells[cell.key][number], self._matcher) for number in self._near(cell))

    def reduce(self, formula: str) -> None:
        """Reduce what was seen of a reduced formula, which `in` does when it is first asked for it."""
        for known in self._unreduced.pop(formula, []):
            self._remember(ReducedCell(known))

    def _remember(self, cell: ReducedCell) -> None:
        self._cells[cell.key].append(cell)
        self._lengths.pop(cell.key, None)

    def _near(self, cell: ReducedCell) -> list[int]:
        """Those of the same composition whose lattices are not too short for any mapping, most alike first."""
        known = self._cells.get(cell.key)
        if not known:
            return []
        if cell.key not in self._lengths:
            self._lengths[cell.key] = np.sort([item.lengths for item in known], axis=1)
        own, others = np.sort(cell.lengths), self._lengths[cell.key]
        possible = np.flatnonzero((own <= (1 + self._matcher.ltol + _SLACK) * others).all(axis=1))
        return [int(k) for k in possible[np.abs(others[possible] - own).sum(axis=1).argsort(kind="stable")]]


def group_structures(structures: Sequence[Structure]) -> list[list[int]]:
    """Return the positions of structures that match, a list a group, as StructureMatcher's own `group_structures` groups them.

    Each group is what matches the first of those that no earlier group has taken.
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
