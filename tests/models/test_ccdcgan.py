"""The Keras class: Keras' own callbacks work with it, and it is saved and loaded as any Keras model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest
import tensorflow as tf

import ccdcgan_al.models
from ccdcgan_al.models import Ccdcgan, ConstraintSettings, DiversityMonitor, FormationEnergyConstraint, runtime
from ccdcgan_al.models.gan_networks import (
    Z_SIZE,
    build_dense_discriminator,
    build_dense_generator,
    build_published_discriminator,
    build_published_generator,
    latent_points,
)
from tests.models.test_gan import real_graphs, scalars

SIDE = 28
BATCH = 5
LOSSES = {"discriminator_loss", "adversarial_loss", "constraint_loss"}


@keras.saving.register_keras_serializable("tests")
def first_rows(graphs: Any) -> Any:
    """Stands in for a constraint: the mean of the first four rows."""
    return tf.reduce_mean(graphs[:, :4], axis=(1, 2))


def gan(constraint: Any = None, *, published: bool = False, averaging: bool = True, **options: Any) -> Ccdcgan:
    """A tiny compiled GAN; the same each time."""
    runtime.start(0)
    build = (build_published_generator, build_published_discriminator) if published else ()
    make_generator, make_discriminator = build or (build_dense_generator, build_dense_discriminator)
    model = Ccdcgan(make_generator(SIDE, 4), make_discriminator(SIDE, 4), constraint, seed=3)
    adam = keras.optimizers.Adam(1e-3, beta_1=0.5, use_ema=averaging, ema_momentum=0.9)
    model.compile(adam, keras.optimizers.Adam(1e-3, beta_1=0.5), **options)
    return model


def passes() -> tf.data.Dataset:
    """Three batches, the same in each epoch."""
    return tf.data.Dataset.from_tensor_slices(np.tile(real_graphs(), (3, 1, 1, 1))).batch(BATCH)


def state(model: Ccdcgan) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in model.training_state]


def assert_same_state(first: Ccdcgan, second: Ccdcgan) -> None:
    for one, other in zip(state(first), state(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_class_comes_without_keras_until_it_is_used() -> None:
    code = (
        "import json, sys, ccdcgan_al.models as models; "
        "print(json.dumps([sorted({'keras', 'tensorflow'} & set(sys.modules)), 'Ccdcgan' in dir(models)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [[], True]
    assert issubclass(Ccdcgan, keras.Model)


def test_every_name_is_there() -> None:
    for name in ccdcgan_al.models.__all__:
        assert getattr(ccdcgan_al.models, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Cdcgan'"):
        _ = ccdcgan_al.models.Cdcgan


def test_fits_an_array_and_a_dataset_alike() -> None:
    array, dataset = gan(first_rows), gan(first_rows)
    from_array = array.fit(np.tile(real_graphs(), (3, 1, 1, 1)), batch_size=BATCH, shuffle=False, verbose=0)
    dataset.fit(passes(), verbose=0)
    assert set(from_array.history) == LOSSES
    for one, other in zip(state(array), state(dataset), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)  # kernels round by where a batch lies in memory
    assert array.steps_done == 3
    z = latent_points(2, seed=0)
    graphs = array.predict(z, verbose=0)
    assert graphs.shape == (2, SIDE, SIDE, 1)
    np.testing.assert_array_equal(graphs, array.generator.predict(z, verbose=0))


@pytest.mark.usefixtures("eager")
def test_what_it_cannot_use_is_refused() -> None:
    model = gan()
    with pytest.raises(ValueError, match="learns from graphs alone; got targets or sample weights"):
        model.fit(real_graphs(), y=np.zeros(5), verbose=0)
    with pytest.raises(ValueError, match="hinge, cross_entropy; got 'wasserstein'"):
        model.compile(objective=cast("Any", "wasserstein"))
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="an optimiser each; got one for both"):
        model.compile(adam, adam)


@pytest.mark.usefixtures("eager")
def test_compiles_with_defaults() -> None:
    model = gan()
    model.compile(discriminator_optimizer="sgd")
    assert isinstance(model.generator_optimizer, keras.optimizers.Adam)
    assert isinstance(model.discriminator_optimizer, keras.optimizers.SGD)
    assert set(model.fit(passes(), verbose=0).history) == LOSSES


@pytest.mark.usefixtures("eager")
def test_early_stopping() -> None:
    model = gan()
    stop = keras.callbacks.EarlyStopping("adversarial_loss", mode="min", min_delta=100, patience=2)
    assert len(model.fit(passes(), epochs=9, callbacks=[stop], verbose=0).history["adversarial_loss"]) == 3


@pytest.mark.usefixtures("eager")
def test_early_stopping_finds_the_diversity_and_restores_the_best_weights() -> None:
    """The restored weights are those of the first epoch, not their moving average."""
    model = gan()
    stop = keras.callbacks.EarlyStopping(
        "unique_share", mode="max", min_delta=2, patience=1, restore_best_weights=True, start_from_epoch=0
    )
    first = gan(averaging=False)
    first.fit(passes(), verbose=0)
    history = model.fit(passes(), epochs=9, callbacks=[DiversityMonitor(real_graphs(), draws=8), stop], verbose=0)
    assert {"unique_share", "covered_share", "training_distance", "training_spread"} < set(history.history)
    assert len(history.history["unique_share"]) == 2
    for one, other in zip(model.generator.get_weights(), first.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class CutError(Exception):
    """Stands in for the death of the process."""


class Cut(keras.callbacks.Callback):
    """Dies at the beginning of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if epoch == self.epoch:
            raise CutError


