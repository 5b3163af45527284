"""The GAN, on few graphs and few steps: it comes closer to them, repeats itself, and follows the constraint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from ccdcgan_al.models import callbacks, runtime
from ccdcgan_al.models import gan as gan_module
from ccdcgan_al.models.constraint import ConstraintSettings, FormationEnergyConstraint
from ccdcgan_al.models.gan import GanSettings, GraphGenerator, batch_rows, steps_per_segment
from ccdcgan_al.models.gan_networks import (
    Z_SIZE,
    build_dense_generator,
    build_published_discriminator,
    build_published_generator,
)
from ccdcgan_al.models.latent import LatentSettings, descend

SIDE = 28
SHORT = GanSettings(steps=400, batch_size=16, width=64, learning_rate=1e-3, averaging=0.9)
TINY = replace(SHORT, steps=3, width=8)


def real_graphs() -> np.ndarray:
    """Five smooth graphs in (-1, 1), float32 (5, 28, 28, 1)."""
    x = np.linspace(0, np.pi, SIDE)
    waves = [0.7 * np.sin(k * x)[:, None] * np.cos(x)[None] for k in range(1, 6)]
    return np.array(waves, dtype=np.float32)[..., None]


def distance(drawn: np.ndarray) -> float:
    """Mean over the draws of the mean square difference to the nearest real graph."""
    squares = ((drawn[:, None] - real_graphs()[None]) ** 2).mean(axis=(2, 3, 4))
    return float(squares.min(axis=1).mean())


def first_rows(graphs: Any) -> Any:
    """Synthetic constraint (eV/atom): ten times the mean of the first four rows."""
    import tensorflow as tf

    return 10 * tf.reduce_mean(graphs[:, :4], axis=(1, 2))


def fitted(settings: GanSettings, constraint: Any = None, seed: int = 0, **options: Any) -> GraphGenerator:
    runtime.start(seed)
    gan = GraphGenerator(SIDE, settings)
    gan.fit(real_graphs(), seed, cast("FormationEnergyConstraint | None", constraint), **options)
    return gan


@pytest.fixture(scope="module")
def dcgan() -> GraphGenerator:
    return fitted(SHORT)


def test_draws_come_closer_to_the_graphs(dcgan: GraphGenerator) -> None:
    runtime.start(0)
    start = distance(GraphGenerator(SIDE, SHORT).draw(64, seed=1))
    drawn = dcgan.draw(64, seed=1)
    assert drawn.shape == (64, SIDE, SIDE, 1)
    assert drawn.dtype == np.float32
    assert np.abs(drawn).max() <= 1
    assert distance(drawn) < 0.7 * start
    assert set(dcgan.losses) == {"discriminator_loss", "adversarial_loss", "constraint_loss"}
    assert np.isfinite(list(dcgan.losses.values())).all()
    assert dcgan.losses["constraint_loss"] == 0


def test_constraint_lowers_the_energy_of_the_draws(dcgan: GraphGenerator) -> None:
    plain = first_rows(dcgan.draw(64, seed=1)).numpy().mean()
    gan = fitted(SHORT, first_rows, constraint_weight=1.0)
    constrained = first_rows(gan.draw(64, seed=1)).numpy().mean()
    assert constrained < plain - 0.3, (constrained, plain)
    assert gan.losses["constraint_loss"] > 0


def test_same_seed_same_bytes() -> None:
    first, again = fitted(TINY), fitted(TINY)
    assert first.to_bytes() == again.to_bytes()
    np.testing.assert_array_equal(first.draw(4, seed=1), again.draw(4, seed=1))
    assert not np.array_equal(first.draw(4, seed=1), first.draw(4, seed=2))


@pytest.mark.usefixtures("eager")
def test_draws_are_of_the_averaged_weights() -> None:
    assert fitted(TINY).to_bytes() != fitted(replace(TINY, averaging=0)).to_bytes()


@pytest.mark.usefixtures("eager")
def test_the_constraint_stays_frozen() -> None:
    runtime.start(0)
    constraint = FormationEnergyConstraint(SIDE, ConstraintSettings(members=2, filters=1))
    before = constraint.to_bytes()
    gan = GraphGenerator(SIDE, TINY)
    gan.fit(real_graphs(), 0, constraint)
    assert constraint.to_bytes() == before
    assert gan.losses["constraint_loss"] > 0


def test_bytes_hold_the_generator(dcgan: GraphGenerator) -> None:
    other = GraphGenerator(SIDE, SHORT)
    runtime.unpack_weights(other.generator, dcgan.to_bytes())
    np.testing.assert_array_equal(other.draw(4, seed=1), dcgan.draw(4, seed=1))


@pytest.mark.usefixtures("eager")
def test_published_setting_trains() -> None:
    settings = GanSettings.published(steps=3)
    assert settings == GanSettings("published", "cross_entropy", 0.0, 3, 128, 128, 2e-4, 0.5, 0.0)
    runtime.start(0)
    gan = GraphGenerator(SIDE, replace(settings, batch_size=8, width=16))
    before = gan.to_bytes()
    gan.fit(real_graphs(), 0)
    assert gan.to_bytes() != before
    assert np.isfinite(list(gan.losses.values())).all()
    assert np.abs(gan.draw(3, seed=0)).max() <= 1


class CutError(Exception):
    """Stands in for the worker's death."""


