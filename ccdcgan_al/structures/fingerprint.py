"""Fingerprints of crystals. Exact copies have equal fingerprints, for any order of sites, origin or cell vectors. They measure no similarity.

A fingerprint contains the composition of the cell, the seven vonorms of its lattice (Conway and Sloane, Proc. R. Soc. A 436, 55 (1992), doi
10.1098/rspa.1992.0004) and moments of the shortest distances between the sites of two elements, all rounded. Use StructureMatcher
for copies that differ by more than rounding, or by a larger cell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.types import FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Structure


WIDTH = 1e-3
"""Å; rounding step of mean distances."""

_OFFSET = 0.3779  # offset of the rounding, so that round numbers of hand-made crystals do not lie at a rounding edge
_FEW_SITES = 4  # with so few sites, a distance does not determine the direction; distances of twice and three times the vector do
_MOST_STEPS = 200  # maximum number of steps of Selling's reduction; each step shortens the vectors
_SHORTER = 1e-9  # Å^2; a smaller decrease is a rounding error
_PAIRS = tuple(combinations(range(4), 2))
_SUBSETS = np.array(
    list(product((0, 1), repeat=4))[1:8], dtype=float
)  # sums of some of the last three vectors, without the first


def fingerprints(structures: Sequence[Structure]) -> list[str]:
    """Return the fingerprint of each structure."""
    return fingerprints_of_arrays(
        [structure.lattice.matrix for structure in structures],
        [structure.frac_coords for structure in structures],
        [[site.species_string for site in structure] for structure in structures],
    )


def fingerprints_of_documents(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Return the fingerprint of each structure, from pymatgen's dicts. The structures themselves are not built."""
    return fingerprints_of_arrays(
        [document["lattice"]["matrix"] for document in documents],
        [[site["abc"] for site in document["sites"]] for document in documents],
        [[site["label"] for site in document["sites"]] for document in documents],
    )


def fingerprints_of_arrays(
    lattices: Sequence[Any], coordinates: Sequence[Any], symbols: Sequence[Sequence[str]]
) -> list[str]:
    """Return the fingerprints of crystals given as arrays.

    Parameters
    ----------
    lattices : sequence of object
        Cell vectors as rows (Å), shape (3, 3) each.
    coordinates : sequence of object
        Fractional coordinates, shape (n_sites, 3) each.
    symbols : sequence of sequence of str
        Element symbols of the sites, n_sites each.

    Returns
    -------
    list of str
        Fingerprints of 24 hexadecimal digits.
    """
    table = {name: number for number, name in enumerate(sorted({name for names in symbols for name in names}))}
    by_size: dict[int, list[int]] = defaultdict(list)
    for number, names in enumerate(symbols):
        by_size[len(names)].append(number)
    found = [""] * len(symbols)
    for numbers in by_size.values():
        cells = np.array([lattices[i] for i in numbers], dtype=float)
        sites = np.array([coordinates[i] for i in numbers], dtype=float)
        species = np.array([[table[name] for name in symbols[i]] for i in numbers])
        for number, values in zip(numbers, _invariants(cells, sites, species, len(table)), strict=True):
            label = " ".join(sorted(symbols[number])).encode()
            found[number] = blake2b(label + values.tobytes(), digest_size=12).hexdigest()
    return found


def superbases(lattices: FloatArray) -> FloatArray:
    """Return obtuse superbases by Selling's reduction: four vectors of sum zero, no two at an acute angle, (n, 4, 3) from (n, 3, 3)."""
    base = np.concatenate([lattices, -lattices.sum(axis=1, keepdims=True)], axis=1)
    first, second = np.array(_PAIRS).T
    others = np.array([[k for k in range(4) if k not in pair] for pair in _PAIRS])
    for _ in range(_MOST_STEPS):
        products = np.einsum("npx,npx->np", base[:, first], base[:, second])
        worst = products.argmax(axis=1)
        acute = np.flatnonzero(products[np.arange(len(base)), worst] > 1e-9 * (base**2).sum(axis=2).max(axis=1))
        if not len(acute):
            break
        pair = worst[acute]
        moved = base[acute, first[pair]]
        base[acute, first[pair]] = -moved
        base[acute, others[pair, 0]] += moved
        base[acute, others[pair, 1]] += moved
    return base


