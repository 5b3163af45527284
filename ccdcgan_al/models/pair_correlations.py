"""Pair correlations of a crystal graph of the codec `fast`, as differentiable TensorFlow operations. Nothing here is trained.

The graph contains log lengths and cosines of the cell and, for each element, the structure factors ``F(h) / n`` and the count (`lattice_latent`,
`structure_factors`). From these follows the number of atoms of one element at a distance r from an atom of another element, with the resolution of
the 89 vectors h. These numbers do not depend on the origin, on the handedness, or on the order and sign of the axes. They hardly depend on the
choice of the reduced cell. So a network need not learn any of this from examples.

Every graph has finite values and gradients here, even if it is no crystal. Angles that form no cell give the flattest allowed cell.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from ccdcgan_al.codec.graph import LATTICE_LATENT_SIZE, SITES_LATENT_SIZE
from ccdcgan_al.codec.lattice_latent import LATENT_COPIES, MAX_COSINE, lengths_from_latent
from ccdcgan_al.codec.structure_factors import MAX_SITES, N_FACTORS, H
from ccdcgan_al.types import FloatArray

RADII: FloatArray = np.linspace(1.6, 7.5, 30)  # Å: from the shortest bond to beyond the third shell
WIDTH = 0.4  # Å, width of the Gaussian that blurs distances; a 7 Å cell's vectors h reach 1 / (2 pi 0.4 Å) and a little more
MIN_DETERMINANT = 0.05  # of the cosines' matrix: `lattice_latent` decodes no flatter cell
MIN_SITES = 0.5  # in a cell, so that densities stay finite
COUNT_STEEPNESS = 3.0  # tanh(3) = 0.995: signs near +-1 count as whole atoms, and the gradient reaches all of them


def n_channels(n_elements: int) -> int:
    """Return the number of pairs of elements, including pairs of the same element."""
    return n_elements * (n_elements + 1) // 2


def n_features(n_elements: int) -> int:
    """Return the length of a row of `pair_correlations`."""
    return n_elements + 1 + n_channels(n_elements) * len(RADII)


def elements_in_use(graphs: FloatArray) -> int:
    """Return the number of elements in graphs (n, side, side, 1). The rest of the image is exactly zero, but an absent element's count is not."""
    values = np.abs(np.reshape(graphs, (len(graphs), -1))).max(axis=0)[LATTICE_LATENT_SIZE:]
    used = np.flatnonzero(values)
    return max(1, int(used.max()) // SITES_LATENT_SIZE + 1 if len(used) else 1)


def pair_correlations(graphs: Any, n_elements: int) -> Any:
    """Return composition, volume and pair correlations of crystal graphs.

    Parameters
    ----------
    graphs : tf.Tensor or numpy.ndarray
        Crystal graphs of the codec `fast`, float32 (n, side, side, 1).
    n_elements : int
        Number of elements whose sites latents are in the graphs.

    Returns
    -------
    tf.Tensor
        float32 (n, n_elements + 1 + pairs * 30): the fractions of the elements, the log of the volume per atom (Å^3), then the curves. Each curve has
        a value (1/Å) at each of `RADII`: the number of atoms of one element per Å at that distance from an atom of the other, averaged over all
        atoms of the cell. The pairs of elements are in the order 11, 12, ..., 22, ...
    """
    import tensorflow as tf

    flat = tf.reshape(graphs, (-1, int(np.prod(graphs.shape[1:]))))
    lattice = tf.reduce_mean(tf.reshape(flat[:, : 6 * LATENT_COPIES], (-1, LATENT_COPIES, 6)), axis=1)
    lengths = lengths_from_latent(tf.clip_by_value(lattice[:, :3], -1.5, 1.5), tf.exp)
    volume, lengths_of_h = _metric(lengths, tf.clip_by_value(lattice[:, 3:], -1.5, 1.5) * MAX_COSINE)

    end = LATTICE_LATENT_SIZE + n_elements * SITES_LATENT_SIZE
    sites = tf.reshape(flat[:, LATTICE_LATENT_SIZE:end], (-1, n_elements, SITES_LATENT_SIZE))
    signs = sites[:, :, N_FACTORS : N_FACTORS + MAX_SITES]
    counts = tf.reduce_sum(0.5 + 0.5 * tf.tanh(COUNT_STEEPNESS * signs) / np.tanh(COUNT_STEEPNESS), axis=2)
    total = tf.maximum(tf.reduce_sum(counts, axis=1, keepdims=True), MIN_SITES)
    real = sites[:, :, : len(H)] * counts[:, :, None]
    imaginary = sites[:, :, len(H) : N_FACTORS] * counts[:, :, None]

    # the density of pairs at a distance r is its Fourier sum over h, averaged over directions: sin(2 pi q r) / (2 pi q r)
    phase = 2 * np.pi * lengths_of_h[:, :, None] * tf.constant(RADII, tf.float32)
    waves = tf.sin(phase) / phase * tf.exp(-2 * (np.pi * WIDTH * lengths_of_h[:, :, None]) ** 2)
    shell = tf.constant(4 * np.pi * RADII, tf.float32)  # without r^2, because far shells would then dominate near ones
    columns = [counts / total, tf.math.log(volume / total)]
    for i, j in combinations_with_replacement(range(n_elements), 2):
        products = real[:, i] * real[:, j] + imaginary[:, i] * imaginary[:, j]
        pairs = 2 * tf.einsum("nh,nhr->nr", products, waves) + (counts[:, i] * counts[:, j])[:, None]
        columns.append(pairs / (volume * total) * shell)
    return tf.concat(columns, axis=1)


def _metric(lengths: Any, cosines: Any) -> tuple[Any, Any]:
    """Return the volume (n, 1) in Å^3 and the lengths (n, 89) in 1/Å of the reciprocal vectors `H`, for cells (n, 3) and (n, 3)."""
    import tensorflow as tf

    alpha, beta, gamma = tf.unstack(cosines, axis=1)
    determinant = 1 - alpha**2 - beta**2 - gamma**2 + 2 * alpha * beta * gamma
    determinant = tf.maximum(determinant, MIN_DETERMINANT)[:, None]
    adjugate = tf.stack(  # of the cosines' matrix: 11, 22, 33, 23, 13, 12
        [
            1 - alpha**2,
            1 - beta**2,
            1 - gamma**2,
            beta * gamma - alpha,
            alpha * gamma - beta,
            alpha * beta - gamma,
        ],
        axis=1,
    )
    a, b, c = tf.unstack(1 / lengths, axis=1)
    inverse = adjugate / determinant * tf.stack([a * a, b * b, c * c, b * c, a * c, a * b], axis=1)
    squared = tf.linalg.matmul(inverse, tf.constant(_quadratic(), tf.float32))
    volume = tf.reduce_prod(lengths, axis=1, keepdims=True) * tf.sqrt(determinant)
    return volume, tf.sqrt(tf.maximum(squared, 1e-4))


@cache
def _quadratic() -> FloatArray:
    """Return the coefficients (6, 89) of |h|^2 in the entries 11, 22, 33, 23, 13, 12 of the reciprocal metric."""
    h, k, m = H.T
    return np.array([h * h, k * k, m * m, 2 * k * m, 2 * h * m, 2 * h * k], dtype=float)
