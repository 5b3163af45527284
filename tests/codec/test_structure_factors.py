"""The latents of sites and lattices, on point sets that can be checked by hand and on noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice
from scipy.optimize import linear_sum_assignment

from ccdcgan_al.codec.lattice_latent import MAX_CODEC_LENGTH, MIN_LENGTH, lattice_from_latent, lattice_latent
from ccdcgan_al.codec.structure_factors import (
    LATENT_SIZE,
    MAX_H_SQUARED,
    MAX_SITES,
    N_FACTORS,
    FloatArray,
    H,
    sites_from_latents,
    sites_latent,
    structure_factors,
)
from tests.codec.plain_decoder import plain_sites


def only(latent: FloatArray) -> tuple[FloatArray, float]:
    """Sites and misfit of one latent."""
    (found,) = sites_from_latents(latent[None])
    return found


def furthest(sites: FloatArray, found: FloatArray) -> float:
    """Largest distance of matched sites, in fractions of a cell edge."""
    difference = sites[:, None] - found[None]
    distances = np.linalg.norm(difference - np.round(difference), axis=2)
    return float(distances[linear_sum_assignment(distances)].max(initial=0))


def spread_sites(count: int, rng: np.random.Generator, spacing: float = 0.15) -> FloatArray:
    """Random sites, none nearer than `spacing` (fractions of a cell edge) to another."""
    sites: FloatArray = rng.random((1, 3))
    while len(sites) < count:
        new = rng.random(3)
        difference = sites - new
        if np.linalg.norm(difference - np.round(difference), axis=1).min() >= spacing:
            sites = np.vstack([sites, new])
    return sites[:count]


def test_one_vector_of_each_friedel_pair() -> None:
    vectors = {tuple(h) for h in H.tolist()}
    assert len(vectors) == len(H) == N_FACTORS // 2 == 89
    assert not vectors & {tuple(-i for i in h) for h in vectors}
    assert max((H**2).sum(axis=1)) == MAX_H_SQUARED


def test_structure_factors_by_hand() -> None:
    at_origin = structure_factors(np.zeros((1, 3)))
    np.testing.assert_allclose(at_origin, [1] * 89 + [0] * 89)
    # body-centred: F(h) = 1 + exp(pi i (h + k + l)), 2 where the sum is even and 0 where it is odd
    centred = structure_factors(np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    np.testing.assert_allclose(centred[:89], np.where(H.sum(axis=1) % 2 == 0, 2, 0), atol=1e-12)
    np.testing.assert_allclose(centred[89:], 0, atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_latent_tells_the_count(count: int) -> None:
    latent = sites_latent(np.random.default_rng(0).random((count, 3)))
    assert latent.shape == (LATENT_SIZE,)
    assert np.abs(latent).max() <= 1
    signs = latent[N_FACTORS : N_FACTORS + MAX_SITES]
    assert (signs == 1).sum() == count
    assert (signs == -1).sum() == MAX_SITES - count
    assert len(only(latent)[0]) == count


@settings(max_examples=50, deadline=None, derandomize=True)
@given(count=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_sites_come_back(count: int, seed: int) -> None:
    sites = spread_sites(count, np.random.default_rng(seed))
    found, misfit = only(sites_latent(sites))
    assert found.shape == (count, 3)
    assert ((found >= 0) & (found < 1)).all()
    assert furthest(sites, found) < 1e-3
    assert misfit < 1e-4


@pytest.mark.parametrize("count", [1, 4, 8])
def test_noise_moves_sites_little(count: int) -> None:
    """Noise of 0.05 rms: F(h) / n of n sites has modulus of about 1 / sqrt(n), so the fewer the sites the less they move."""
    rng = np.random.default_rng(count)
    moved = []
    for _ in range(20):
        sites = spread_sites(count, rng, spacing=0.25)
        found, misfit = only(sites_latent(sites) + rng.normal(scale=0.05, size=LATENT_SIZE))
        assert len(found) == count
        assert 0.02 < misfit < 0.08
        moved.append(furthest(sites, found))
    assert np.median(moved) < 0.03
    assert sum(m < 0.05 for m in moved) >= 19, moved


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_many_at_once_give_what_each_gives_alone(noise: float) -> None:
    rng = np.random.default_rng(1)
    latents = np.array([sites_latent(rng.random((count, 3))) for count in [*range(15), 20, 20, 3, 3]])
    latents += rng.normal(scale=noise, size=latents.shape)
    for latent, (found, misfit) in zip(latents, sites_from_latents(latents), strict=True):
        wanted, plain_misfit = plain_sites(latent)
        assert found.shape == wanted.shape
        assert furthest(wanted, found) < 1e-4  # of a cell edge of at most 11 Å
        assert misfit == pytest.approx(plain_misfit, abs=1e-6)


def test_no_latents_give_no_sites() -> None:
    assert sites_from_latents(np.zeros((0, LATENT_SIZE))) == []


def test_misfit_tells_noise_from_sites() -> None:
    rng = np.random.default_rng(0)
    latent = sites_latent(rng.random((3, 3)))
    latent[:N_FACTORS] = rng.uniform(-1, 1, N_FACTORS)
    assert only(latent)[1] > 0.3


lengths = st.floats(MIN_LENGTH, MAX_CODEC_LENGTH)
angles = st.floats(60, 120)


@given(lengths=st.tuples(lengths, lengths, lengths), angles=st.tuples(angles, angles, angles))
def test_lattice_round_trip(lengths: tuple[float, float, float], angles: tuple[float, float, float]) -> None:
    cosines = np.cos(np.radians(angles))
    if 1 - (cosines**2).sum() + 2 * cosines.prod() < 0.06:
        return  # no reduced cell is so flat
    lattice = Lattice.from_parameters(*lengths, *angles)
    latent = lattice_latent(lattice)
    assert latent.shape == (25,)
    assert np.abs(latent).max() <= 1 + 1e-9
    back = lattice_from_latent(latent)
    assert back is not None
    np.testing.assert_allclose(back.parameters, lattice.parameters, rtol=1e-9)


def test_lattice_latent_ends_at_its_limits() -> None:
    np.testing.assert_allclose(lattice_latent(Lattice.cubic(MIN_LENGTH))[:3], -1)
    np.testing.assert_allclose(lattice_latent(Lattice.cubic(MAX_CODEC_LENGTH))[:3], 1)


def test_noise_on_a_lattice_averages_out() -> None:
    """Noise of 0.05 on four copies is 0.025 on their mean: 2.4 % of a length (half range ln(11 / 1.6) / 2 = 0.96)."""
    rng = np.random.default_rng(0)
    latent = lattice_latent(Lattice.orthorhombic(3, 5, 8))
    found = [lattice_from_latent(latent + rng.normal(scale=0.05, size=25)) for _ in range(200)]
    ratios = np.array([np.divide(lattice.abc, (3, 5, 8)) for lattice in found if lattice is not None])
    assert len(ratios) == 200
    assert np.std(np.log(ratios)) == pytest.approx(0.025 * 0.964, rel=0.15)


@pytest.mark.parametrize("cosines", [(0.9, -0.9, 0.9), (1.5, 0, 0), (-0.6, -0.6, -0.6)])
def test_angles_that_close_no_cell(cosines: tuple[float, float, float]) -> None:
    latent = np.zeros(25)
    latent[:24] = np.tile([0, 0, 0, *(c / 0.6 for c in cosines)], 4)
    assert lattice_from_latent(latent) is None


@pytest.mark.parametrize("value", [2.1, -2.1, 1e3, 1e200])
def test_lengths_far_beyond_the_limits(value: float) -> None:
    latent = np.zeros(25)
    latent[0:24:6] = value
    assert lattice_from_latent(latent) is None
