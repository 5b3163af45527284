"""Search in the generator's latent space: gradient descent on z through generator, constraint and discriminator. It trains nothing."""

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
    """How z is moved.

    Attributes
    ----------
    steps : int
        Steps of Adam (Kingma and Ba, https://arxiv.org/abs/1412.6980).
    learning_rate : float
        Of Adam, in units of z. Each entry of z is a normal number at the start.
    realism : float
        Weight of the discriminator's verdict beside the constraint's quantity (eV/atom for one unit of the discriminator's logit).
    batch_size : int
        Latent points moved at once.
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

    Normal numbers in 200 dimensions lie near one sphere, and the generator has seen no z off it; without that the length of z would grow and
    leave what was learnt.

    Parameters
    ----------
    gan : GraphGenerator
        Trained. Its generator and its discriminator do not change.
    constraint : Constraint
        Differentiable, graphs (n, side, side, 1) -> (n, 1), the lower the better.
    z : numpy.ndarray
        Latent points, float (n, 200).
    settings : LatentSettings, optional
        How the points are moved.

    Returns
    -------
    numpy.ndarray
        The moved points, float32 (n, 200).
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
                # a sum, so that what happens to one z does not depend on the others of its batch
                loss = tf.reduce_sum(constraint(graphs)) + chosen.realism * tf.reduce_sum(tf.nn.relu(1 - verdict))
            slope = tape.gradient(loss, points)
            optimizer.apply([tf.where(tf.math.is_finite(slope), slope, 0.0)], [points])
            points.assign(points * radius / tf.norm(points, axis=1, keepdims=True))

    moved = []
    for first in range(0, len(z), size):
        part = z[first : first + size]
        points.assign(np.resize(part, points.shape))  # a short last batch is filled up with its own rows
        for variable, value in zip(optimizer.variables, unused, strict=True):
            variable.assign(value)
        descend_batch()
        moved.append(points.numpy()[: len(part)])
    return np.concatenate(moved)