@pytest.mark.parametrize("published", [False, True], ids=["dense", "published"])
def test_backup_and_restore_goes_on_bit_for_bit(published: bool, tmp_path: Path) -> None:
    """Noise, dropout, both optimisers and the averaged weights go on where they were."""
    whole = gan(published=published)
    history = whole.fit(passes(), epochs=4, verbose=0).history
    with pytest.raises(CutError):
        gan(published=published).fit(
            passes(), epochs=4, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup"), Cut(2)]
        )
    resumed = gan(published=published)
    again = resumed.fit(
        passes(), epochs=4, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup")]
    )
    assert {name: values[2:] for name, values in history.items()} == again.history
    assert_same_state(whole, resumed)
    assert not (tmp_path / "backup").exists()


@pytest.mark.usefixtures("eager")
def test_tensorboard(tmp_path: Path) -> None:
    model = gan()
    log = keras.callbacks.TensorBoard(tmp_path)
    history = model.fit(passes(), epochs=2, callbacks=[DiversityMonitor(real_graphs(), draws=8), log], verbose=0)
    (file,) = tmp_path.glob("train/events*")
    found = scalars(file)
    assert {name for _, name in found} == {f"epoch_{name}" for name in history.history}
    for epoch in range(2):
        assert found[epoch, "epoch_adversarial_loss"] == pytest.approx(history.history["adversarial_loss"][epoch])


@pytest.mark.parametrize("published", [False, True], ids=["dense", "published"])
def test_model_checkpoint_is_loaded_and_goes_on_bit_for_bit(published: bool, tmp_path: Path) -> None:
    whole = gan(first_rows, published=published, objective="cross_entropy", r1_weight=0.5)
    whole.fit(passes(), epochs=2, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")])
    loaded = keras.saving.load_model(tmp_path / "1.keras")
    assert isinstance(loaded, Ccdcgan)
    assert (loaded.objective, loaded.r1_weight, loaded.seed, loaded.steps_done) == ("cross_entropy", 0.5, 3, 3)
    assert loaded.constraint is first_rows
    loaded.fit(passes(), verbose=0)
    assert_same_state(whole, loaded)


@pytest.mark.usefixtures("eager")
def test_model_checkpoint_keeps_the_best_weights_alone(tmp_path: Path) -> None:
    model = gan()
    file = tmp_path / "best.weights.h5"
    keep = keras.callbacks.ModelCheckpoint(
        file, "discriminator_loss", mode="min", save_best_only=True, save_weights_only=True
    )
    model.fit(passes(), epochs=2, callbacks=[keep], verbose=0)
    other = gan()
    other.load_weights(file)
    assert other.steps_done in {3, 6}


@pytest.mark.usefixtures("eager")
def test_a_learned_constraint_is_saved_with_the_model(tmp_path: Path) -> None:
    runtime.start(1)
    constraint = FormationEnergyConstraint(SIDE, ConstraintSettings(members=2, filters=1))
    model = gan(constraint)
    model.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert isinstance(loaded.constraint, FormationEnergyConstraint)
    assert loaded.constraint.to_bytes() == constraint.to_bytes()
    z = latent_points(3, seed=0)
    np.testing.assert_array_equal(loaded.predict(z, verbose=0), model.predict(z, verbose=0))


def test_config_round_trip() -> None:
    model = gan(first_rows)
    copy = Ccdcgan.from_config(model.get_config())
    assert (copy.seed, copy.constraint_weight, copy.name) == (3, 0.1, "ccdcgan")
    assert copy.constraint is first_rows
    assert copy.generator.input_shape == (None, Z_SIZE)
    assert [w.shape for w in copy.weights] == [w.shape for w in model.weights]
    assert copy.get_config() == model.get_config()
