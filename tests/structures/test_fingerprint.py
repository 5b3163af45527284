"""Fingerprints: equal for every way to write one crystal, different for different ones."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from ccdcgan_al.benchmarks.relaxed_set import read_set
from ccdcgan_al.structures.fingerprint import fingerprints, fingerprints_of_documents, shortest, superbases
from ccdcgan_al.structures.matching import structure_matcher


def random_crystal(generator: np.random.Generator, n_sites: int) -> Structure:
    lattice = Lattice(np.diag(generator.uniform(3, 9, 3)) + generator.uniform(-2, 2, (3, 3)))
    symbols = ["Bi", *generator.choice(["Bi", "Se"], n_sites - 1)]
    return Structure(lattice, symbols, generator.random((n_sites, 3)))


def written_otherwise(structure: Structure, generator: np.random.Generator) -> Structure:
    """Another basis of the same lattice, another origin, another order, rotated."""
    change = np.eye(3)
    for _ in range(4):
        i, k = generator.choice(3, 2, replace=False)
        change[i] += generator.integers(-2, 3) * change[k]
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    matrix = change @ structure.lattice.matrix @ turn
    order = generator.permutation(len(structure))
    coordinates = structure.frac_coords @ np.linalg.inv(change) + generator.random(3)
    return Structure(Lattice(matrix), [structure[k].specie for k in order], coordinates[order] + 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20))
def test_one_crystal_has_one_fingerprint(seed: int, n_sites: int) -> None:
    generator = np.random.default_rng(seed)
    crystal = random_crystal(generator, n_sites)
    copies = [written_otherwise(crystal, generator) for _ in range(3)]
    found = fingerprints([crystal, *copies])
    assert len(set(found)) == 1
    assert fingerprints_of_documents([item.as_dict() for item in (crystal, *copies)]) == found
    moved = crystal.copy()
    moved.scale_lattice(1.02 * crystal.volume)
    assert fingerprints([moved]) != found[:1]


def test_relaxed_structures_share_a_fingerprint_only_where_they_match() -> None:
    structures = [item.relaxed for item in read_set()[0]]
    by_fingerprint: dict[str, list[Structure]] = {}
    for structure, name in zip(structures, fingerprints(structures), strict=True):
        by_fingerprint.setdefault(name, []).append(structure)
    assert len(by_fingerprint) > 0.9 * len(structures)
    for first, *others in by_fingerprint.values():
        assert all(structure_matcher().fit(first, other) for other in others)


def test_the_direction_of_a_vector_matters() -> None:
    """Two atoms at one distance, along different edges of one cell."""
    cell = Lattice.orthorhombic(4, 5, 6)
    along = [Structure(cell, ["Bi", "Se"], [[0, 0, 0], list(x)]) for x in np.diag([1 / cell.a, 1 / cell.b, 1 / cell.c])]
    assert len(set(fingerprints(along))) == 3


def test_shortest_images_are_those_of_a_wide_search() -> None:
    generator = np.random.default_rng(1)
    cells = np.array([random_crystal(generator, 1).lattice.matrix for _ in range(50)])
    base = superbases(cells)
    vectors = generator.random((50, 20, 3))
    shifts = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3)
    wide = np.linalg.norm((vectors[:, :, None] + shifts) @ base[:, None, :3], axis=3).min(axis=2)
    np.testing.assert_allclose(shortest(base, vectors), wide, atol=1e-9)
    products = base @ base.transpose(0, 2, 1)
    assert (products[:, ~np.eye(4, dtype=bool)] < 1e-6).all()


def test_ten_thousand_take_a_second_or_two() -> None:
    generator = np.random.default_rng(2)
    structures = [random_crystal(generator, 8).as_dict() for _ in range(500)] * 20
    started = time.process_time()
    fingerprints_of_documents(structures)
    assert time.process_time() - started < 5
