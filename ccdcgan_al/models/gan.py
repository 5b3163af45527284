"""`GraphGenerator`: it chooses networks, batches and number of steps, and draws graphs. The algorithm is in `ccdcgan`.

The published setting is that of Long et al., npj Comput. Mater. 7, 66 (2021), https://doi.org/10.1038/s41524-021-00526-4: z of 200 normal numbers,
Adam 2e-4 with beta1 0.5, discriminator dropout 0.25, generator loss = adversarial + 0.1 * mean(exp(predicted formation energy)).

Batches and noise depend only on the seed and the step, so an interrupted training continues from its checkpoint bit for bit. Here an epoch of
Keras is a segment of the training, not a pass over the graphs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.models import runtime
from ccdcgan_al.models.gan_networks import (
    CONSTRAINT_WEIGHT,
    Constraint,
    build_dense_discriminator,
    build_dense_generator,
    build_published_discriminator,
    build_published_generator,
    latent_points,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from ccdcgan_al.models.ccdcgan import Ccdcgan

SEGMENT = 500  # steps between two measurements of the training: log, diversity, checkpoint; one epoch of Keras
STEPS_PER_GRAPH = 40
"""Shares of 300 drawn graphs that decoded. With 63 training graphs: 84 % after 63 steps per training graph. With 152: 55 % after 26, 81 % after 53,
93 % after 105. The novel ones among the latter were 13, 16 and 13 % of the draws."""
FEWEST_STEPS, MOST_STEPS = 4000, 10000
LOOKED_AT = 256  # number of graphs drawn for a measurement


@dataclass(frozen=True)
class GanSettings:
    """Training settings of the GAN.

    The defaults learn from some tens of structures in half a minute on one core (`for_graphs` gives more steps for more structures). `published` is
    the setting of the paper.

    Attributes
    ----------
    networks : {"dense", "published"}
        ``dense``: residual layers on the whole graph. ``published``: the convolutional DCGAN.
    objective : {"hinge", "cross_entropy"}
        Adversarial losses. ``cross_entropy`` is the published choice.
    r1_weight : float
        Weight of the gradient penalty on real graphs (Mescheder et al., ICML 2018, https://arxiv.org/abs/1801.04406). 0 means none, as published.
    steps : int
        Number of batches on which generator and discriminator are trained.
    batch_size : int
        Number of graphs in a batch.
    width : int
        Number of units of a dense layer, or of filters of the widest convolution.
    learning_rate, beta1 : float
        Settings of both Adam optimisers.
    averaging : float
        Decay of the exponential moving average of the generator's weights. The averaged weights generate. 0 means none, as published.
    """

    networks: Literal["dense", "published"] = "dense"
    objective: Literal["hinge", "cross_entropy"] = "hinge"
    r1_weight: float = 1.0
    steps: int = 4000
    batch_size: int = 32
    width: int = 256
    learning_rate: float = 1e-3
    beta1: float = 0.5
    averaging: float = 0.995

    @classmethod
    def for_graphs(cls, count: int) -> GanSettings:
        """Return the default setting with the number of steps for `count` training graphs."""
        return cls(steps=SEGMENT * round(min(max(STEPS_PER_GRAPH * count, FEWEST_STEPS), MOST_STEPS) / SEGMENT))

    @classmethod
    def published(cls, steps: int = 4000) -> GanSettings:
        """Return the setting of Long et al. 2021: DCGAN, cross entropy, batches of 128, Adam 2e-4 with beta1 0.5."""
        return cls("published", "cross_entropy", 0.0, steps, 128, 128, 2e-4, 0.5, 0.0)


class GraphGenerator:
    """Trains a GAN on crystal graphs and draws new ones.

    Parameters
    ----------
    side : int
        Side of the crystal graphs.
    settings : GanSettings, optional
        Training settings of the GAN.

    Attributes
    ----------
    generator : keras.Model
        Latent points z (n, 200) -> crystal graphs (n, side, side, 1).
    discriminator : keras.Model
        Crystal graphs (n, side, side, 1) -> logits (n, 1), positive for real graphs.
    losses : dict of str to float
        Losses of the last batch, by name.
    """

    def __init__(self, side: int, settings: GanSettings | None = None) -> None:
        self.side = side
        self.settings = settings or GanSettings()
        dense = self.settings.networks == "dense"
        make_generator = build_dense_generator if dense else build_published_generator
        make_discriminator = build_dense_discriminator if dense else build_published_discriminator
        self.generator = make_generator(side, self.settings.width)
        self.discriminator = make_discriminator(side, self.settings.width)
        self.losses: dict[str, float] = {}

    def fit(
        self,
        graphs: NDArray[np.floating],
        seed: int,
        constraint: Constraint | None = None,
        constraint_weight: float = CONSTRAINT_WEIGHT,
        *,
        sample_weights: NDArray[np.floating] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Train on crystal graphs. With a constraint this is CCDCGAN, without one a DCGAN.

        Parameters
        ----------
        graphs : numpy.ndarray
            Crystal graphs, float (n, side, side, 1).
        seed : int
            Random seed of batches and noise.
        constraint : Constraint, optional
            Constraint. Its networks are not trained here.
        constraint_weight : float
            Weight of mean(exp(constraint)) in the generator's loss.
        sample_weights : numpy.ndarray, optional
            Probability of each graph in a batch, (n,), with a sum of 1. None means passes over all graphs without replacement, as published.
        folder : Path, optional
            Folder of the checkpoint and of TensorBoard's log. If a training is interrupted, the same training continues from the checkpoint bit
            for bit. The checkpoint is deleted at the end of the training. None means that neither is kept.

        Raises
        ------
        ValueError
            If there are no graphs, if graphs have another shape, or if the sample weights are no probabilities of these
            graphs.
        """
        self._check(graphs, sample_weights)
        graphs = graphs.astype(np.float32)
        steps, segment = self.settings.steps, steps_per_segment(self.settings.steps)
        model = self._compiled(seed, constraint, constraint_weight, segment)
        callbacks: list[keras.callbacks.Callback] = []
        if folder is not None:
            name = _fingerprint(graphs, seed, self.settings, constraint, constraint_weight, sample_weights)
            callbacks = _callbacks(model, graphs, seed, folder, name)  # also loads the checkpoint
        done = model.steps_done
        rows = batch_rows(len(graphs), seed, self.settings, sample_weights)[done:]
        history = model.fit(
            batches(graphs, rows),
            steps_per_epoch=segment,
            initial_epoch=done // segment,
            epochs=steps // segment,
            callbacks=callbacks,
            verbose=0,
        )
        self.losses = {name: float(values[-1]) for name, values in history.history.items() if name.endswith("_loss")}

    def _check(self, graphs: NDArray[np.floating], sample_weights: NDArray[np.floating] | None) -> None:
        """Raise ValueError if graphs or sample weights are not valid for `fit`."""
        if graphs.shape[1:] != (self.side, self.side, 1) or len(graphs) == 0:
            raise ValueError(f"the GAN wants graphs of shape (n, {self.side}, {self.side}, 1), got {graphs.shape}")
        if sample_weights is None:
            return
        total = sample_weights.sum()
        if (
            sample_weights.shape != (len(graphs),)
            or sample_weights.min() < 0
            or not math.isclose(total, 1, abs_tol=1e-6)
        ):
            raise ValueError(
                f"the sample weights have to be the probabilities of the graphs, of shape ({len(graphs)},) and with a sum of 1; "
                f"got shape {sample_weights.shape}, sum {total}, least {sample_weights.min()}"
            )

    def _compiled(self, seed: int, constraint: Constraint | None, constraint_weight: float, segment: int) -> Ccdcgan:
        """Return the Keras model of this GAN's networks, compiled with the settings."""
        import keras

        from ccdcgan_al.models.ccdcgan import Ccdcgan

        chosen = self.settings
        adam = functools.partial(keras.optimizers.Adam, chosen.learning_rate, beta_1=chosen.beta1)
        model = Ccdcgan(self.generator, self.discriminator, constraint, constraint_weight, seed)
        model.compile(
            adam(use_ema=chosen.averaging > 0, ema_momentum=chosen.averaging or 0.99),
            adam(),
            chosen.objective,
            chosen.r1_weight,
            steps_per_execution=math.gcd(segment, 50),
        )
        return model

    def latents(self, count: int, seed: int) -> NDArray[np.float32]:
        """Return the latent points from which `draw` makes its graphs: normal numbers, float32 (count, 200)."""
        return latent_points(count, seed)

    def graphs_of(self, z: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the crystal graphs of z (n, 200), float32 (n, side, side, 1)."""
        return self.generator.predict(z, verbose=0, batch_size=256)

    def draw(self, count: int, seed: int) -> NDArray[np.float32]:
        """Draw `count` crystal graphs, float32 (count, side, side, 1)."""
        return self.graphs_of(self.latents(count, seed))

    def to_bytes(self) -> bytes:
        """Return the generator's weights."""
        return runtime.pack_weights(self.generator)


def steps_per_segment(steps: int) -> int:
    """Return the largest divisor of `steps` up to `SEGMENT`. If all divisors are tiny, return `steps`."""
    largest = next(n for n in range(min(SEGMENT, steps), 0, -1) if steps % n == 0)
    return largest if largest >= min(SEGMENT, steps) // 10 else steps


def batch_rows(
    count: int, seed: int, settings: GanSettings, sample_weights: NDArray[np.floating] | None = None
) -> NDArray[np.int32]:
    """Return the graphs of each batch of a training.

    Parameters
    ----------
    count : int
        Number of training graphs.
    seed : int
        Random seed of the order.
    settings : GanSettings
        Settings. The number of steps and the batch size are used.
    sample_weights : numpy.ndarray, optional
        Probability of each graph, (count,). None means passes without replacement, one after the other.

    Returns
    -------
    numpy.ndarray
        Indices, int32 (steps, batch_size).
    """
    wanted = settings.steps * settings.batch_size
    rng = np.random.default_rng(seed)
    if sample_weights is None:
        order = np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])[:wanted]
    else:
        order = rng.choice(count, wanted, p=sample_weights / sample_weights.sum())
    return order.astype(np.int32).reshape(settings.steps, settings.batch_size)


