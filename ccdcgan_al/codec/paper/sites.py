"""Sites image (64^3) <-> its latent (200): principal components one way, sparse super-resolution the other. It knows no lattice and no elements.

One way it is a linear autoencoder's encoder with the published tanh: a fixed low-pass (Gaussian) convolution with stride 4, a trained
projection on 200 principal components, each divided by three of its standard deviations, tanh. The other way it is not linear: the image is
known to be a sum of Gaussians, so atoms are put one by one where the most is unexplained and all positions refined together
after each (alternating descent conditional gradient: Boyd, Schiebinger, Recht, SIAM J. Optim. 27, 616 (2017), doi 10.1137/15M1035793).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ccdcgan_al.codec.graph import SITES_LATENT_SIZE
from ccdcgan_al.codec.least_squares import levenberg_marquardt
from ccdcgan_al.codec.voxels import CUBE, CUT, SIGMA, SITES_GRID
from ccdcgan_al.types import FloatArray

COARSE = 16  # points an edge after the low-pass convolution, 0.94 Å apart
BLUR = 0.9  # Å, width of an atom's Gaussian after it: the grid's spacing, so that nothing is lost between the points
DEVIATIONS = 3.0  # standard deviations of a component at which tanh bends
MAX_ATANH = 0.9999  # a generated latent may be +-1, which has no inverse
EXPLAINED = 1e-3  # rms misfit (in standard deviations) at which the search for better positions ends; the cut at 0.02 leaves 0.002 to 0.01
_SEARCH = 0.6  # Å between the points where an atom may be put first
_STEP = 0.5  # Å that an atom may move in one step
_REPAIRS = 8  # atoms that are taken out and put elsewhere, at most


def _coarse_axis() -> FloatArray:
    """Return the coarse points along an axis, relative to the cube's centre (Å), (16,)."""
    return ((np.arange(COARSE) + 0.5) / COARSE - 0.5) * CUBE


def _fine_axis() -> FloatArray:
    """Return the points of the published grid along an axis, relative to the cube's centre (Å), (64,)."""
    return (np.arange(SITES_GRID) - SITES_GRID // 2) * CUBE / SITES_GRID


def _cut_gaussian() -> tuple[float, float]:
    """Integral (Å^3) and width (Å) of the Gaussian of height 1 whose values below `CUT` are 0."""
    radius = np.linspace(0, SIGMA * math.sqrt(-2 * math.log(CUT)), 2001)
    values = 4 * np.pi * radius**2 * np.exp(-(radius**2) / (2 * SIGMA**2))
    integral = float(np.trapezoid(values, radius))
    return integral, math.sqrt(float(np.trapezoid(values * radius**2, radius)) / (3 * integral))


def low_pass(image: FloatArray) -> FloatArray:
    """Convolve a sites image with a Gaussian and sample it at the coarse points; an atom becomes a Gaussian of height 1 and width `BLUR`.

    Parameters
    ----------
    image : ndarray of float, shape (64, 64, 64)
        One element's channel.

    Returns
    -------
    ndarray of float, shape (16, 16, 16)
        float32.
    """
    integral, width = _cut_gaussian()
    kernel_variance = BLUR**2 - width**2
    apart = _coarse_axis()[:, None] - _fine_axis()[None, :]
    kernel = np.exp(-(apart**2) / (2 * kernel_variance)).astype(np.float32)
    for _ in range(3):  # the axes one after the other: contracting the first moves it last
        image = np.tensordot(image, kernel, axes=(0, 1))
    height = integral / (CUBE / SITES_GRID) ** 3 * (kernel_variance / BLUR**2) ** 1.5
    return np.asarray(image / height, dtype=np.float32)


def coarse_images(positions: FloatArray) -> FloatArray:
    """Return what `low_pass` makes of the images of single atoms at these positions (n, 3), in closed form, (n, 16, 16, 16)."""
    x, y, z = _profiles(positions)
    return x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :]


def _profiles(positions: FloatArray) -> list[FloatArray]:
    """Gaussians along the three axes, each (n, 16)."""
    apart = _coarse_axis()[None, None, :] - positions.T[:, :, None]
    return list(np.exp(-(apart**2) / (2 * BLUR**2)))


