"""`Ccdcgan`, the GAN of crystal graphs as a Keras model. Its `train_step` is the algorithm. It chooses no network, data or number of steps.

Long et al., npj Comput. Mater. 7, 66 (2021), https://doi.org/10.1038/s41524-021-00526-4: the generator's loss is the adversarial loss plus
0.1 times the mean of exp(predicted formation energy). The constraint that predicts this energy is frozen.

This module imports keras and TensorFlow. `ccdcgan_al.models` imports the class at its first use.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, Literal, Self

import keras
import tensorflow as tf

from ccdcgan_al.models.constraint import FormationEnergyConstraint, HullConstraint, LearnedConstraint
from ccdcgan_al.models.gan_networks import CONSTRAINT_WEIGHT, Constraint

CONSTRAINED_GRAPHS = 16  # graphs of a batch; the constraint's ensemble costs more than the rest of the step
PENALISED_GRAPHS = 16  # graphs of a batch
Objective = Literal["hinge", "cross_entropy"]
_PACKAGE = "ccdcgan_al"
_SEED_STATE = "random_state_"

OBJECTIVES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "hinge": (lambda logit: tf.nn.relu(1 - logit), lambda logit: tf.nn.relu(1 + logit), lambda logit: -logit),
    "cross_entropy": (lambda logit: tf.nn.softplus(-logit), tf.nn.softplus, lambda logit: tf.nn.softplus(-logit)),
}
"""Losses of the discriminator on real logits, of the discriminator on generated logits, and of the generator. ``hinge``: Lim and Ye,
arXiv:1705.02894. ``cross_entropy``: Goodfellow et al., arXiv:1406.2661, with the generator's non-saturating loss."""

for _kind in (FormationEnergyConstraint, HullConstraint):
    keras.saving.register_keras_serializable(_PACKAGE)(_kind)


