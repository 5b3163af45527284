"""Pair correlations of a graph: the same as from atoms, the same in every setting, finite for any graph."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.crystal_codec import CrystalCodec
from ccdcgan_al.codec.graph import graph_side
from ccdcgan_al.models.pair_correlations import (
    RADII,
    WIDTH,
    FloatArray,
    elements_in_use,
    n_features,
    pair_correlations,
)
from tests.equivalent_graphs import equivalent_graphs

ELEMENTS = ("Bi", "Se", "Li", "O", "Co", "Mn", "Ni", "Ta")
LAYERS = Structure.from_spacegroup(
    "P-3m1", Lattice.hexagonal(4.14, 6.5), ["Bi", "Se"], [[1 / 3, 2 / 3, 0.2], [0, 0, 0]]
)


def of(structure: Structure, elements: tuple[str, ...] = ("Bi", "Se")) -> FloatArray:
    graph = CrystalCodec.load("fast", elements).encode([structure])
    return pair_correlations(graph, len(elements)).numpy()[0]


def from_atoms(structure: Structure, first: str, second: str) -> FloatArray:
    """Same curve from the atoms: each pair's distance as a Gaussian ball of width `WIDTH`, an atom and itself too."""
    curve = np.zeros_like(RADII)
    for site in structure:
        if site.specie.symbol != first:
            continue
        for other in structure.get_sites_in_sphere(site.coords, 12):
            if other.specie.symbol == second:
                d = max(other.nn_distance, 1e-6)
                ball = np.exp(-((RADII - d) ** 2) / 2 / WIDTH**2) - np.exp(-((RADII + d) ** 2) / 2 / WIDTH**2)
                curve += ball / (2 * RADII * d / WIDTH**2) / (2 * np.pi * WIDTH**2) ** 1.5
    return curve * 4 * np.pi * RADII / len(structure)


def test_like_those_of_the_atoms() -> None:
    small = Structure(
        Lattice.orthorhombic(2.3, 2.5, 2.6), ["Bi", "Se", "Se"], [[0, 0, 0], [0.5, 0.5, 0.4], [0.5, 0, 0.7]]
    )
    row = of(small)
    assert row.shape == (n_features(2),)
    np.testing.assert_allclose(row[:2], [1 / 3, 2 / 3], atol=1e-5)
    assert row[2] == pytest.approx(np.log(small.volume / 3), abs=1e-4)
    for channel, (first, second) in enumerate([("Bi", "Bi"), ("Bi", "Se"), ("Se", "Se")]):
        curve = row[3 + channel * len(RADII) :][: len(RADII)]
        np.testing.assert_allclose(curve, from_atoms(small, first, second), atol=0.02 * np.abs(curve).max())


def test_every_setting_gives_the_same() -> None:
    codec = CrystalCodec.load("fast", ("Bi", "Se"))
    graphs = equivalent_graphs(codec, LAYERS, 6, np.random.default_rng(0))
    assert np.abs(graphs[0] - graphs[1]).max() > 0.1
    rows = pair_correlations(graphs, 2).numpy()
    np.testing.assert_allclose(rows, np.tile(rows[:1], (6, 1)), atol=1e-4)
    moved = LAYERS.copy()
    moved.translate_sites(range(len(moved)), [0.13, 0.29, 0.41])
    np.testing.assert_allclose(of(moved), rows[0], atol=1e-4)


def test_another_structure_gives_another() -> None:
    shorter = LAYERS.copy()
    shorter.translate_sites([0], [0, 0, 0.05])
    assert np.abs(of(shorter) - of(LAYERS)).max() > 0.01


@pytest.mark.parametrize("n_elements", range(1, 9))
def test_finite_for_any_graph(n_elements: int) -> None:
    import tensorflow as tf

    side = graph_side(n_elements)
    rng = np.random.default_rng(n_elements)
    shape = (20, side, side, 1)
    graphs = [
        rng.uniform(-1, 1, shape),
        np.sign(rng.normal(size=shape)),
        np.zeros(shape),
        -np.ones(shape),
        3 * np.ones(shape),
    ]
    tensor = tf.constant(np.concatenate(graphs), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        rows = pair_correlations(tensor, n_elements)
    assert rows.shape == (100, n_features(n_elements))
    assert np.isfinite(rows.numpy()).all()
    gradient = tape.gradient(rows, tensor).numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient[:20]).reshape(20, -1).sum(axis=1) > 0).all()


def test_elements_in_use() -> None:
    bismuth = Structure(Lattice.cubic(3.3), ["Bi"], [[0, 0, 0]])
    for n_elements in range(1, 9):
        codec = CrystalCodec.load("fast", ELEMENTS[:n_elements])
        assert elements_in_use(codec.encode([bismuth])) == n_elements
    assert elements_in_use(np.zeros((2, 28, 28, 1))) == 1


def test_an_absent_element_is_nothing() -> None:
    bismuth = Structure(Lattice.cubic(3.3), ["Bi"], [[0, 0, 0]])
    row = of(bismuth)
    np.testing.assert_allclose(row[:2], [1, 0], atol=1e-6)
    np.testing.assert_allclose(row[3 + len(RADII) :], 0, atol=1e-4)