@dataclass(frozen=True, eq=False)
class SitesComponents:
    """A trained autoencoder of sites images.

    Attributes
    ----------
    basis : ndarray of float, shape (16, 16, 16, 200)
        float32, principal components of low-passed images, each divided by its standard deviation.
    mean : ndarray of float, shape (200,)
        Mean of the components.
    counting : ndarray of float, shape (201,)
        Linear regression from the components to the number of atoms, intercept last.
    """

    basis: FloatArray
    mean: FloatArray
    counting: FloatArray

    def encode(self, image: FloatArray) -> FloatArray:
        """Latent of one channel of a sites image (64, 64, 64): (200,) in (-1, 1)."""
        components = low_pass(image).reshape(-1) @ self._flat - self.mean
        return np.tanh(components / DEVIATIONS)

    def decode(self, latent: FloatArray) -> tuple[FloatArray, float]:
        """Positions of the atoms whose latent is nearest to the one given.

        Parameters
        ----------
        latent : ndarray of float, shape (200,)
            Possibly with noise.

        Returns
        -------
        tuple of (ndarray of float, float)
            Positions (n, 3) relative to the cube's centre (Å), and the root mean square misfit of the components in
            their standard deviations.
        """
        bounded = np.clip(np.asarray(latent, dtype=float), -MAX_ATANH, MAX_ATANH)
        target = DEVIATIONS * np.arctanh(bounded) + self.mean
        count = round(float(target @ self.counting[:-1] + self.counting[-1]))
        best: tuple[FloatArray, float] | None = None
        for tried in (count, count - 1, count + 1):
            if tried < 0:
                continue
            positions, misfit = self._positions(target, tried)
            # another count needs a better reason than one more atom to fit with
            if best is None or misfit < 0.5 * best[1]:
                best = positions, misfit
            if misfit < 0.05:  # noqa: PLR2004  explained, up to what the cut at 0.02 leaves
                break
        return best or (np.zeros((0, 3)), float(np.sqrt(np.mean(target**2))))

    @cached_property
    def _flat(self) -> FloatArray:
        return self.basis.reshape(-1, SITES_LATENT_SIZE)

    @cached_property
    def _search(self) -> tuple[FloatArray, FloatArray]:
        """Points where an atom may be put first (m, 3), and their components, divided by their norm, (m, 200) float32."""
        axis = np.arange(-CUBE / 2 + _SEARCH / 2, CUBE / 2, _SEARCH)
        points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        profile = np.exp(-((axis[:, None] - _coarse_axis()) ** 2) / (2 * BLUR**2)).astype(np.float32)
        components = self.basis
        for _ in range(3):  # the axes one after the other: contracting the first moves it last, behind the components
            components = np.moveaxis(np.tensordot(components, profile, axes=(0, 1)), 2, -1)
        components = components.reshape(-1, SITES_LATENT_SIZE)
        norms = np.linalg.norm(components, axis=1, keepdims=True)
        # points far out, which hardly any training image reached, have small components: they are not to win by the division
        return points, (components / np.maximum(norms, np.percentile(norms, 30))).astype(np.float32)

    def _best_place(self, residual: FloatArray) -> FloatArray:
        points, components = self._search
        return points[int((components @ residual.astype(np.float32)).argmax())]

    def _positions(self, target: FloatArray, count: int) -> tuple[FloatArray, float]:
        """Positions of `count` atoms that explain the components best, and the misfit."""
        positions: FloatArray = np.zeros((0, 3))
        residual = target
        for k in range(count):
            positions = np.vstack([positions, self._best_place(residual)])
            positions, residual = self._refine(positions, target, steps=3 if k < count - 1 else 30)
        for _ in range(_REPAIRS if count > 1 else 0):
            if _rms(residual) < EXPLAINED * 20:
                break
            better = self._move_one(positions, residual, target)
            if _rms(better[1]) > 0.99 * _rms(residual):
                break
            positions, residual = better
        return positions, _rms(residual)

    def _move_one(
        self, positions: FloatArray, residual: FloatArray, target: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Take out one of the three atoms that explain least and put it where most is unexplained; the best of the three tries."""
        components, _ = self._components(positions)
        without = ((residual + components) ** 2).sum(axis=1)
        tries = []
        for k in np.argsort(without)[:3]:
            rest, left = self._refine(np.delete(positions, k, axis=0), target, steps=6)
            tries.append(self._refine(np.vstack([rest, self._best_place(left)]), target, steps=20))
        return min(tries, key=lambda one: _rms(one[1]))

    def _components(self, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Components (n, 200) of single atoms and their derivatives with respect to the positions (n, 3, 200), per Å."""
        n = len(positions)
        values = _profiles(positions)
        apart = _coarse_axis()[None, None, :] - positions.T[:, :, None]
        (x, y, z), (dx, dy, dz) = (
            [p.astype(np.float32) for p in part]
            for part in (values, [v * a / BLUR**2 for v, a in zip(values, apart, strict=True)])
        )
        along_x = (np.concatenate([x, dx]) @ self.basis.reshape(COARSE, -1)).reshape(2, n, COARSE, -1)
        xy = (y[:, None] @ along_x[0]).reshape(n, COARSE, -1)
        dxy = (y[:, None] @ along_x[1]).reshape(n, COARSE, -1)
        xdy = (dy[:, None] @ along_x[0]).reshape(n, COARSE, -1)
        parts = [(first[:, None] @ second)[:, 0] for first, second in ((z, xy), (z, dxy), (z, xdy), (dz, xy))]
        return parts[0].astype(float), np.stack(parts[1:], axis=1).astype(float)

    def _refine(self, positions: FloatArray, target: FloatArray, steps: int) -> tuple[FloatArray, FloatArray]:
        """Refine positions (n, 3) against the components (200,); returns positions and residual."""

        def evaluate(flat: FloatArray) -> tuple[FloatArray, Callable[[], FloatArray]] | None:
            if np.abs(flat).max(initial=0) > CUBE / 2:
                return None
            components, slopes = self._components(flat.reshape(-1, 3))
            return target - components.sum(axis=0), lambda: slopes.reshape(-1, SITES_LATENT_SIZE)

        enough = SITES_LATENT_SIZE * EXPLAINED**2
        flat, residual = levenberg_marquardt(
            evaluate, positions.reshape(-1), steps, least_gain=(1e-6, enough), longest=_STEP
        )
        return flat.reshape(-1, 3), residual


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
