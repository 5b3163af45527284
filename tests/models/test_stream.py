"""Graphs drawn and screened in batches: the same as one by one, the best of all, and no more in memory than that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ccdcgan_al.benchmarks.generate_speed import measure_generate_speed
from ccdcgan_al.models import runtime
from ccdcgan_al.models.gan import GanSettings, GraphGenerator
from ccdcgan_al.models.stream import Precision, Screen, best_graphs, screened_batches, screening_function


def first_row(graphs: Any) -> Any:
    """Synthetic constraint: the mean of the first row, (n, 1)."""
    import tensorflow as tf

    return tf.reduce_mean(graphs[:, 0], axis=1)


@pytest.fixture(scope="module")
def gan() -> GraphGenerator:
    runtime.start(0)
    return GraphGenerator(28, GanSettings(width=16))


@pytest.fixture(scope="module")
def screen(gan: GraphGenerator) -> Screen:
    return screening_function(gan, first_row, batch_size=8)


def test_batches_hold_what_the_generator_draws_and_its_energies(screen: Screen) -> None:
    batches = list(screened_batches(screen, 20, seed=3))
    assert [len(batch.graphs) for batch in batches] == [8, 8, 4]
    graphs = np.concatenate([batch.graphs for batch in batches])
    assert len(np.unique(graphs.reshape(20, -1), axis=0)) == 20
    np.testing.assert_allclose(
        np.concatenate([batch.energies for batch in batches]), graphs[:, 0].mean(axis=(1, 2)), atol=1e-5
    )
    again = next(screened_batches(screen, 5, seed=3))
    np.testing.assert_array_equal(again.graphs, graphs[:5])
    assert not np.allclose(next(screened_batches(screen, 5, seed=4)).graphs, graphs[:5])


def test_the_best_of_all_batches_stay(screen: Screen) -> None:
    energies = np.concatenate([b.energies for b in screened_batches(screen, 40, seed=0)])
    graphs, kept = best_graphs(screened_batches(screen, 40, seed=0), keep=5)
    np.testing.assert_array_equal(kept, np.sort(energies)[:5])
    np.testing.assert_allclose(graphs[:, 0].mean(axis=(1, 2)), kept, atol=1e-5)
    with pytest.raises(ValueError, match="nothing was drawn"):
        best_graphs(iter([]), keep=5)


def test_bfloat16_draws_nearly_the_same(gan: GraphGenerator) -> None:
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    full, half = (
        next(screened_batches(screening_function(gan, first_row, 8, precision), 8, seed=0)).graphs
        for precision in precisions
    )
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.05


@pytest.mark.slow
def test_benchmark_says_what_it_measured() -> None:
    outcome = measure_generate_speed([200])
    assert outcome.figures["extrapolated"]
    (row,) = outcome.rows
    assert row["seconds"] == pytest.approx(200 / row["graphs/s"], abs=0.006)  # it is rounded to hundredths
    assert outcome.figures["minutes_for_a_million"] == pytest.approx(1e6 / 60 / row["graphs/s"], rel=0.01)
    assert row["of a core's"] > 0
    with pytest.raises(ValueError, match="use default or published"):
        measure_generate_speed([1], "large")  # type: ignore[arg-type]
