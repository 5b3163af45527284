"""The plain decoder of a sites latent: one latent at a time, one atom after the other. The oracle of the decoder that takes many at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ccdcgan_al.codec.least_squares import levenberg_marquardt
from ccdcgan_al.codec.structure_factors import GRID, MAX_SITES, N_FACTORS, FloatArray, H, structure_factors


def plain_sites(latent: FloatArray) -> tuple[FloatArray, float]:
    """Fractional coordinates (n, 3) of the sites, and the rms misfit of F(h) / n."""
    count = int((latent[N_FACTORS : N_FACTORS + MAX_SITES] > 0).sum())
    if count == 0:
        return np.zeros((0, 3)), float(np.sqrt(np.mean(latent[:N_FACTORS] ** 2)))
    axis = np.arange(GRID) / GRID
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    phases = 2 * np.pi * points @ H.T
    search = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    damp = np.tile(np.exp(-0.04 * (H**2).sum(axis=1)), 2)
    target = np.asarray(latent[:N_FACTORS], dtype=float) * count
    fractional: FloatArray = np.zeros((0, 3))
    residual = target
    for k in range(count):
        fractional = np.vstack([fractional, points[int((search @ (residual * damp)).argmax())]])
        fractional, residual = _refine(fractional, target, steps=3 if k < count - 1 else 30)
    return fractional % 1.0, float(np.sqrt(np.mean(residual**2)) / count)


def _refine(fractional: FloatArray, target: FloatArray, steps: int) -> tuple[FloatArray, FloatArray]:
    def evaluate(flat: FloatArray) -> tuple[FloatArray, Callable[[], FloatArray]]:
        moved = flat.reshape(-1, 3)
        return target - structure_factors(moved), lambda: _derivatives(moved)

    refined, residual = levenberg_marquardt(evaluate, fractional.reshape(-1), steps)
    return refined.reshape(-1, 3), residual


def _derivatives(fractional: FloatArray) -> FloatArray:
    phases = 2 * np.pi * fractional @ H.T
    both = np.concatenate([-np.sin(phases), np.cos(phases)], axis=1)
    return (2 * np.pi * both[:, None, :] * np.tile(H, (2, 1)).T[None]).reshape(-1, N_FACTORS)