def shortest(superbase: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return the length of each vector's shortest periodic image.

    Parameters
    ----------
    superbase : ndarray of float
        Obtuse superbases (Å), shape (n, 4, 3).
    vectors : ndarray of float
        Vectors in coordinates of the first three vectors of their superbase, shape (n, m, 3).

    Returns
    -------
    array
        Lengths (Å), shape (n, m). The Voronoi-relevant vectors of an obtuse superbase are the sums of some of its vectors. A vector
        is shortest if none of these 14 makes it shorter (McKilliam, Grant and Clarkson, IEEE Trans. Inf. Theory 60, 6487 (2014)).
    """
    points = (vectors - np.rint(vectors)) @ superbase[:, :3]
    relevant = _SUBSETS @ superbase  # (n, 7, 3); the other seven are their negatives
    squares = (relevant**2).sum(axis=2)
    gains = squares[:, None, :] - 2 * np.abs(points @ relevant.transpose(0, 2, 1))
    which, site = np.nonzero(gains.min(axis=2) < -_SHORTER)
    while len(which):
        own, vectors_there = points[which, site], relevant[which]
        products = np.einsum("kx,kjx->kj", own, vectors_there)
        change = squares[which] - 2 * np.abs(products)
        best, row = change.argmin(axis=1), np.arange(len(which))
        shorter = change[row, best] < -_SHORTER
        moved = own - np.sign(products[row, best])[:, None] * vectors_there[row, best]
        points[which[shorter], site[shorter]] = moved[shorter]
        which, site = which[shorter], site[shorter]
    return np.sqrt((points**2).sum(axis=2))


def vonorms(superbase: FloatArray) -> FloatArray:
    """Return the square roots of the seven vonorms of lattices, sorted, (n, 7) (Å). They are the same for every basis."""
    sums = superbase[:, 1:] + superbase[:, :1]
    return np.sort(np.linalg.norm(np.concatenate([superbase, sums], axis=1), axis=2), axis=1)


def _invariants(
    cells: FloatArray, sites: FloatArray, species: NDArray[np.int_], n_elements: int
) -> list[NDArray[np.int64]]:
    """Return the rounded invariants of crystals with the same number of sites. Elements are numbered in alphabetical order."""
    base = superbases(cells)
    # coordinates in the reduced cell: the same Cartesian vectors
    reduced = sites @ (cells @ np.linalg.inv(base[:, :3]))
    lattice = _rounded(vonorms(base))
    n_sites = sites.shape[1]
    if n_sites == 1:
        return list(lattice)
    first, second = np.triu_indices(n_sites, 1)
    difference = reduced[:, second] - reduced[:, first]
    low, high = np.minimum(species[:, first], species[:, second]), np.maximum(species[:, first], species[:, second])
    kinds = low * n_elements + high + n_elements**2 * np.arange(len(cells))[:, None]  # by pair and by crystal
    pairs, kind_of, size = np.unique(kinds.ravel(), return_inverse=True, return_counts=True)
    columns = []
    for multiple in (1, 2, 3) if n_sites <= _FEW_SITES else (1,):
        distances = shortest(base, multiple * difference).ravel()
        columns += [(np.bincount(kind_of.ravel(), distances**power) / size) ** (1 / power) for power in (1, 2, 4)]
    moments = np.split(
        _rounded(np.stack(columns, axis=1)), np.searchsorted(pairs // n_elements**2, range(1, len(cells)))
    )
    return [np.concatenate([own, its.ravel()]) for own, its in zip(lattice, moments, strict=True)]


def _rounded(values: FloatArray) -> NDArray[np.int64]:
    return np.floor(values / WIDTH + _OFFSET).astype(np.int64)
