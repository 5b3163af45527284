"""Mode collapse, as it shows in what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from ccdcgan_al.models.diversity import SAME_GRAPH, distinct, measure_diversity

TRAINING = np.random.default_rng(0).uniform(-1, 1, (20, 4, 4, 1))
TRAINING[:, 3] = 0  # padding, as at a graph's end


def test_what_was_learnt_from_is_covered() -> None:
    diversity = measure_diversity(TRAINING, TRAINING)
    assert (diversity.unique_share, diversity.covered_share, diversity.training_distance) == (
        1,
        1,
        pytest.approx(0, abs=1e-7),
    )
    assert 0.3 < diversity.training_spread < 1
    assert diversity.warning is None


def test_one_graph_over_and_over_is_collapse() -> None:
    drawn = np.repeat(TRAINING[:1], 20, axis=0)
    diversity = measure_diversity(drawn, TRAINING)
    assert (diversity.unique_share, diversity.covered_share) == (0.05, 0.05)
    assert diversity.warning is not None
    assert diversity.warning.startswith("mode collapse: 5% of the drawn graphs")


def test_many_different_graphs_at_one_training_graph_is_collapse() -> None:
    noise = np.random.default_rng(1).normal(scale=2 * SAME_GRAPH, size=TRAINING.shape)
    diversity = measure_diversity(TRAINING[:1] + noise, TRAINING)
    assert diversity.unique_share == 1
    assert diversity.covered_share == 0.05
    assert diversity.collapsed


def test_the_padding_does_not_count() -> None:
    """The distance is a root mean square over 12 entries, not 16."""
    diversity = measure_diversity(TRAINING + 0.2, TRAINING)
    assert diversity.training_distance == pytest.approx(0.2)


@pytest.mark.parametrize("training", [TRAINING[:1], np.zeros((1, 4, 4, 1))])
def test_one_training_graph(training: np.ndarray) -> None:
    diversity = measure_diversity(TRAINING, training)
    assert diversity.training_spread == 0
    assert diversity.covered_share == 1


def test_the_first_that_differ_are_kept() -> None:
    graphs = np.concatenate([TRAINING[:3], TRAINING[:3] + 0.9 * SAME_GRAPH, TRAINING[3:5] + 2])
    assert distinct(graphs, TRAINING, [4, 1, 0, 7, 3, 6], 10) == [4, 0, 7, 6]
    assert distinct(graphs, TRAINING, [4, 1, 0, 7, 3, 6], 2) == [4, 0]
