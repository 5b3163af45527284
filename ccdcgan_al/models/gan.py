"""The generator: a DCGAN of crystal graphs whose `train_step` is the algorithm, with the constraint back-propagated into it or not.

Long et al., npj Comput. Mater. 7, 66 (2021): z of 200 normal numbers, Adam 2e-4 with beta1 0.5, discriminator dropout 0.25, generator loss =
adversarial + 0.1 * mean(exp(predicted formation energy)), the constraint frozen. Batches and noise are functions of the seed and the step
alone, so a training that was cut off goes on from its checkpoint bit for bit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.models import runtime
from ccdcgan_al.models.checkpoint import Checkpoint, scalar_log
from ccdcgan_al.models.diversity import measure_diversity
from ccdcgan_al.models.gan_networks import (
    Z_SIZE,
    build_dense_discriminator,
    build_dense_generator,
    build_published_discriminator,
    build_published_generator,
)

if TYPE_CHECKING:
    import keras

CONSTRAINT_WEIGHT = 0.1  # Long et al. 2021
CONSTRAINED = (
    16  # graphs of a batch on which the constraint is averaged; its ensemble costs more than the rest of the step
)
SEGMENT = 500  # steps between two looks at the training: log, diversity, checkpoint
STEPS_PER_GRAPH = 40
"""Of 300 graphs 84 % decoded after 63 steps a training graph (63 of them), and of 152: 55 % after 26, 81 % after 53, 93 % after 105; what was novel
among them was 13, 16 and 13 % of the draws."""
FEWEST_STEPS, MOST_STEPS = 4000, 10000
LOOKED_AT = 256  # graphs drawn for a look
Constraint = Callable[[Any], Any]
"""Graphs (n, side, side, 1) as a tensor -> predicted quantities (n, 1), differentiable: `FormationEnergyConstraint` or one's own."""


@dataclass(frozen=True)
class GanSettings:
    """How the GAN is trained.

    The defaults learn from some tens of structures in half a minute on one core (`for_graphs`: more steps for more of them); `published` is
    the setting of the paper.

    Attributes
    ----------
    networks : ``dense`` (residual layers on the whole graph) or ``published`` (the convolutional DCGAN)
    objective : ``hinge`` or ``cross_entropy`` (published)
    r1_weight : weight of the gradient penalty on real graphs (Mescheder et al., ICML 2018, arXiv 1801.04406); 0 for none (published)
    steps : batches seen by generator and discriminator
    batch_size : graphs a batch
    width : units of a dense layer, or filters of the widest convolution
    learning_rate, beta1 : of both Adam optimisers
    averaging : decay of the exponential moving average of the generator's weights, which is the one that generates; 0 for none (published)
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
        """Return the default setting with the steps that `count` training graphs want."""
        return cls(steps=SEGMENT * round(min(max(STEPS_PER_GRAPH * count, FEWEST_STEPS), MOST_STEPS) / SEGMENT))

    @classmethod
    def published(cls, steps: int = 4000) -> GanSettings:
        """Return the setting of Long et al. 2021: DCGAN, cross entropy, batches of 128, Adam 2e-4 with beta1 0.5."""
        return cls("published", "cross_entropy", 0.0, steps, 128, 128, 2e-4, 0.5, 0.0)


@functools.cache
def gan_class() -> type[keras.Model]:
    """Return the class `Ccdcgan`; it is made at the first call, so that importing this module needs no keras."""
    import keras
    import tensorflow as tf

    class Ccdcgan(keras.Model):
        """A DCGAN with a constraint; networks are passed in, `train_step` is the algorithm and only that."""

        def __init__(
            self,
            generator: keras.Model,
            discriminator: keras.Model,
            constraint: Constraint | None,
            constraint_weight: float,
            seed: int,
        ) -> None:
            super().__init__(name="ccdcgan")
            self.generator = generator
            self.discriminator = discriminator
            self.constraint = constraint
            self.constraint_weight = constraint_weight
            self.seed = seed
            self.noise_drawn = self.add_weight(shape=(), dtype="int32", trainable=False, name="noise_drawn")

        def compile(
            self,
            generator_optimizer: keras.optimizers.Optimizer,
            discriminator_optimizer: keras.optimizers.Optimizer,
            objective: str,
            r1_weight: float,
            steps_per_execution: int,
        ) -> None:
            """Set the optimisers, the adversarial objective and the weight of the gradient penalty."""
            super().compile(steps_per_execution=steps_per_execution)
            self.generator_optimizer = generator_optimizer
            self.discriminator_optimizer = discriminator_optimizer
            self.r1_weight = r1_weight
            self.real_loss, self.fake_loss, self.fooling_loss = OBJECTIVES[objective]

        def train_step(self, real: Any) -> dict[str, Any]:
            """One step of the discriminator, then one of the generator, on real graphs (batch, side, side, 1)."""
            z = self.noise(tf.shape(real)[0])
            with tf.GradientTape() as tape:
                loss_d = tf.reduce_mean(self.real_loss(self.discriminator(real, training=True)))
                loss_d += tf.reduce_mean(
                    self.fake_loss(self.discriminator(self.generator(z, training=True), training=True))
                )
                if self.r1_weight:
                    loss_d += self.r1_weight / 2 * self.squared_gradient(real[:16])
            weights = self.discriminator.trainable_variables
            self.discriminator_optimizer.apply(tape.gradient(loss_d, weights), weights)

            z = self.noise(tf.shape(real)[0])
            with tf.GradientTape() as tape:
                fake = self.generator(z, training=True)
                loss_g = tf.reduce_mean(self.fooling_loss(self.discriminator(fake, training=True)))
                loss_e = tf.zeros(())
                if self.constraint is not None:
                    loss_e = tf.reduce_mean(tf.exp(self.constraint(fake[:CONSTRAINED])))
                total = loss_g + self.constraint_weight * loss_e
            weights = self.generator.trainable_variables
            self.generator_optimizer.apply(tape.gradient(total, weights), weights)
            return {"discriminator_loss": loss_d, "adversarial_loss": loss_g, "constraint_loss": loss_e}

        def noise(self, count: Any) -> Any:
            """Draw normal numbers (count, 200), a function of the seed and of how often noise was drawn."""
            drawn = self.noise_drawn.assign_add(1)
            return tf.random.stateless_normal((count, Z_SIZE), seed=tf.stack([self.seed, drawn]))

        def squared_gradient(self, real: Any) -> Any:
            """Mean squared norm of the logit's gradient at real graphs (R1)."""
            with tf.GradientTape() as tape:
                tape.watch(real)
                logit = self.discriminator(real, training=True)
            return tf.reduce_mean(tf.reduce_sum(tape.gradient(logit, real) ** 2, axis=(1, 2, 3)))

    softplus, relu = tf.nn.softplus, tf.nn.relu
    OBJECTIVES = {  # loss of the discriminator on real logits, on generated ones, and of the generator
        "hinge": (lambda d: relu(1 - d), lambda d: relu(1 + d), lambda d: -d),
        "cross_entropy": (lambda d: softplus(-d), softplus, lambda d: softplus(-d)),
    }
    return Ccdcgan


