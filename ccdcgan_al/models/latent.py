"""Search in the generator's latent space: gradient descent on z through generator, constraint and discriminator. This module trains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ccdcgan_al.models.gan import GraphGenerator
    from ccdcgan_al.models.gan_networks import Constraint


@dataclass(frozen=True)
class LatentSettings:
    """Settings of the descent of z.

    Attributes
    ----------
    steps : int
        Number of steps of Adam (Kingma and Ba, https://arxiv.org/abs/1412.6980).
    learning_rate : float
        Learning rate of Adam, in units of z. Each entry of z is a normal number at the start.
    realism : float
        Weight of the discriminator's logit relative to the constraint's quantity (eV/atom for one unit of the logit).
    batch_size : int
        Number of latent points moved at once.
    """

    steps: int = 40
    learning_rate: float = 0.03
    realism: float = 0.05
    batch_size: int = 256

    def __post_init__(self) -> None:
        if self.steps < 0 or self.learning_rate <= 0 or self.realism < 0 or self.batch_size < 1:
            raise ValueError(f"a latent search wants steps >= 0, a rate > 0, realism >= 0 and batches, got {self}")


def descend(
    gan: GraphGenerator, constraint: Constraint, z: NDArray[np.floating], settings: LatentSettings | None = None
) -> NDArray[np.float32]:
    """Move each z downhill in ``constraint(G(z)) + realism * relu(1 - D(G(z)))``, on the sphere on which it started.

    Normal numbers in 200 dimensions lie near one sphere, and the generator was trained only there. Without the sphere, the length of z would grow
    and leave the trained region.

    Parameters
    ----------
    gan : GraphGenerator
        Trained GAN. Its generator and its discriminator do not change.
    constraint : Constraint
        Differentiable function, graphs (n, side, side, 1) -> (n, 1). Lower values are better.
    z : numpy.ndarray
        Latent points, float (n, 200).
    settings : LatentSettings, optional
        Settings of the descent.

    Returns
    -------
    numpy.ndarray
        Moved points, float32 (n, 200).
    """
    import keras
    import tensorflow as tf

    if len(z) == 0:
        return z.astype(np.float32)
    chosen = settings or LatentSettings()
    size = min(chosen.batch_size, len(z))
    points = keras.Variable(np.zeros((size, z.shape[1]), dtype=np.float32))
    optimizer = keras.optimizers.Adam(chosen.learning_rate, epsilon=1e-8)
    optimizer.build([points])
    unused = [variable.numpy() for variable in optimizer.variables]

    @tf.function
    def descend_batch() -> None:
        radius = tf.norm(points, axis=1, keepdims=True)
        for _ in tf.range(chosen.steps):
            with tf.GradientTape() as tape:
                graphs = gan.generator(points, training=False)
                verdict = gan.discriminator(graphs, training=False)
                # a sum, so that each z is independent of the others in its batch
                loss = tf.reduce_sum(constraint(graphs)) + chosen.realism * tf.reduce_sum(tf.nn.relu(1 - verdict))
            slope = tape.gradient(loss, points)
            optimizer.apply([tf.where(tf.math.is_finite(slope), slope, 0.0)], [points])
            points.assign(points * radius / tf.norm(points, axis=1, keepdims=True))

    moved = []
    for first in range(0, len(z), size):
        part = z[first : first + size]
        points.assign(np.resize(part, points.shape))  # a short last batch is filled up by repeating its rows
        for variable, value in zip(optimizer.variables, unused, strict=True):
            variable.assign(value)
        descend_batch()
        moved.append(points.numpy()[: len(part)])
    return np.concatenate(moved)
