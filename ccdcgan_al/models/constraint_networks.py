"""The networks of a constraint, and the training of an ensemble. They know no folds and no families, which are given as weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.models.pair_correlations import RADII, n_channels, n_features
from ccdcgan_al.types import FloatArray

if TYPE_CHECKING:
    import keras


def build_image_network(side: int, filters: int, name: str) -> keras.Model:
    """Build a 2-D CNN on the crystal graph, as published (Long et al. 2021).

    Parameters
    ----------
    side : int
        Side of the crystal graphs.
    filters : int
        Number of filters of the first convolution. The second has twice as many.
    name : str
        Name of the network.

    Returns
    -------
    keras.Model
        Crystal graphs (n, side, side, 1) -> (n, 1), in standard deviations of the training values.
    """
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Conv2D(filters, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(2 * filters, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(128, activation="gelu"),
            layers.Dense(1),
        ],
        name=name,
    )


def build_pair_network(n_elements: int, filters: int, name: str) -> keras.Model:
    """Build a 1-D CNN along the distance on standardised pair correlations, with a channel for each pair of elements.

    Parameters
    ----------
    n_elements : int
        Number of elements in the pair correlations.
    filters : int
        Number of filters of the first convolution. The second has twice as many.
    name : str
        Name of the network.

    Returns
    -------
    keras.Model
        Rows of `pair_correlations`, standardised, (n, n_features) -> (n, 1), in standard deviations of the training values.
    """
    import keras
    from keras import layers

    whole = keras.Input((n_features(n_elements),))
    channels = n_channels(n_elements)
    curves = layers.Reshape((channels, len(RADII)))(whole[:, n_elements + 1 :])
    x = layers.Permute((2, 1))(curves)
    x = layers.Conv1D(filters, 3, padding="same", activation="gelu")(x)
    x = layers.Conv1D(2 * filters, 3, strides=2, padding="same", activation="gelu")(x)
    x = layers.Concatenate()([layers.Flatten()(x), whole])
    x = layers.Dropout(0.1)(layers.Dense(128, activation="gelu")(x))
    x = layers.Dropout(0.1)(layers.Dense(64, activation="gelu")(x))
    return keras.Model(whole, layers.Dense(1)(x), name=name)


def train_ensemble(
    networks: Sequence[keras.Model],
    inputs: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
    validation: tuple[FloatArray, FloatArray, NDArray[np.bool_]],
    *,
    epochs: int,
    patience: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
) -> list[int]:
    """Train all networks at once on the same batches, with separate weights of the rows. Each keeps the weights of its best epoch.

    Parameters
    ----------
    networks : sequence of keras.Model
        Networks with the same architecture, inputs (n, ...) -> (n, 1).
    inputs : numpy.ndarray
        Inputs, float (rows, ...).
    targets : numpy.ndarray
        Targets, float (rows,), in standard deviations of the training values.
    weights : numpy.ndarray
        Weights, float (networks, rows). The weight is 0 if a network must not learn the row.
    validation : tuple of numpy.ndarray
        Inputs (n, ...), targets (n,), and the rows used to stop each network, bool (networks, n).
    epochs, patience, batch_size : int
        See `ConstraintSettings`.
    learning_rate, weight_decay : float
        See `ConstraintSettings`.

    Returns
    -------
    list of int
        Best epoch of each network, from 1.

    Notes
    -----
    The optimizer is Keras' AdamW, one for all networks. Keras' `fit` with `EarlyStopping` would train them one after the other.
    """
    import keras
    import tensorflow as tf

    variables = [network.trainable_variables for network in networks]
    everything = [variable for own in variables for variable in own]
    batches = -(-len(inputs) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * batches)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay)
    optimizer.build(everything)
    data = [tf.constant(array, tf.float32) for array in (inputs, targets, weights.T)]
    share = tf.constant(weights.mean(axis=1), tf.float32)
    watched = tf.constant(validation[0], tf.float32)

    @tf.function
    def epoch(order: Any) -> None:
        for number in tf.range(batches):
            rows = order[number * batch_size : (number + 1) * batch_size]
            x, y, w = (tf.gather(part, rows) for part in data)
            with tf.GradientTape() as tape:
                losses = [
                    tf.reduce_mean(w[:, k] * _huber(network(x, training=True)[:, 0] - y)) / share[k]
                    for k, network in enumerate(networks)
                ]
                total = tf.add_n(losses)
            optimizer.apply(tape.gradient(total, everything), everything)

    @tf.function
    def watch() -> Any:
        return tf.stack([network(watched, training=False)[:, 0] for network in networks])

    rng = np.random.default_rng(0)
    best, best_epoch = np.full(len(networks), np.inf), np.zeros(len(networks), dtype=int)
    kept = [[variable.numpy() for variable in own] for own in variables]
    for number in range(1, epochs + 1):
        epoch(tf.constant(rng.permutation(len(inputs)), tf.int32))
        errors = np.abs(watch().numpy() - validation[1])
        scores = [
            float(error[own].mean()) if own.any() else -number for error, own in zip(errors, validation[2], strict=True)
        ]
        for k in np.flatnonzero((np.array(scores) < best) & (number - best_epoch <= patience)):
            best[k], best_epoch[k] = scores[k], number
            kept[k] = [variable.numpy() for variable in variables[k]]
        if (number - best_epoch > patience).all():
            break
    for own, values in zip(variables, kept, strict=True):
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)
    return [int(number) for number in best_epoch]


def _huber(error: Any) -> Any:
    """Return squared errors, linear beyond one standard deviation (Huber, Ann. Math. Stat. 35, 73 (1964), https://doi.org/10.1214/aoms/1177703732)."""
    import tensorflow as tf

    size = tf.abs(error)
    return tf.where(size < 1, 0.5 * size**2, size - 0.5)
