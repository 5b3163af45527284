"""Pack latents into a crystal graph, and unpack them. Only this module knows the layout of the 2-D image.

A crystal graph is a square image that is filled row by row. The lattice latent comes first. One sites latent for each element follows, in
the order of the elements. Zeros fill the rest.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.types import FloatArray

LATTICE_LATENT_SIZE = 25  # Long et al. 2021
SITES_LATENT_SIZE = 200  # Long et al. 2021, for each element
MAX_ELEMENTS = 8
PUBLISHED_SIDE = 28  # Long et al. 2021, for binaries


def graph_side(n_elements: int) -> int:
    """Return the side of the crystal graph in pixels.

    The side is a multiple of 4, because the generator doubles the image twice. It is 28 for one to three elements, as published for
    binaries.

    Raises
    ------
    ValueError
        There are fewer than 1 or more than 8 elements.
    """
    if not 1 <= n_elements <= MAX_ELEMENTS:
        raise ValueError(f"got {n_elements} elements: a crystal graph has 1 to 8 elements")
    needed = LATTICE_LATENT_SIZE + n_elements * SITES_LATENT_SIZE
    return max(PUBLISHED_SIDE, 4 * math.ceil(math.sqrt(needed) / 4))


def pack(lattice_latent: FloatArray, sites_latents: FloatArray) -> NDArray[np.float32]:
    """Pack latents into an image.

    Parameters
    ----------
    lattice_latent : ndarray of float, shape (25,)
        Latent of the cell.
    sites_latents : ndarray of float, shape (n_elements, 200)
        Latent of each element's sites.

    Returns
    -------
    ndarray of float32, shape (side, side, 1)
        Crystal graph.
    """
    side = graph_side(len(sites_latents))
    flat = np.zeros(side * side, dtype=np.float32)
    values = np.concatenate([np.ravel(lattice_latent), np.ravel(sites_latents)])
    flat[: len(values)] = values
    return flat.reshape(side, side, 1)


def unpack(graph: FloatArray, n_elements: int) -> tuple[FloatArray, FloatArray]:
    """Unpack a crystal graph into the lattice latent (25,) and the sites latents (n_elements, 200), both float64.

    Raises
    ------
    ValueError
        The image does not have the shape (side, side, 1) of this number of elements.
    """
    side = graph_side(n_elements)
    if np.shape(graph) != (side, side, 1):
        raise ValueError(
            f"got an array of shape {np.shape(graph)}: a crystal graph of {n_elements} elements has shape ({side}, {side}, 1)"
        )
    flat = np.asarray(graph, dtype=float).ravel()
    end = LATTICE_LATENT_SIZE + n_elements * SITES_LATENT_SIZE
    return flat[:LATTICE_LATENT_SIZE], flat[LATTICE_LATENT_SIZE:end].reshape(n_elements, SITES_LATENT_SIZE)
