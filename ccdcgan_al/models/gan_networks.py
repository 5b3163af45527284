"""The networks of a GAN of crystal graphs, and its latent points. They are built here and trained in `ccdcgan`.

``published`` is the DCGAN of Long et al., npj Comput. Mater. 7, 66 (2021), https://doi.org/10.1038/s41524-021-00526-4. ``dense`` is this project's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

Z_SIZE = 200  # Long et al. 2021
CONSTRAINT_WEIGHT = 0.1  # Long et al. 2021
Constraint = Callable[[Any], Any]
"""Differentiable function: tensor of graphs (n, side, side, 1) -> predicted quantities (n, 1). `FormationEnergyConstraint`, or the user's own."""


def latent_points(count: int, seed: int, size: int = Z_SIZE) -> NDArray[np.float32]:
    """Draw latent points z: normal numbers, float32 (count, size). They depend only on the seed."""
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def build_dense_generator(side: int, width: int) -> keras.Model:
    """Build the generator ``dense``: three dense layers with residual connections.

    Parameters
    ----------
    side : int
        Side of the crystal graphs.
    width : int
        Number of units of a layer.

    Returns
    -------
    keras.Model
        z (n, 200) -> crystal graphs (n, side, side, 1) in (-1, 1).
    """
    import keras
    from keras import layers

    z = x = keras.Input((Z_SIZE,))
    for i in range(3):
        y = layers.LeakyReLU(negative_slope=0.2)(layers.LayerNormalization()(layers.Dense(width)(x)))
        x = y if i == 0 else layers.Add()([x, y])
    graph = layers.Reshape((side, side, 1))(layers.Dense(side * side, activation="tanh")(x))
    return keras.Model(z, graph, name="generator")


def build_dense_discriminator(side: int, width: int) -> keras.Model:
    """Build the discriminator ``dense``: three dense layers.

    Parameters
    ----------
    side : int
        Side of the crystal graphs.
    width : int
        Number of units of a layer.

    Returns
    -------
    keras.Model
        Crystal graphs (n, side, side, 1) -> logits (n, 1), positive for real graphs.
    """
    import keras
    from keras import layers

    hidden = [layer for _ in range(3) for layer in (layers.Dense(width), layers.LeakyReLU(negative_slope=0.2))]
    return keras.Sequential(
        [keras.Input((side, side, 1)), layers.Flatten(), *hidden, layers.Dense(1)], name="discriminator"
    )


def build_published_generator(side: int, filters: int) -> keras.Model:
    """Build the generator ``published`` of Long et al. 2021.

    Parameters
    ----------
    side : int
        Side of the crystal graphs, a multiple of 4.
    filters : int
        Number of filters of its convolutions.

    Returns
    -------
    keras.Model
        z (n, 200) -> crystal graphs (n, side, side, 1) in (-1, 1).
    """
    import keras
    from keras import layers

    start = side // 4
    return keras.Sequential(
        [
            keras.Input((Z_SIZE,)),
            layers.Dense(start * start * filters),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Reshape((start, start, filters)),
            layers.Conv2DTranspose(filters, 4, strides=2, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2DTranspose(filters, 4, strides=2, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(1, 7, padding="same", activation="tanh"),
        ],
        name="generator",
    )


def build_published_discriminator(side: int, filters: int) -> keras.Model:
    """Build the discriminator ``published`` of Long et al. 2021.

    Parameters
    ----------
    side : int
        Side of the crystal graphs.
    filters : int
        Number of filters of the second convolution. The first has half as many.

    Returns
    -------
    keras.Model
        Crystal graphs (n, side, side, 1) -> logits (n, 1), positive for real graphs.
    """
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Conv2D(filters // 2, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Dropout(0.25),
            layers.Conv2D(filters, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(1),
        ],
        name="discriminator",
    )
