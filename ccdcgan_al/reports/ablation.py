"""Report an ablation: a table of means and standard deviations over seeds, and figures. It runs nothing.

A row of the table is a strategy, or a strategy and a training size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.hull.hull import METASTABLE, NEAR_HULL
from ccdcgan_al.strategies.registry import STRATEGIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "decoded": "decoded",
    "valid": "valid",
    "strict": "strict",
    "unique": "unique",
    "novel": "novel",
    "formation": "formation energy",
    "above": "above hull",
    "near": "<= 50",
    "metastable": "<= 100",
    "new_near": "new, <= 50",
    "new_metastable": "new, <= 100",
    "seconds": "CPU s",
}
"""Column headings by figure. Decoded, valid, strict, unique and novel are fractions of the generated graphs. Energies are means over the relaxed
structures (meV/atom). Fractions within 50 and 100 meV/atom of the hull refer to all structures that were sent to the relaxer, including failures."""


def figures_of(run: dict[str, Any]) -> dict[str, float]:
    """Return the figures of one strategy and seed, by the names of `COLUMNS`. A figure is nan if nothing was relaxed."""
    drawn, candidates = run["generated"], run["candidates"]
    relaxed = [item for item in candidates if item["state"] == "relaxed"]
    new = [item for item in relaxed if item["new"]]

    def share(items: Sequence[dict[str, Any]], within: float) -> float:
        near = sum(item["above_hull"] <= within for item in items)
        return near / len(candidates) if candidates else float("nan")

    def mean(key: str) -> float:
        return 1000 * float(np.mean([item[key] for item in relaxed])) if relaxed else float("nan")

    return {
        **{name: run[name] / drawn for name in ("decoded", "valid", "strict", "unique", "novel")},
        "formation": mean("formation_energy"),
        "above": mean("above_hull"),
        "near": share(relaxed, NEAR_HULL),
        "metastable": share(relaxed, METASTABLE),
        "new_near": share(new, NEAR_HULL),
        "new_metastable": share(new, METASTABLE),
        "seconds": sum(run["cpu_seconds"].values()),
    }


def summarise(result: dict[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the mean and standard deviation over seeds of every figure, for each row of `rows_of`."""
    summary = {}
    for row, runs in rows_of(result).items():
        figures = [figures_of(run) for run in runs]
        summary[row] = {name: mean_and_spread([item[name] for item in figures]) for name in COLUMNS}
    return summary


def rows_of(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the runs by strategy in the order of the registry. Runs are also divided by training size if the result has several sizes."""
    several = len({run["training"] for run in result["runs"]}) > 1
    rows: dict[str, list[dict[str, Any]]] = {}
    for run in sorted(result["runs"], key=lambda run: (*_place(run["strategy"]), run["training"], run["seed"])):
        name = f"{run['strategy']} of {run['training']}" if several else run["strategy"]
        rows.setdefault(name, []).append(run)
    return rows


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and standard deviation of the finite values, or nan and 0 if there are none."""
    numbers = [value for value in values if np.isfinite(value)]
    if not numbers:
        return float("nan"), 0.0
    return float(np.mean(numbers)), float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0


def table(result: dict[str, Any]) -> str:
    """Return a Markdown table of `summarise` in per cent, meV/atom and seconds, with standard deviations over the seeds."""
    lines = [f"| strategy | seeds | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for strategy, figures in summarise(result).items():
        cells = [_cell(name, *figures[name]) for name in COLUMNS]
        lines.append(f"| `{strategy}` | {len(rows_of(result)[strategy])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, mean: float, spread: float) -> str:
    """Return the text of one cell."""
    if name in {"formation", "above", "seconds"}:
        return f"{mean:.0f} ± {spread:.0f}"
    return f"{100 * mean:.0f} ± {100 * spread:.0f} %"


def _place(strategy: str) -> tuple[int, str]:
    order = list(STRATEGIES)
    return (order.index(strategy) if strategy in order else len(order), strategy)


def plot_energies(result: dict[str, Any]) -> Figure:
    """Plot the energy above hull of every relaxed candidate by strategy, and of the data set. A bar shows the median."""
    figure, axes = _axes(result)
    known = [item["above_hull"] for item in result["data"]]
    groups = [("data set", known), *((name, _above_hull(runs)) for name, runs in rows_of(result).items())]
    rng = np.random.default_rng(0)
    for place, (name, values) in enumerate(groups):
        millis = 1000 * np.array(values)
        shift = rng.uniform(-0.28, 0.28, len(millis))
        axes.scatter(place + shift, millis, s=9, alpha=0.5, color="0.5" if name == "data set" else f"C{place - 1}")
        axes.hlines(np.median(millis), place - 0.35, place + 0.35, color="black", linewidth=1.5)
    for level in (1000 * NEAR_HULL, 1000 * METASTABLE):
        axes.axhline(level, color="0.7", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xticks(range(len(groups)), [name.replace(" of ", "\nof ") for name, _ in groups])
    axes.set_ylim(-15, 400)
    axes.set_ylabel("energy above hull (meV/atom)")
    return figure


def plot_compositions(result: dict[str, Any]) -> Figure:
    """Plot the composition and formation energy of each strategy's relaxed candidates, and of the training set."""
    figure, axes = _axes(result)
    for training, colour, label in ((False, "0.85", "data set, not in training"), (True, "0.55", "training set")):
        items = [item for item in result["data"] if item["training"] == training]
        axes.scatter(*_points(items), s=12, color=colour, label=label, zorder=1)
    for number, (row, runs) in enumerate(rows_of(result).items()):
        items = [item for run in runs for item in run["candidates"]]
        axes.scatter(
            *_points([item for item in items if item["state"] == "relaxed"]),
            s=18,
            alpha=0.8,
            marker="os^vDPX*"[number % 8],
            color=f"C{number}",
            label=row,
            zorder=2,
        )
    axes.set_xlabel(f"fraction of {result['elements'][-1]}")
    axes.set_ylabel("formation energy (meV/atom)")
    axes.set_ylim(-430, 350)
    axes.legend(fontsize=8, ncols=2)
    return figure


def _points(items: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [item["fraction"] for item in items], [1000 * item["formation_energy"] for item in items]


def _above_hull(runs: Sequence[dict[str, Any]]) -> list[float]:
    """Return the energies above hull (eV/atom) of all relaxed candidates in these runs."""
    return [item["above_hull"] for run in runs for item in run["candidates"] if item["state"] == "relaxed"]


def _axes(result: dict[str, Any]) -> tuple[Figure, Any]:
    """Return a figure with one pair of axes and a title that names the system and the method."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    seeds = len({run["seed"] for run in result["runs"]})
    axes.set_title(
        f"{'-'.join(result['elements'])}, {result['method']['calculator']}: {result['relaxations']} relaxations, {seeds} seeds",
        fontsize=10,
    )
    return figure, axes