@pytest.mark.parametrize("settings", [TINY, replace(GanSettings.published(), batch_size=4, width=4)])
def test_a_training_cut_off_goes_on_bit_for_bit(
    settings: GanSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches, noise, dropout, both optimisers and the averaged weights go on where they were."""
    monkeypatch.setattr(gan_module, "SEGMENT", 2)
    settings = replace(settings, steps=6)
    whole = fitted(settings)

    class Dying(callbacks.TrainingCheckpoint):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            super().on_epoch_end(epoch, logs)
            if self.model.steps_done == 4:
                raise CutError

    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "TrainingCheckpoint", Dying)
        with pytest.raises(CutError):
            fitted(settings, folder=tmp_path)
    assert len(list(tmp_path.glob("gan-*.weights.h5"))) == 1
    resumed = fitted(settings, folder=tmp_path)
    assert resumed.to_bytes() == whole.to_bytes()
    assert runtime.pack_weights(resumed.discriminator) == runtime.pack_weights(whole.discriminator)
    assert resumed.losses == whole.losses
    assert not list(tmp_path.glob("gan-*"))
    logged = [scalars(file) for file in sorted(tmp_path.glob("log-*/train/*"), key=lambda file: file.stat().st_mtime)]
    epochs = [sorted({epoch for epoch, _ in values}) for values in logged]
    assert epochs == [[0, 1], [2]]  # of two steps each
    assert {name for _, name in logged[-1]} == {
        *("epoch_discriminator_loss", "epoch_adversarial_loss", "epoch_constraint_loss"),
        *("epoch_unique_share", "epoch_covered_share", "epoch_training_distance", "epoch_training_spread"),
    }


def scalars(file: Path) -> dict[tuple[int, str], float]:
    """What an event file holds, by step and name."""
    import tensorflow as tf

    found = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            found[(event.step, value.tag)] = float(tf.make_ndarray(value.tensor))
    return found


@pytest.mark.usefixtures("eager")
def test_another_training_does_not_take_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint belongs to its seed and its sample weights. A truncated one is said to be so, and the training starts anew."""
    monkeypatch.setattr(gan_module, "SEGMENT", 1)
    monkeypatch.setattr(callbacks.TrainingCheckpoint, "on_train_end", lambda _self, logs=None: None)  # noqa: ARG005
    first = fitted(TINY, folder=tmp_path)
    (file,) = tmp_path.glob("gan-*")
    assert fitted(TINY, seed=1, folder=tmp_path).to_bytes() == fitted(TINY, seed=1).to_bytes()
    fitted(TINY, folder=tmp_path, sample_weights=np.array([0.2, 0.2, 0.2, 0.3, 0.1]))
    assert len(list(tmp_path.glob("gan-*"))) == 3
    assert fitted(TINY, folder=tmp_path).to_bytes() == first.to_bytes()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="no checkpoint of this training .*: it starts anew"):
        assert fitted(TINY, folder=tmp_path).to_bytes() == first.to_bytes()