class GraphGenerator:
    """Trains a GAN on crystal graphs and draws new ones.

    Parameters
    ----------
    side : side of the crystal graphs
    settings : how it is trained

    Attributes
    ----------
    losses : the last segment's mean losses, by name
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
        shares: NDArray[np.floating] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Train on graphs (n, side, side, 1); with a constraint this is CCDCGAN, without one a DCGAN.

        Parameters
        ----------
        graphs : float (n, side, side, 1)
        seed : random seed of batches and noise
        constraint : see `Constraint`; its networks stay as they are
        constraint_weight : of mean(exp(constraint)) in the generator's loss
        shares : (n,) probability of each graph to be drawn into a batch, in all 1; None: passes over all graphs without replacement (published)
        folder : where to keep a checkpoint, from which the same training goes on bit for bit after it was cut off, and TensorBoard's log;
            the checkpoint goes when the training is done. None: neither

        Raises
        ------
        ValueError : no graphs, or of another shape; shares that are no probabilities of these graphs
        """
        if shares is not None and (
            shares.shape != (len(graphs),) or shares.min() < 0 or not math.isclose(shares.sum(), 1, abs_tol=1e-6)
        ):
            raise ValueError(
                f"shares want one probability a graph, ({len(graphs)},), in all 1; got {shares.shape}, in all {shares.sum()}"
            )
        if graphs.shape[1:] != (self.side, self.side, 1) or len(graphs) == 0:
            raise ValueError(f"the GAN wants graphs of shape (n, {self.side}, {self.side}, 1), got {graphs.shape}")
        import keras

        chosen = self.settings
        graphs = graphs.astype(np.float32)
        adam = functools.partial(keras.optimizers.Adam, chosen.learning_rate, beta_1=chosen.beta1)
        averaged = adam(use_ema=chosen.averaging > 0, ema_momentum=chosen.averaging or 0.99)
        other = adam()
        model = gan_class()(self.generator, self.discriminator, constraint, constraint_weight, seed)
        averaged.build(self.generator.trainable_variables)
        other.build(self.discriminator.trainable_variables)
        segment = _segment(chosen.steps)
        model.compile(averaged, other, chosen.objective, chosen.r1_weight, math.gcd(segment, 50))

        name = _fingerprint(graphs, seed, chosen, constraint, constraint_weight, shares)
        state = {
            "generator": self.generator.variables,
            "discriminator": self.discriminator.variables,
            "generator_optimizer": averaged.variables,
            "discriminator_optimizer": other.variables,
            "noise": [model.noise_drawn],
        }
        checkpoint = Checkpoint(folder / f"gan-{name}.npz" if folder else None, state)
        done = checkpoint.restore()

        def look(step: int, losses: dict[str, float]) -> dict[str, float]:
            """Measure the raw generator at the end of a segment, and keep the state of the training."""
            drawn = self.draw(LOOKED_AT, seed)
            if step < chosen.steps:
                checkpoint.save(step)
            return {**losses, **asdict(measure_diversity(drawn, graphs))}

        with scalar_log(folder / f"log-{name}" if folder else None) as log:
            watch = keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: log((epoch + 1) * segment, look((epoch + 1) * segment, logs))
            )
            history = model.fit(
                _batches(graphs, seed, chosen, done, shares),
                steps_per_epoch=segment,
                initial_epoch=done // segment,
                epochs=chosen.steps // segment,
                callbacks=[watch] if folder else [],
                verbose=0,
            )
        if chosen.averaging > 0:
            averaged.finalize_variable_values(self.generator.trainable_variables)
        self.losses = {name: float(values[-1]) for name, values in history.history.items()}
        checkpoint.remove()

    def latents(self, count: int, seed: int) -> NDArray[np.float32]:
        """Return the z from which `draw` makes its graphs, normal numbers, float32 (count, 200)."""
        return np.random.default_rng(seed).standard_normal((count, Z_SIZE)).astype(np.float32)

    def graphs_of(self, z: NDArray[np.floating]) -> NDArray[np.float32]:
        """Crystal graphs of z (n, 200), float32 (n, side, side, 1)."""
        return self.generator.predict(z, verbose=0, batch_size=256)

    def draw(self, count: int, seed: int) -> NDArray[np.float32]:
        """Draw `count` crystal graphs, float32 (count, side, side, 1)."""
        return self.graphs_of(self.latents(count, seed))

    def to_bytes(self) -> bytes:
        """Return the generator's weights."""
        return runtime.pack_weights(self.generator)