@keras.saving.register_keras_serializable(_PACKAGE)
class Ccdcgan(keras.Model):
    """A GAN of crystal graphs, with a constraint in the generator's loss (CCDCGAN) or without one (DCGAN).

    The model is called on latent points z and returns crystal graphs. `fit` takes real crystal graphs, float (n, side, side, 1) with entries in
    (-1, 1), as an array or as a `tf.data.Dataset` of batches. It takes no targets and no sample weights. The losses in its logs are those of
    the last batch of an epoch: ``discriminator_loss``, ``adversarial_loss`` and ``constraint_loss``.

    The state includes both optimisers, the number of noise draws and the random states of dropout layers. So the weights files of
    `keras.callbacks.BackupAndRestore` and `ModelCheckpoint` continue a training bit for bit if the data does.

    Parameters
    ----------
    generator : keras.Model
        z (n, z_size) -> crystal graphs (n, side, side, 1).
    discriminator : keras.Model
        Crystal graphs (n, side, side, 1) -> logits (n, 1), positive for real graphs.
    constraint : callable, optional
        Differentiable: tensor of graphs (n, side, side, 1) -> predicted quantities (n, 1), in eV/atom for energies. It is not trained.
        To save the model, it has to be a `FormationEnergyConstraint`, a `HullConstraint`, or an object that Keras can serialize.
    constraint_weight : float
        Weight of ``mean(exp(constraint))`` in the generator's loss. 0.1 is the published value.
    seed : int
        Random seed of the noise.
    name : str
        Name of the model.

    References
    ----------
    Long et al., npj Comput. Mater. 7, 66 (2021), https://doi.org/10.1038/s41524-021-00526-4
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        constraint: Constraint | None = None,
        constraint_weight: float = CONSTRAINT_WEIGHT,
        seed: int = 0,
        name: str = "ccdcgan",
    ) -> None:
        super().__init__(name=name)
        self.generator = generator
        self.discriminator = discriminator
        self.constraint = constraint
        self.constraint_weight = constraint_weight
        self.seed = seed
        self.noise_drawn = self.add_weight(shape=(), dtype="int32", trainable=False, name="noise_drawn")
        self.built = True  # both networks are built

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer | str | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | str | None = None,
        objective: Objective = "hinge",
        r1_weight: float = 1.0,
        **options: Any,
    ) -> None:
        """Set the optimisers and the losses.

        Parameters
        ----------
        generator_optimizer, discriminator_optimizer : keras.optimizers.Optimizer or str, optional
            Two different optimisers. None means Adam with a learning rate of 1e-3 and beta_1 of 0.5. If the generator's optimiser has
            ``use_ema=True``, the generator has the averaged weights at the end of `fit`.
        objective : {"hinge", "cross_entropy"}
            Adversarial losses. ``cross_entropy`` is the published choice.
        r1_weight : float
            Weight of the gradient penalty on real graphs, R1 of Mescheder et al., https://arxiv.org/abs/1801.04406. 0 means none, as published.
        **options : Any
            Options of `keras.Model.compile`, such as `steps_per_execution` or `run_eagerly`.

        Raises
        ------
        ValueError
            If the objective is unknown, or if one optimiser is given twice.
        """
        if objective not in OBJECTIVES:
            raise ValueError(f"the objective is one of {', '.join(OBJECTIVES)}; got {objective!r}")
        if (
            isinstance(generator_optimizer, keras.optimizers.Optimizer)
            and generator_optimizer is discriminator_optimizer
        ):
            raise ValueError("generator and discriminator need an optimiser each; got one for both")
        super().compile(optimizer=None, **options)
        self.generator_optimizer = _built(generator_optimizer, self.generator)
        self.discriminator_optimizer = _built(discriminator_optimizer, self.discriminator)
        self.objective = objective
        self.r1_weight = r1_weight
        self.compile_options = options
        self.real_loss, self.fake_loss, self.fooling_loss = OBJECTIVES[objective]

    def fit(self, x: Any = None, *, callbacks: Any = None, **options: Any) -> keras.callbacks.History:
        """Train on crystal graphs, see `keras.Model.fit`.

        If the generator's optimiser averages, the averaged weights replace the generator's at the end of the training. Other callbacks run
        afterwards.

        Parameters
        ----------
        x : numpy.ndarray or tf.data.Dataset
            Crystal graphs (n, side, side, 1), or batches of them.
        callbacks : list of keras.callbacks.Callback, optional
            Callbacks of Keras, or `DiversityMonitor` and `TrainingCheckpoint`.
        **options : Any
            Options of `keras.Model.fit`.

        Returns
        -------
        keras.callbacks.History
            The losses of each epoch.
        """
        averaging = keras.callbacks.LambdaCallback(on_train_end=lambda _logs: self._use_averaged_weights())
        return super().fit(x, callbacks=[averaging, *keras.tree.flatten(callbacks or [])], **options)

    def call(self, z: Any, training: bool = False) -> Any:
        """Return the crystal graphs (n, side, side, 1) of latent points z (n, z_size)."""
        return self.generator(z, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Do one step of the discriminator, then one of the generator.

        Parameters
        ----------
        data : tf.Tensor or tuple of tf.Tensor
            Real graphs (batch, side, side, 1).

        Returns
        -------
        dict of str to tf.Tensor
            The losses of this batch, scalars.
        """
        real, targets, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if targets is not None or sample_weight is not None:
            raise ValueError("Ccdcgan learns from graphs alone; got targets or sample weights, too")
        z = self.noise(tf.shape(real)[0])
        with tf.GradientTape() as tape:
            loss_d = tf.reduce_mean(self.real_loss(self.discriminator(real, training=True)))
            loss_d += tf.reduce_mean(
                self.fake_loss(self.discriminator(self.generator(z, training=True), training=True))
            )
            if self.r1_weight:
                loss_d += self.r1_weight / 2 * self.squared_gradient(real[:PENALISED_GRAPHS])
        weights = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(loss_d, weights), weights)

        z = self.noise(tf.shape(real)[0])
        with tf.GradientTape() as tape:
            fake = self.generator(z, training=True)
            loss_g = tf.reduce_mean(self.fooling_loss(self.discriminator(fake, training=True)))
            loss_e = tf.zeros(())
            if self.constraint is not None:
                loss_e = tf.reduce_mean(tf.exp(self.constraint(fake[:CONSTRAINED_GRAPHS])))
            total = loss_g + self.constraint_weight * loss_e
        weights = self.generator.trainable_variables
        self.generator_optimizer.apply(tape.gradient(total, weights), weights)
        return {"discriminator_loss": loss_d, "adversarial_loss": loss_g, "constraint_loss": loss_e}

    def noise(self, count: Any) -> Any:
        """Draw normal numbers (count, z_size). They depend only on the seed and on the number of earlier draws."""
        drawn = self.noise_drawn.assign_add(1)
        size = self.generator.input_shape[-1]
        return tf.random.stateless_normal((count, size), seed=tf.stack([self.seed, drawn]))

    def squared_gradient(self, real: Any) -> Any:
        """Return the mean squared norm of the logit's gradient at real graphs (n, side, side, 1): R1, https://arxiv.org/abs/1801.04406."""
        with tf.GradientTape() as tape:
            tape.watch(real)
            logit = self.discriminator(real, training=True)
        return tf.reduce_mean(tf.reduce_sum(tape.gradient(logit, real) ** 2, axis=(1, 2, 3)))

    @property
    def steps_done(self) -> int:
        """Number of batches that the networks have learned from."""
        return int(self.discriminator_optimizer.iterations)

    @property
    def training_state(self) -> list[keras.Variable]:
        """All variables of a training: networks, random states, noise counter, both optimisers."""
        return [*self.variables, *self.generator_optimizer.variables, *self.discriminator_optimizer.variables]

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Write the noise counter and the random states of dropout layers, which Keras does not write into its weights files."""
        super().save_own_variables(store)
        for i, state in enumerate(self._random_states()):
            store[f"{_SEED_STATE}{i}"] = state.numpy()

    def load_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Read the variables that `save_own_variables` wrote."""
        super().load_own_variables({key: store[key] for key in store.keys() if not key.startswith(_SEED_STATE)})  # noqa: SIM118  h5py
        for i, state in enumerate(self._random_states()):
            state.assign(store[f"{_SEED_STATE}{i}"])

    def save_assets(self, inner_path: str) -> None:
        """Write a learned constraint into the folder `inner_path` of a ``.keras`` file."""
        if isinstance(self.constraint, LearnedConstraint):
            (Path(inner_path) / "constraint.zip").write_bytes(self.constraint.to_bytes())

    def load_assets(self, inner_path: str) -> None:
        """Read the constraint that `save_assets` wrote."""
        if isinstance(self.constraint, LearnedConstraint):
            self.constraint = type(self.constraint).from_bytes((Path(inner_path) / "constraint.zip").read_bytes())

    def get_config(self) -> dict[str, Any]:
        """Return networks, constraint and numbers, from which `from_config` makes an untrained copy."""
        parts = {"generator": self.generator, "discriminator": self.discriminator, "constraint": self.constraint}
        numbers = {"constraint_weight": self.constraint_weight, "seed": self.seed, "name": self.name}
        return {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()} | numbers

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Return an untrained model from the result of `get_config`."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("generator", "discriminator", "constraint")
        }
        return cls(**{**config, **parts})

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile`, serialized."""
        optimizers = {
            "generator_optimizer": keras.optimizers.serialize(self.generator_optimizer),
            "discriminator_optimizer": keras.optimizers.serialize(self.discriminator_optimizer),
        }
        return optimizers | {"objective": self.objective, "r1_weight": self.r1_weight} | self.compile_options

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with the arguments of `get_compile_config`."""
        names = ("generator_optimizer", "discriminator_optimizer")
        self.compile(**{**config, **{name: keras.optimizers.deserialize(config[name]) for name in names}})

    def _random_states(self) -> list[keras.Variable]:
        """Return the states of the networks' seed generators."""
        found = []
        for network in (self.generator, self.discriminator):
            weights = {id(weight) for weight in network.weights}
            found += [variable for variable in network.variables if id(variable) not in weights]
        return found

    def _use_averaged_weights(self) -> None:
        if self.generator_optimizer.use_ema:
            self.generator_optimizer.finalize_variable_values(self.generator.trainable_variables)


def _built(optimizer: keras.optimizers.Optimizer | str | None, network: keras.Model) -> keras.optimizers.Optimizer:
    """Return an optimiser that has its variables for a network. None means the default Adam."""
    found = keras.optimizers.get(optimizer) or keras.optimizers.Adam(1e-3, beta_1=0.5)
    found.build(network.trainable_variables)
    return found