def test_descent_in_the_latent_space(dcgan: GraphGenerator) -> None:
    """The constraint falls, the length of z stays, and what happens to one z does not depend on the others."""
    z = dcgan.latents(48, seed=1)
    settings = LatentSettings(steps=10, learning_rate=0.1, batch_size=32)
    moved = descend(dcgan, first_rows, z, settings)
    assert moved.shape == z.shape
    assert moved.dtype == np.float32
    before, after = first_rows(dcgan.graphs_of(z)).numpy(), first_rows(dcgan.graphs_of(moved)).numpy()
    assert after.mean() < before.mean() - 0.1
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(z, axis=1), rtol=1e-4)
    np.testing.assert_allclose(descend(dcgan, first_rows, z[40:], settings), moved[40:], atol=1e-3)
    np.testing.assert_array_equal(descend(dcgan, first_rows, z, replace(settings, steps=0)), z)


def test_the_discriminator_holds_the_descent_back(dcgan: GraphGenerator) -> None:
    z = dcgan.latents(32, seed=2)
    free, held = (
        dcgan.graphs_of(descend(dcgan, first_rows, z, LatentSettings(steps=10, learning_rate=0.1, realism=realism)))
        for realism in (0.0, 10.0)
    )
    verdict = dcgan.discriminator.predict
    assert verdict(held, verbose=0).mean() > verdict(free, verbose=0).mean()


def test_segments_divide_the_steps() -> None:
    assert [steps_per_segment(steps) for steps in (4000, 400, 1100, 4001, 3)] == [500, 400, 275, 4001, 3]


@pytest.mark.parametrize("side", [28, 32, 44])
def test_networks_fit_every_side(side: int) -> None:
    for build in (build_dense_generator, build_published_generator):
        model = build(side, 4)
        assert model.input_shape == (None, Z_SIZE)
        assert model.output_shape == (None, side, side, 1)
    assert build_published_discriminator(side, 4).output_shape == (None, 1)


@pytest.mark.parametrize("shape", [(0, 28, 28, 1), (3, 32, 32, 1), (3, 28, 28)])
def test_wrong_graphs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"wants graphs of shape \(n, 28, 28, 1\), got"):
        GraphGenerator(SIDE, TINY).fit(np.zeros(shape), 0)


def test_graphs_are_drawn_by_their_sample_weights(dcgan: GraphGenerator) -> None:
    """Taught the first graph alone, it draws that one."""
    alone = fitted(SHORT, sample_weights=np.array([1.0, 0, 0, 0, 0]))
    first = real_graphs()[0]
    assert np.square(alone.draw(64, seed=1) - first).mean() < 0.5 * np.square(dcgan.draw(64, seed=1) - first).mean()


def test_batches_follow_the_sample_weights() -> None:
    settings = replace(TINY, steps=100)
    rows = batch_rows(5, 0, settings, np.array([0.5, 0, 0.5, 0, 0]))
    assert rows.shape == (100, settings.batch_size)
    assert set(rows.flat) == {0, 2}
    assert (rows == 0).mean() == pytest.approx(0.5, abs=0.06)
    passes = batch_rows(5, 0, settings)
    assert np.bincount(passes.flat).tolist() == [20 * settings.batch_size] * 5
    assert sorted(passes.flat[5:10]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("weights", [np.ones(5), np.array([0.5, 0.5]), np.array([2.0, -1, 0, 0, 0])])
def test_wrong_sample_weights_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(
        ValueError, match=r"probabilities of the graphs, of shape \(5,\) and with a sum of 1; got shape"
    ):
        GraphGenerator(SIDE, TINY).fit(real_graphs(), 0, sample_weights=weights)


def test_steps_grow_with_the_training_set() -> None:
    assert [GanSettings.for_graphs(n).steps for n in (9, 100, 130, 152, 1000)] == [4000, 4000, 5000, 6000, 10000]
    assert GanSettings.for_graphs(9) == GanSettings()
