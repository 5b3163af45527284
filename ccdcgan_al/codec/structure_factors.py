"""Encode sites as structure factors, and decode them: the closed-form sites autoencoder of the `fast` codec. It knows no lattice and no elements.

The sites of one element are a periodic density of points in fractional coordinates. Their structure factors are
``F(h) = sum_j exp(2 pi i h . x_j)``. If every origin of the point sets is equally likely, the Fourier modes are the principal
components of their voxel image. The best *linear* autoencoder of that image therefore keeps the lowest modes. It needs no training.

The decoder is not linear. Atoms are points, so a density at low resolution still determines their positions (super-resolution of
sparse spikes). The decoder places atoms one by one at the maximum of the unexplained density. After each atom it refines all positions
together by least squares (alternating descent conditional gradient: Boyd, Schiebinger, Recht, SIAM J. Optim. 27, 616 (2017),
doi 10.1137/15M1035793).
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.codec.least_squares import levenberg_marquardt_batch
from ccdcgan_al.types import FloatArray

MAX_SITES = 20  # sites of one element in a cell: the published limit on a whole cell (Long et al. 2021)
MAX_H_SQUARED = 12  # closed shells of h keep the set whole under every permutation and reflection of the axes
_STEPS_BETWEEN, _STEPS_AT_LAST = 3, 30  # of the refinement after each atom, and after the last one
_SEARCHED_AT_ONCE = 256  # residuals; the search map of each takes 47 kB
GRID = 18  # search grid a cell edge: finer than a quarter of the shortest wave kept (1 / sqrt(12))


def _half_space() -> NDArray[np.int_]:
    """Return one h of each Friedel pair with 0 < |h|^2 <= MAX_H_SQUARED, the shortest first, int (89, 3)."""
    reach = int(np.sqrt(MAX_H_SQUARED))
    vectors = [h for h in product(range(-reach, reach + 1), repeat=3) if h > (0, 0, 0)]
    vectors = [h for h in vectors if sum(i * i for i in h) <= MAX_H_SQUARED]
    return np.array(sorted(vectors, key=lambda h: (sum(i * i for i in h), h)))


H = _half_space()
_BOTH = np.tile(H, (2, 1)).astype(float)  # of the real and of the imaginary parts, (178, 3)
N_FACTORS = 2 * len(H)  # 178: real parts, then imaginary parts
LATENT_SIZE = 200  # the published size of a sites latent
_DAMP = np.tile(np.exp(-0.04 * (H**2).sum(axis=1)), 2)  # Gaussian window that removes side lobes from the search map


def structure_factors(fractional: FloatArray) -> FloatArray:
    """Return the structure factors of one element's sites.

    Parameters
    ----------
    fractional : ndarray of float, shape (n, 3)
        Fractional coordinates.

    Returns
    -------
    ndarray of float64, shape (178,)
        Real parts, then imaginary parts, of F(h) for the 89 vectors `H`.
    """
    phases = 2 * np.pi * np.asarray(fractional, dtype=float).reshape(-1, 3) @ H.T
    return np.concatenate([np.cos(phases).sum(axis=0), np.sin(phases).sum(axis=0)])


def sites_latent(fractional: FloatArray) -> FloatArray:
    """Return the latent of one element's sites.

    The latent holds F(h) / n, then the number of sites n as 20 signs, then two zeros. Sign k is +1 if n >= k, otherwise -1.

    Parameters
    ----------
    fractional : ndarray of float, shape (n, 3)
        Fractional coordinates, 0 <= n <= 20.

    Returns
    -------
    ndarray of float64, shape (200,)
        Latent. Values lie in [-1, 1].
    """
    n = len(fractional)
    latent = np.zeros(LATENT_SIZE)
    if n:
        latent[:N_FACTORS] = structure_factors(fractional) / n
    latent[N_FACTORS : N_FACTORS + MAX_SITES] = np.where(np.arange(1, MAX_SITES + 1) <= n, 1.0, -1.0)
    return latent


def sites_from_latents(latents: FloatArray) -> list[tuple[FloatArray, float]]:
    """Find the sites that fit each latent best. All latents are decoded together.

    The search uses float32. If two places in a cell are equivalent by symmetry, the batch can decide which one is first. So the
    order or the choice among equivalent sites can differ from that of a latent decoded alone. The crystal is the same.

    Parameters
    ----------
    latents : ndarray of float, shape (m, 200)
        As `sites_latent` makes them, possibly with noise.

    Returns
    -------
    list of tuple of (ndarray of float, float)
        For each latent the fractional coordinates (n, 3) in [0, 1), and the root mean square misfit of F(h) / n (0 for
        a latent of real sites).
    """
    latents = np.asarray(latents, dtype=float)
    counts = (latents[:, N_FACTORS : N_FACTORS + MAX_SITES] > 0).sum(axis=1)
    targets = latents[:, :N_FACTORS] * np.maximum(counts, 1)[:, None]
    placed = np.zeros((len(latents), MAX_SITES, 3))
    residuals = targets.copy()
    for k in range(counts.max(initial=0)):
        open_ones = np.flatnonzero(counts > k)
        placed[open_ones, k] = _POINTS[_densest(residuals[open_ones])]
        steps = np.where(counts[open_ones] > k + 1, _STEPS_BETWEEN, _STEPS_AT_LAST)
        refined, residuals[open_ones] = _refine(placed[open_ones, : k + 1], targets[open_ones], steps)
        placed[open_ones, : k + 1] = refined
    misfits = np.sqrt(np.mean(residuals**2, axis=1)) / np.maximum(counts, 1)
    return [
        (fractional[:count] % 1.0, float(misfit))
        for fractional, count, misfit in zip(placed, counts, misfits, strict=True)
    ]


def _densest(residuals: FloatArray) -> NDArray[np.int_]:
    """Index of the search point at which the density of each residual (m, 178) is highest, (m,)."""
    found = [
        (part * _DAMP).astype(np.float32) @ _SEARCH.T
        for part in np.array_split(residuals, -(-len(residuals) // _SEARCHED_AT_ONCE))
    ]
    return np.concatenate([density.argmax(axis=1) for density in found])


def _grid() -> tuple[FloatArray, FloatArray]:
    """Return the search points (GRID^3, 3) and the matrix (GRID^3, 178) that maps [Re F, Im F] to the density at these points."""
    axis = np.arange(GRID) / GRID
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    phases = 2 * np.pi * points @ H.T
    return points, np.concatenate([np.cos(phases), np.sin(phases)], axis=1).astype(np.float32)


_POINTS, _SEARCH = _grid()


def _refine(fractional: FloatArray, targets: FloatArray, steps: NDArray[np.int_]) -> tuple[FloatArray, FloatArray]:
    """Refine m sets of positions (m, n, 3) against `targets` (m, 178); returns positions and residuals (m, 178)."""
    shape = fractional.shape

    def evaluate(moved: FloatArray, chosen: NDArray[np.int_]) -> tuple[FloatArray, FloatArray]:
        waves = _waves(moved.reshape(-1, *shape[1:]))
        return targets[chosen] - waves.sum(axis=1), waves

    flat, residuals = levenberg_marquardt_batch(evaluate, _normal_equations, fractional.reshape(shape[0], -1), steps)
    return flat.reshape(shape), residuals


def _waves(fractional: FloatArray) -> FloatArray:
    """Each site's part in the structure factors: cosines, then sines, of 2 pi h . x, for positions (m, n, 3); (m, n, 178)."""
    base = np.exp(2j * np.pi * fractional)
    powers = np.stack([np.ones_like(base), base, base**2, base**3])  # of each axis
    powers = np.concatenate([powers, powers[:0:-1].conj()])  # index -k is the power -k
    x, y, z = (powers[H[:, axis], ..., axis] for axis in range(3))
    factors = np.moveaxis(x * y * z, 0, -1)
    return np.concatenate([factors.real, factors.imag], axis=-1)


def _normal_equations(waves: FloatArray, residuals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return normal matrices (m, 3 n, 3 n) and gradients (m, 3 n) of positions whose `_waves` are given (m, n, 178)."""
    m, n, _ = waves.shape
    real, imaginary = waves[..., : len(H)], waves[..., len(H) :]
    slopes = np.concatenate([-imaginary, real], axis=-1)  # dF/dphase
    gradient = (slopes * residuals[:, None, :]) @ (2 * np.pi * _BOTH)
    normal = np.empty((m, n, 3, n, 3))
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        block = (slopes * (4 * np.pi**2 * _BOTH[:, i] * _BOTH[:, j])) @ slopes.transpose(0, 2, 1)
        normal[:, :, i, :, j] = normal[:, :, j, :, i] = block
    return normal.reshape(m, 3 * n, 3 * n), gradient.reshape(m, 3 * n)
