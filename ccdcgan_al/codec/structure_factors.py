"""Sites <-> structure factors: the closed-form sites autoencoder of the `fast` codec. It knows no lattice and no elements.

The sites of one element, seen as a periodic density of points in fractional coordinates, have the structure factors
``F(h) = sum_j exp(2 pi i h . x_j)``. For point sets that are as likely at one origin as at another, the Fourier modes are
the principal components of their voxel image, so keeping the lowest of them is what the best *linear* autoencoder of that
image would do; there is nothing to train.

The way back is not linear: atoms are points, so a density known only at low resolution still fixes them (super-resolution
of sparse spikes). Atoms are placed one by one where the density that is not yet explained is highest, and after each one
all positions are refined together by least squares (alternating descent conditional gradient: Boyd, Schiebinger, Recht,
SIAM J. Optim. 27, 616 (2017), doi 10.1137/15M1035793).
"""

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.codec.least_squares import levenberg_marquardt
from ccdcgan_al.types import FloatArray

MAX_SITES = 20  # sites of one element in a cell: the published limit on a whole cell (Long et al. 2021)
MAX_H_SQUARED = 12  # closed shells of h keep the set whole under every permutation and reflection of the axes
GRID = 18  # search grid a cell edge: finer than a quarter of the shortest wave kept (1 / sqrt(12))


def _half_space() -> NDArray[np.int_]:
    """Return one h of each Friedel pair with 0 < |h|^2 <= MAX_H_SQUARED, shortest first, int (89, 3)."""
    reach = int(np.sqrt(MAX_H_SQUARED))
    vectors = [h for h in product(range(-reach, reach + 1), repeat=3) if h > (0, 0, 0)]
    vectors = [h for h in vectors if sum(i * i for i in h) <= MAX_H_SQUARED]
    return np.array(sorted(vectors, key=lambda h: (sum(i * i for i in h), h)))


H = _half_space()
N_FACTORS = 2 * len(H)  # 178: real parts, then imaginary parts
LATENT_SIZE = 200  # the published size of a sites latent
_DAMP = np.tile(np.exp(-0.04 * (H**2).sum(axis=1)), 2)  # a Gaussian window: no side lobes in the search map


def structure_factors(fractional: FloatArray) -> FloatArray:
    """Structure factors of one element's sites.

    Parameters
    ----------
    fractional : ndarray of float, shape (n, 3)
        Fractional coordinates.

    Returns
    -------
    ndarray of float, shape (178,)
        float64: the real parts, then the imaginary parts, of F(h) for the 89 vectors `H`.
    """
    phases = 2 * np.pi * np.asarray(fractional, dtype=float).reshape(-1, 3) @ H.T
    return np.concatenate([np.cos(phases).sum(axis=0), np.sin(phases).sum(axis=0)])


def sites_latent(fractional: FloatArray) -> FloatArray:
    """Latent of one element's sites: F(h) / n, then the count as 20 signs (slot k is +1 where n >= k, else -1), then two zeros.

    Parameters
    ----------
    fractional : ndarray of float, shape (n, 3)
        Fractional coordinates, 0 <= n <= 20.

    Returns
    -------
    ndarray of float, shape (200,)
        float64 in [-1, 1].
    """
    n = len(fractional)
    latent = np.zeros(LATENT_SIZE)
    if n:
        latent[:N_FACTORS] = structure_factors(fractional) / n
    latent[N_FACTORS : N_FACTORS + MAX_SITES] = np.where(np.arange(1, MAX_SITES + 1) <= n, 1.0, -1.0)
    return latent


def sites_from_latent(latent: FloatArray) -> tuple[FloatArray, float]:
    """Sites whose latent is nearest to the one given.

    Parameters
    ----------
    latent : ndarray of float, shape (200,)
        As `sites_latent` makes it, possibly with noise.

    Returns
    -------
    tuple of (ndarray of float, float)
        Fractional coordinates (n, 3) in [0, 1), and the root mean square misfit of F(h) / n (0 for a latent of real
        sites).
    """
    count = int((latent[N_FACTORS : N_FACTORS + MAX_SITES] > 0).sum())
    if count == 0:
        return np.zeros((0, 3)), float(np.sqrt(np.mean(latent[:N_FACTORS] ** 2)))
    target = np.asarray(latent[:N_FACTORS], dtype=float) * count
    fractional: FloatArray = np.zeros((0, 3))
    residual = target
    for k in range(count):
        search = _SEARCH @ (residual * _DAMP)
        fractional = np.vstack([fractional, _POINTS[int(search.argmax())]])
        fractional, residual = _refine(fractional, target, steps=3 if k < count - 1 else 30)
    return fractional % 1.0, float(np.sqrt(np.mean(residual**2)) / count)


def _grid() -> tuple[FloatArray, FloatArray]:
    """Return the search points (GRID^3, 3) and the matrix that maps [Re F, Im F] to the density there, (GRID^3, 178)."""
    axis = np.arange(GRID) / GRID
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    phases = 2 * np.pi * points @ H.T
    return points, np.concatenate([np.cos(phases), np.sin(phases)], axis=1)


_POINTS, _SEARCH = _grid()


def _refine(fractional: FloatArray, target: FloatArray, steps: int) -> tuple[FloatArray, FloatArray]:
    """Refine positions (n, 3) against `target` (178,); returns positions and residual."""

    def evaluate(flat: FloatArray) -> tuple[FloatArray, Callable[[], FloatArray]]:
        moved = flat.reshape(-1, 3)
        return target - structure_factors(moved), lambda: _derivatives(moved)

    refined, residual = levenberg_marquardt(evaluate, fractional.reshape(-1), steps)
    return refined.reshape(-1, 3), residual


def _derivatives(fractional: FloatArray) -> FloatArray:
    """Return the derivatives of the structure factors of positions (n, 3) with respect to them, (3 n, 178)."""
    phases = 2 * np.pi * fractional @ H.T
    both = np.concatenate([-np.sin(phases), np.cos(phases)], axis=1)  # dF/dphase, (n, 178)
    return (2 * np.pi * both[:, None, :] * np.tile(H, (2, 1)).T[None]).reshape(-1, N_FACTORS)
