"""Encode a lattice as a latent of the `fast` codec, and decode it. It knows no sites.

The latent repeats six numbers, so that the noise of a generated graph averages out.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from pymatgen.core import Lattice

from ccdcgan_al.codec.graph import LATTICE_LATENT_SIZE
from ccdcgan_al.types import FloatArray

MIN_LENGTH, MAX_CODEC_LENGTH = (
    1.6,
    11.0,
)  # Å; these map to -1 and 1. The published limit is 10 Å: the rest is margin for noise
MAX_COSINE = 0.6  # maps to 1; reduced cells have cosines within +-0.5
LATENT_COPIES = LATTICE_LATENT_SIZE // 6
_CENTRE = math.log(MIN_LENGTH * MAX_CODEC_LENGTH) / 2
_HALF = math.log(MAX_CODEC_LENGTH / MIN_LENGTH) / 2


def lattice_latent(lattice: Lattice) -> FloatArray:
    """Return the latent (25,), float64, of a reduced lattice: four copies of its log lengths and cosines, scaled to [-1, 1], and a zero."""
    lengths = (np.log(lattice.abc) - _CENTRE) / _HALF
    cosines = np.cos(np.radians(lattice.angles)) / MAX_COSINE
    latent = np.zeros(LATTICE_LATENT_SIZE)
    latent[: 6 * LATENT_COPIES] = np.tile(np.concatenate([lengths, cosines]), LATENT_COPIES)
    return latent


def lengths_from_latent(values: Any, exp: Callable[[Any], Any] = np.exp) -> Any:
    """Return the lengths (Å) for the first three values of a latent: an array, or a tensor with its own `exp`, of any shape."""
    return exp(values * _HALF + _CENTRE)


def lattice_from_latent(latent: FloatArray) -> Lattice | None:
    """Return the lattice of a latent (25,), or None if its angles give no cell or its lengths are far outside the limits."""
    mean = np.asarray(latent, dtype=float)[: 6 * LATENT_COPIES].reshape(LATENT_COPIES, 6).mean(axis=0)
    cosines = mean[3:] * MAX_COSINE
    if np.abs(cosines).max() >= 1 or np.abs(mean[:3]).max() > 2:  # noqa: PLR2004  0.6 to 29 Å
        return None
    lengths = lengths_from_latent(mean[:3])
    gram_determinant = 1 - (cosines**2).sum() + 2 * cosines.prod()
    if gram_determinant < 0.05:  # noqa: PLR2004  flatter than any reduced cell, whose determinant is >= 0.5
        return None
    return Lattice.from_parameters(*lengths, *np.degrees(np.arccos(cosines)))