def _segment(steps: int) -> int:
    """Return the largest divisor of `steps` up to `SEGMENT`; all of them where only tiny ones divide."""
    largest = next(n for n in range(min(SEGMENT, steps), 0, -1) if steps % n == 0)
    return largest if largest >= min(SEGMENT, steps) // 10 else steps


def _batches(
    graphs: NDArray[np.float32], seed: int, settings: GanSettings, done: int, shares: NDArray[np.floating] | None
) -> Any:
    """Return the batches from step `done` on, a function of the seed and the shares: passes without replacement, end to end, or drawn by share."""
    import tensorflow as tf

    wanted = settings.steps * settings.batch_size
    passes = -(-wanted // len(graphs))
    rng = np.random.default_rng(seed)
    if shares is None:
        order = np.concatenate([rng.permutation(len(graphs)) for _ in range(passes)])[:wanted].astype(np.int32)
    else:
        order = rng.choice(len(graphs), wanted, p=shares / shares.sum()).astype(np.int32)
    rows = tf.data.Dataset.from_tensor_slices(order.reshape(settings.steps, settings.batch_size)[done:])
    table = tf.constant(graphs)
    return rows.map(lambda row: tf.gather(table, row), num_parallel_calls=1, deterministic=True).prefetch(2)


def _fingerprint(
    graphs: NDArray[np.float32],
    seed: int,
    settings: GanSettings,
    constraint: Constraint | None,
    weight: float,
    shares: NDArray[np.floating] | None,
) -> str:
    """Return 16 hexadecimal digits that are the same for the same training."""
    packed = getattr(constraint, "to_bytes", None)
    parts = [
        graphs.tobytes(),
        json.dumps([list(graphs.shape), seed, asdict(settings), weight]).encode(),
        packed() if packed is not None else repr(constraint).encode(),
        b"" if shares is None else shares.astype(np.float64).tobytes(),
    ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]
