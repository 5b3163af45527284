"""Latents <-> crystal graph: where each number stands in the 2-D image. The layout is written here and read here, nowhere else.

A crystal graph is the lattice latent followed by one sites latent an element, in the order of the elements, row by row in a square image, padded with
zeros.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.types import FloatArray

LATTICE_LATENT_SIZE = 25  # Long et al. 2021
SITES_LATENT_SIZE = 200  # Long et al. 2021, an element
MAX_ELEMENTS = 8
PUBLISHED_SIDE = 28  # Long et al. 2021, binaries


def graph_side(n_elements: int) -> int:
    """Side of the crystal graph: a multiple of 4 (the generator doubles twice), 28 for one to three elements as published for binaries.

    Raises
    ------
    ValueError
        Fewer than 1 or more than 8 elements.
    """
    if not 1 <= n_elements <= MAX_ELEMENTS:
        raise ValueError(f"a crystal graph holds 1 to 8 elements, got {n_elements}")
    needed = LATTICE_LATENT_SIZE + n_elements * SITES_LATENT_SIZE
    return max(PUBLISHED_SIDE, 4 * math.ceil(math.sqrt(needed) / 4))


def pack(lattice_latent: FloatArray, sites_latents: FloatArray) -> NDArray[np.float32]:
    """Lay latents out as an image.

    Parameters
    ----------
    lattice_latent : ndarray of float, shape (25,)
        See above.
    sites_latents : ndarray of float, shape (n_elements, 200)
        See above.

    Returns
    -------
    ndarray of float32, shape (side, side, 1)
        See above.
    """
    side = graph_side(len(sites_latents))
    flat = np.zeros(side * side, dtype=np.float32)
    values = np.concatenate([np.ravel(lattice_latent), np.ravel(sites_latents)])
    flat[: len(values)] = values
    return flat.reshape(side, side, 1)


def unpack(graph: FloatArray, n_elements: int) -> tuple[FloatArray, FloatArray]:
    """Read what `pack` wrote: lattice latent (25,) and sites latents (n_elements, 200), float64.

    Raises
    ------
    ValueError
        The image is not (side, side, 1) for this number of elements.
    """
    side = graph_side(n_elements)
    if np.shape(graph) != (side, side, 1):
        raise ValueError(f"a crystal graph of {n_elements} elements is ({side}, {side}, 1), got {np.shape(graph)}")
    flat = np.asarray(graph, dtype=float).ravel()
    end = LATTICE_LATENT_SIZE + n_elements * SITES_LATENT_SIZE
    return flat[:LATTICE_LATENT_SIZE], flat[LATTICE_LATENT_SIZE:end].reshape(n_elements, SITES_LATENT_SIZE)
