"""The layout of the crystal graph: what is packed is unpacked, and nothing else is in the image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcgan_al.codec.graph import LATTICE_LATENT_SIZE, PUBLISHED_SIDE, SITES_LATENT_SIZE, graph_side, pack, unpack
from ccdcgan_al.codec.structure_factors import LATENT_SIZE


def test_sides() -> None:
    assert [graph_side(n) for n in (1, 2, 3)] == [PUBLISHED_SIDE] * 3
    for n in range(1, 9):
        assert graph_side(n) % 4 == 0
        assert graph_side(n) ** 2 >= LATTICE_LATENT_SIZE + n * SITES_LATENT_SIZE
    assert SITES_LATENT_SIZE == LATENT_SIZE


@pytest.mark.parametrize("n_elements", [-1, 0, 9])
def test_wrong_number_of_elements(n_elements: int) -> None:
    with pytest.raises(ValueError, match=f"got {n_elements} elements: a crystal graph has 1 to 8"):
        graph_side(n_elements)


@given(n_elements=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_round_trip(n_elements: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = rng.uniform(-1, 1, LATTICE_LATENT_SIZE).astype(np.float32)
    sites = rng.uniform(-1, 1, (n_elements, SITES_LATENT_SIZE)).astype(np.float32)
    graph = pack(lattice, sites)
    side = graph_side(n_elements)
    assert graph.shape == (side, side, 1)
    assert graph.dtype == np.float32
    assert not graph.ravel()[LATTICE_LATENT_SIZE + n_elements * SITES_LATENT_SIZE :].any()
    lattice_back, sites_back = unpack(graph, n_elements)
    np.testing.assert_array_equal(lattice_back, lattice)
    np.testing.assert_array_equal(sites_back, sites)


def test_layout_is_lattice_then_elements_in_order() -> None:
    sites = np.repeat([[0.25], [0.5]], SITES_LATENT_SIZE, axis=1)
    flat = pack(np.full(LATTICE_LATENT_SIZE, 0.125), sites).ravel()
    assert set(flat[:25]) == {0.125}
    assert set(flat[25:225]) == {0.25}
    assert set(flat[225:425]) == {0.5}


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(28, 28, 1\): a crystal graph of 4 elements has shape \(32, 32, 1\)"):
        unpack(np.zeros((28, 28, 1)), 4)
