"""Lattice image (32^3) <-> its latent (25): principal components one way, a fit of the six cell parameters the other. It knows no sites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from pymatgen.core import Lattice

from ccdcgan_al.codec.least_squares import levenberg_marquardt
from ccdcgan_al.codec.paper.sites import DEVIATIONS, MAX_ATANH
from ccdcgan_al.codec.voxels import LATTICE_GRID, SIGMA
from ccdcgan_al.types import FloatArray

MAX_MISFIT = 1.0  # rms, in standard deviations of the components, above which a latent is that of no cell
_STARTS = 3  # training cells from which the fit begins, at most
_STEPS = 12
_DIFFERENCE = 1e-3  # Å or cosine, for derivatives
_CLOSED = 1e-4  # least squared volume of a cell of unit lengths: a flatter one is no cell


def centred_image(parameters: FloatArray) -> FloatArray:
    """Lattice image of a cell without its periodic images, which in a reduced cell are too far away to be seen.

    Parameters
    ----------
    parameters : ndarray of float, shape (6,)
        Lengths a, b, c (Å) and cosines of alpha, beta, gamma.

    Returns
    -------
    ndarray of float, shape (32768,)
        float32: exp(-d^2 / (2 sigma^2)) at the fractional distances (i - 16) / 32 from the cell's centre.
    """
    a, b, c, alpha, beta, gamma = parameters
    metric = np.array([a * a, b * b, c * c, b * c * alpha, a * c * beta, a * b * gamma], dtype=np.float32)
    return np.exp(-(_quadratic() @ metric) / (2 * SIGMA**2))


@cache
def _quadratic() -> FloatArray:
    """Products of the grid's fractional coordinates that the six numbers of a metric multiply, (32768, 6) float32."""
    axis = (np.arange(LATTICE_GRID) - LATTICE_GRID // 2) / LATTICE_GRID
    x, y, z = (part.reshape(-1) for part in np.meshgrid(axis, axis, axis, indexing="ij"))
    return np.stack([x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LatticeComponents:
    """A trained autoencoder of lattice images.

    Attributes
    ----------
    basis : ndarray of float, shape (32768, 25)
        float32, principal components of lattice images, each divided by its standard deviation.
    mean : ndarray of float, shape (25,)
        Mean of the components.
    starts : ndarray of float, shape (m, 6)
        Parameters of training cells, the places from which a fit may begin.
    """

    basis: FloatArray
    mean: FloatArray
    starts: FloatArray

    def encode(self, image: FloatArray) -> FloatArray:
        """Latent of a lattice image (32, 32, 32, 1): (25,) in (-1, 1)."""
        return np.tanh((image.reshape(-1) @ self.basis - self.mean) / DEVIATIONS)

    def decode(self, latent: FloatArray) -> Lattice | None:
        """Cell whose latent is nearest to the one given (25,), possibly with noise; None where no cell's is near."""
        target = DEVIATIONS * np.arctanh(np.clip(np.asarray(latent, dtype=float), -MAX_ATANH, MAX_ATANH))
        nearest = np.argsort(((self._start_components - target) ** 2).sum(axis=1))[:_STARTS]
        fits = []
        for number in nearest:
            parameters, cost = self._fit(self.starts[number], target)
            fits.append((cost, tuple(parameters)))
            if cost < 1e-6:  # noqa: PLR2004  exact
                break
        cost, (*lengths, alpha, beta, gamma) = min(fits)
        if np.sqrt(cost / len(target)) > MAX_MISFIT:
            return None
        return Lattice.from_parameters(*lengths, *np.degrees(np.arccos([alpha, beta, gamma])))

    @cached_property
    def _start_components(self) -> FloatArray:
        return np.array([self._components(parameters) for parameters in self.starts])

    def _components(self, parameters: FloatArray) -> FloatArray:
        return centred_image(parameters) @ self.basis - self.mean

    def _fit(self, parameters: FloatArray, target: FloatArray) -> tuple[FloatArray, float]:
        """Fit the six parameters to the components (25,); returns them and the sum of squares left."""

        def evaluate(tried: FloatArray) -> tuple[FloatArray, Callable[[], FloatArray]] | None:
            if not _is_cell(tried):
                return None
            components = self._components(tried)
            shifted = tried + _DIFFERENCE * np.eye(6)
            return (
                target - components,
                lambda: np.array([self._components(one) - components for one in shifted]) / _DIFFERENCE,
            )

        fitted, residual = levenberg_marquardt(evaluate, parameters, _STEPS, least_gain=(1e-8, 1e-12))
        return fitted, float(residual @ residual)


def _is_cell(parameters: FloatArray) -> bool:
    """Whether six parameters are those of a cell: lengths of 0.5 to 30 Å, angles that close."""
    lengths, cosines = parameters[:3], parameters[3:]
    if not np.isfinite(parameters).all() or lengths.min() < 0.5 or lengths.max() > 30 or np.abs(cosines).max() >= 1:  # noqa: PLR2004
        return False
    return bool(1 - (cosines**2).sum() + 2 * cosines.prod() > _CLOSED)
