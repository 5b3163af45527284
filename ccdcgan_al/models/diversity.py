"""The diversity of a generator's crystal graphs. Its values show mode collapse. This module decodes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME_GRAPH = 0.1
"""Root mean square difference below which two graphs count as one. Normal noise was added to 150 graphs of relaxed Bi-Se structures. With noise of
0.1, 4 decoded to another structure; with noise of 0.2, 41."""
FEW_UNIQUE = 0.25
FEW_COVERED = 0.1


@dataclass(frozen=True)
class Diversity:
    """Differences of the drawn graphs from each other and from the training graphs. Distances are root mean squares over entries of the graph.

    Attributes
    ----------
    unique_share : float
        Share of the drawn graphs that remain if each graph within `SAME_GRAPH` of an earlier one is removed.
    covered_share : float
        Share of the training graphs that are the nearest one to a drawn graph.
    training_distance : float
        Median distance of a drawn graph to the nearest training graph.
    training_spread : float
        Median distance of a training graph to the nearest other one. 0 if there is only one.
    """

    unique_share: float
    covered_share: float
    training_distance: float
    training_spread: float

    @property
    def collapsed(self) -> bool:
        """Whether the generator repeats itself: few graphs are unique, or they are near only a few training graphs."""
        return self.unique_share < FEW_UNIQUE or self.covered_share < FEW_COVERED

    @property
    def warning(self) -> str | None:
        """One line of warning if the generator has collapsed, otherwise None."""
        if not self.collapsed:
            return None
        return (
            f"mode collapse: {self.unique_share:.0%} of the drawn graphs differ by more than {SAME_GRAPH} from each other "
            f"(at least {FEW_UNIQUE:.0%} wanted), and they lie at {self.covered_share:.0%} of the training graphs "
            f"(at least {FEW_COVERED:.0%} wanted); other steps or another seed of the training may help"
        )


def measure_diversity(drawn: NDArray[np.floating], training: NDArray[np.floating]) -> Diversity:
    """Compare drawn graphs with each other and with the training graphs.

    Entries that are zero in every training graph (the padding) do not count.

    Parameters
    ----------
    drawn : numpy.ndarray
        Drawn graphs, float (n, side, side, 1).
    training : numpy.ndarray
        Training graphs, float (m, side, side, 1).

    Returns
    -------
    Diversity
        Result. Its covered share refers to the smaller of m and n.
    """
    used = _used(training)
    drawn, training = (graphs.reshape(len(graphs), -1)[:, used].astype(float) for graphs in (drawn, training))
    among, to_training = _distances(drawn, drawn), _distances(drawn, training)
    kept: list[int] = []
    for i in range(len(drawn)):
        if not kept or among[i, kept].min() > SAME_GRAPH:
            kept.append(i)
    others = _distances(training, training)
    np.fill_diagonal(others, np.inf)
    return Diversity(
        unique_share=len(kept) / len(drawn),
        covered_share=len(set(to_training.argmin(axis=1).tolist())) / min(len(training), len(drawn)),
        training_distance=float(np.median(to_training.min(axis=1))),
        training_spread=float(np.median(others.min(axis=1))) if len(training) > 1 else 0.0,
    )


def distinct(
    graphs: NDArray[np.floating], training: NDArray[np.floating], order: Iterable[int], count: int
) -> list[int]:
    """Choose graphs that differ from each other by more than `SAME_GRAPH`.

    Parameters
    ----------
    graphs : numpy.ndarray
        Graphs to choose from, float (n, side, side, 1).
    training : numpy.ndarray
        Training graphs, float (m, side, side, 1). Entries that are zero in all of them do not count.
    order : iterable of int
        Indices of the graphs, the preferred ones first.
    count : int
        Maximum number of graphs to choose.

    Returns
    -------
    list of int
        Chosen indices, in that order.
    """
    flat = graphs.reshape(len(graphs), -1)[:, _used(training)]
    kept: list[int] = []
    for i in order:
        if len(kept) == count:
            break
        if not kept or np.square(flat[kept] - flat[i]).mean(axis=1).min() > SAME_GRAPH**2:
            kept.append(int(i))
    return kept


def _used(training: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which entries of a flat graph are not zero in all training graphs. If all entries are zero, return all."""
    used = np.abs(training.reshape(len(training), -1)).max(axis=0) > 0
    return used if used.any() else ~used


def _distances(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the root mean square differences of rows, (n, m)."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    return np.sqrt(np.maximum(squares, 0) / first.shape[1])