def batches(graphs: NDArray[np.float32], rows: NDArray[np.int32]) -> tf.data.Dataset:
    """Return a data set of batches. Each row of `rows` (steps, batch_size) names the graphs (n, side, side, 1) of one batch."""
    import tensorflow as tf

    table = tf.constant(graphs)
    chosen = tf.data.Dataset.from_tensor_slices(rows)
    return chosen.map(lambda row: tf.gather(table, row), num_parallel_calls=1, deterministic=True).prefetch(2)


def _callbacks(
    model: Ccdcgan, graphs: NDArray[np.float32], seed: int, folder: Path, name: str
) -> list[keras.callbacks.Callback]:
    """Load the checkpoint of the training `name`, if there is one. Return the callbacks for later checkpoints and the log."""
    import keras

    from ccdcgan_al.models.callbacks import DiversityMonitor, TrainingCheckpoint

    checkpoint = TrainingCheckpoint(folder / f"gan-{name}.weights.h5")
    checkpoint.restore(model)
    log = keras.callbacks.TensorBoard(folder / f"log-{name}", write_graph=False)
    return [DiversityMonitor(graphs, LOOKED_AT, seed), log, checkpoint]


def _fingerprint(
    graphs: NDArray[np.float32],
    seed: int,
    settings: GanSettings,
    constraint: Constraint | None,
    weight: float,
    sample_weights: NDArray[np.floating] | None,
) -> str:
    """Return 16 hexadecimal digits that identify a training. The same training has the same digits."""
    packed = getattr(constraint, "to_bytes", None)
    parts = [
        graphs.tobytes(),
        json.dumps([list(graphs.shape), seed, asdict(settings), weight, SEGMENT]).encode(),
        packed() if packed is not None else repr(constraint).encode(),
        b"" if sample_weights is None else sample_weights.astype(np.float64).tobytes(),
    ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]
