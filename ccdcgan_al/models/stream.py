"""Crystal graphs drawn and screened by the million. Batches go through generator and constraint in one compiled function, and only the best are kept.

This module decodes nothing and writes nothing to disk. Its memory holds one batch and the kept graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.models.gan_networks import Z_SIZE

if TYPE_CHECKING:
    import keras

    from ccdcgan_al.models.gan import GraphGenerator
    from ccdcgan_al.models.gan_networks import Constraint

Precision = Literal["float32", "bfloat16"]
Screen = Callable[[Any], tuple[Any, Any]]
"""Seed (two integers) -> tensors of graphs (batch_size, side, side, 1) and of the constraint's predictions (batch_size,)."""
BATCH_SIZE = (
    1024  # graphs: large enough for the matrix kernels, small enough for the activations to stay near the cores' caches
)


@dataclass(frozen=True)
class ScreenedBatch:
    """Graphs that were drawn together.

    Attributes
    ----------
    graphs : numpy.ndarray
        Crystal graphs, float32 (n, side, side, 1).
    energies : numpy.ndarray
        Predictions of the constraint, float32 (n,), in eV/atom for the formation energy.
    """

    graphs: NDArray[np.float32]
    energies: NDArray[np.float32]


def screened_batches(screen: Screen, count: int, seed: int) -> Iterator[ScreenedBatch]:
    """Draw and screen `count` graphs, one batch at a time, on all cores.

    Parameters
    ----------
    screen : Screen
        Function from `screening_function`, which sets the batch size.
    count : int
        Total number of graphs.
    seed : int
        Random seed of the noise. The same seed and batch size give the same graphs for any count.

    Yields
    ------
    ScreenedBatch
        Batch. The last one has the remaining graphs.
    """
    import tensorflow as tf

    drawn = number = 0
    while drawn < count:
        graphs, energies = screen(tf.constant([seed, number], tf.int32))
        left = min(len(energies), count - drawn)
        yield ScreenedBatch(graphs.numpy()[:left], energies.numpy()[:left])
        drawn, number = drawn + left, number + 1


def screening_function(
    gan: GraphGenerator, constraint: Constraint, batch_size: int = BATCH_SIZE, precision: Precision = "float32"
) -> Screen:
    """Return a compiled function that draws a batch of graphs and predicts their energies.

    XLA compiles it if there is a GPU. On a CPU, its convolutions take twice as long as TensorFlow's own.

    Parameters
    ----------
    gan : GraphGenerator
        Trained GAN.
    constraint : Constraint
        Function, graphs (n, side, side, 1) -> (n, 1).
    batch_size : int
        Number of graphs in a batch.
    precision : {"float32", "bfloat16"}
        Precision of the generator's products.

    Returns
    -------
    Screen
        Function from a seed (two integers) to graphs (batch_size, side, side, 1) and energies (batch_size,).
    """
    import tensorflow as tf

    generator = gan.generator if precision == "float32" else _in_bfloat16(gan.generator)

    @tf.function(
        input_signature=[tf.TensorSpec((2,), tf.int32)], jit_compile=bool(tf.config.list_physical_devices("GPU"))
    )
    def one(seed: Any) -> tuple[Any, Any]:
        z = tf.random.stateless_normal((batch_size, Z_SIZE), seed=seed)
        graphs = tf.cast(generator(z, training=False), tf.float32)
        return graphs, tf.reshape(constraint(graphs), (batch_size,))

    screen: Screen = one
    return screen


def _in_bfloat16(network: keras.Model) -> keras.Model:
    """Copy a network so that it multiplies in bfloat16 and adds in float32."""
    import keras

    def copy(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})

    copied = keras.models.clone_model(network, clone_function=copy)
    copied.set_weights(network.get_weights())
    return copied


def best_graphs(batches: Iterator[ScreenedBatch], keep: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keep the graphs with the lowest energy of all batches.

    Parameters
    ----------
    batches : iterator of ScreenedBatch
        Batches, see `screened_batches`.
    keep : int
        Number of graphs to keep.

    Returns
    -------
    graphs : numpy.ndarray
        Kept graphs, float32 (keep, side, side, 1), lowest energy first.
    energies : numpy.ndarray
        Their energies, float32 (keep,), in the constraint's unit.

    Raises
    ------
    ValueError
        If there is no batch.
    """
    graphs: NDArray[np.float32] | None = None
    energies: NDArray[np.float32] | None = None
    for batch in batches:
        if graphs is None or energies is None:
            graphs, energies = batch.graphs, batch.energies
        else:
            graphs = np.concatenate([graphs, batch.graphs])
            energies = np.concatenate([energies, batch.energies])
        order = np.argsort(energies, kind="stable")[:keep]
        graphs, energies = graphs[order], energies[order]
    if graphs is None or energies is None:
        raise ValueError("no batch came: nothing was drawn")
    return graphs, energies
