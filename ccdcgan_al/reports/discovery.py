"""Report the discovery experiment: figures of every run, a table and plots, all from its JSON file. It runs and judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.hull.hull import ON_HULL
from ccdcgan_al.reports.ablation import mean_and_spread
from ccdcgan_al.reports.plots import TRIANGLE
from ccdcgan_al.strategies.registry import STRATEGIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLDS = (0.0, 0.05, 0.1)  # eV/atom above the reference hull
NEAR = THRESHOLDS[1]
DILUTE = 0.75  # threshold of the fraction of one element; above it the hull is shallow
ONE_SHOT = "one-shot"  # `ccdcgan` trained once, on the seeds
OURS = "ccdcgan"  # the strategy whose acceleration is reported
COLUMNS = {
    "proposed": "proposed",
    "failed": "failed",
    "above": "above hull",
    "0": "new, <= 0",
    "0.05": "new, <= 50",
    "0.1": "new, <= 100",
    "formulas": "formulas, <= 50",
    "sound_near": "not corr., <= 50",
    "sound": "not corr., <= 100",
    "dilute": "dilute, <= 100",
    "sun": "S.U.N.",
    "withheld": "withheld found",
    "cpu_seconds": "CPU s",
}
"""Column headings by figure of a run.

- `proposed`, `failed`: relaxations after the seeds, and how many of them failed.
- `above`: median energy above the reference hull of the relaxed candidates (meV/atom).
- `0`, `0.05`, `0.1`: unique new phases within this threshold (eV/atom), per 100 relaxations after the seeds.
- `formulas`: number of reduced formulas of the new phases within 50 meV/atom.
- `sound_near`, `sound`: new phases within 50 and 100 meV/atom that MP2020 corrections would not put on the hull.
- `dilute`: new phases within 100 meV/atom with a fraction of one element above `DILUTE`.
- `sun`: unique new phases within 100 meV/atom as a fraction of all relaxations after the seeds.
- `withheld`: withheld phases found.
- `cpu_seconds`: CPU time for proposing candidates.
"""


def key_of(threshold: float) -> str:
    """Return the JSON key of a threshold: `0`, `0.05` or `0.1`."""
    return f"{threshold:g}"


def proposed(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the candidates of a run that a strategy proposed, in the order of relaxation."""
    return [row for row in run["candidates"] if row["round"] > 0]


def is_new(row: dict[str, Any], threshold: float) -> bool:
    """Return whether a candidate is a unique new phase within a threshold (eV/atom) of the reference hull with both sets of element energies."""
    if row["state"] != "relaxed" or not row["new"]:
        return False
    return bool(max(row["above_hull"], row["own_elements_above_hull"]) <= threshold + ON_HULL)


def figures_of(run: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a run by the names of `COLUMNS`. A figure is nan if nothing was proposed or relaxed."""
    rows = proposed(run)
    relaxed = [1000 * row["above_hull"] for row in rows if row["state"] == "relaxed"]
    share = 100 / len(rows) if rows else float("nan")
    return {
        "proposed": len(rows),
        "failed": sum(row["state"] == "failed" for row in rows),
        "above": float(np.median(relaxed)) if relaxed else float("nan"),
        **{key_of(limit): share * sum(is_new(row, limit) for row in rows) for limit in THRESHOLDS},
        "formulas": len({row["formula"] for row in rows if is_new(row, NEAR)}),
        "sound_near": share * sum(is_new(row, NEAR) and not row["correction_driven"] for row in rows),
        "sound": share * sum(is_new(row, THRESHOLDS[-1]) and not row["correction_driven"] for row in rows),
        "dilute": share * sum(is_new(row, THRESHOLDS[-1]) and max(row["fractions"]) > DILUTE for row in rows),
        "sun": share / 100 * sum(is_new(row, THRESHOLDS[-1]) for row in rows),
        "withheld": len(withheld_found(run)),
        "cpu_seconds": sum(stage["cpu_seconds"] for stage in run["rounds"]),
    }


def withheld_found(run: dict[str, Any]) -> dict[str, int]:
    """Return, for each withheld phase that was found, the number of relaxations until it was found, including the seeds."""
    found: dict[str, int] = {}
    for number, row in enumerate(run["candidates"], start=1):
        if row["round"] > 0 and row.get("withheld"):
            found.setdefault(row["withheld"], number)
    return found


def by_round(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the number of relaxations and of unique new phases of every round after the seeds."""
    numbers = sorted({row["round"] for row in proposed(run)})
    return [
        {
            "round": number,
            "relaxations": sum(row["round"] == number for row in run["candidates"]),
            **{
                key_of(limit): sum(row["round"] == number and is_new(row, limit) for row in run["candidates"])
                for limit in THRESHOLDS
            },
        }
        for number in numbers
    ]


def rise(runs: Sequence[dict[str, Any]], threshold: float) -> float | None:
    """Return the one-sided p value that the fraction of unique new phases within a threshold does not rise with the round.

    The test uses Pearson's correlation between the round of a relaxation and whether it gave such a phase, over all relaxations after the
    seeds. This is the Cochran-Armitage test for a trend, except for a factor 1 - 1/n. The result is None if there is only one round, or if
    all or no relaxations gave such a phase.
    """
    from scipy.stats import pearsonr

    rows = [row for run in runs for row in proposed(run)]
    rounds, brought = [row["round"] for row in rows], [is_new(row, threshold) for row in rows]
    if len(set(rounds)) < 2 or len(set(brought)) < 2:  # noqa: PLR2004
        return None
    return float(pearsonr(rounds, np.array(brought, float), alternative="greater").pvalue)


def by_origin(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the relaxations and unique new phases of generated structures and of mutants by operation, over several runs."""
    found: dict[str, dict[str, int]] = {}
    for row in (row for run in runs for row in proposed(run)):
        counts = found.setdefault(row["operation"] or "drawn", {"relaxations": 0, "0": 0, "0.05": 0, "0.1": 0})
        counts["relaxations"] += 1
        for limit in THRESHOLDS:
            counts[key_of(limit)] += is_new(row, limit)
    return dict(sorted(found.items()))


def lowest_by_composition(run: dict[str, Any]) -> dict[str, float]:
    """Return the lowest energy above the reference hull (eV/atom) of the proposed candidates, by reduced formula."""
    lowest: dict[str, float] = {}
    for row in proposed(run):
        if row["state"] == "relaxed":
            lowest[row["formula"]] = min(row["above_hull"], lowest.get(row["formula"], float("inf")))
    return dict(sorted(lowest.items()))


def strategies_of(result: dict[str, Any]) -> list[str]:
    """Strategies that have a run, in the order of the registry; `one-shot` comes before those that learn in every round."""
    there = {run["strategy"] for run in result["runs"]}
    plain = [name for name, entry in STRATEGIES.items() if not entry.learns]
    order = [*plain, ONE_SHOT, *(name for name in STRATEGIES if name not in plain)]
    return [*(name for name in order if name in there), *sorted(there - set(order))]


def summarise(result: dict[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the mean and standard deviation over seeds of every figure, by strategy."""
    summary = {}
    for name in strategies_of(result):
        runs = [figures_of(run) for run in result["runs"] if run["strategy"] == name]
        summary[name] = {column: mean_and_spread([figures[column] for figures in runs]) for column in COLUMNS}
    return summary


def acceleration(result: dict[str, Any], over: str) -> dict[str, float | None]:
    """Return the ratio of `ccdcgan`'s unique new phases per 100 relaxations to another strategy's, by threshold.

    Only seeds with a complete run of both strategies count. An incomplete run is not compared, because its first relaxations do not
    represent the whole budget. A ratio is None if no seed remains or if the other strategy found no new phase.
    """
    whole = {
        name: {run["seed"]: figures_of(run) for run in result["runs"] if run["strategy"] == name and run["complete"]}
        for name in (OURS, over)
    }
    seeds = sorted(whole[OURS].keys() & whole[over].keys())
    ratios: dict[str, float | None] = {}
    for key in map(key_of, THRESHOLDS):
        ours, theirs = (mean_and_spread([whole[name][seed][key] for seed in seeds])[0] for name in (OURS, over))
        ratios[key] = round(ours / theirs, 3) if theirs > 0 else None
    return ratios


def with_figures(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result with the figures that follow from its runs, at the top level and in every run."""
    runs = [
        {
            **{name: value for name, value in run.items() if name != "candidates"},
            "figures": {name: _json(value) for name, value in figures_of(run).items()},
            "withheld_found": withheld_found(run),
            "by_round": by_round(run),
            "lowest_by_composition": lowest_by_composition(run),
            "candidates": run["candidates"],
        }
        for run in result["runs"]
    ]
    summary = summarise(result)
    told = {
        "chemical_system": result["chemical_system"],
        "acceleration_over_random": acceleration(result, "random"),
        "acceleration_over_one_shot": acceleration(result, "one-shot"),
        "withheld_total": len(result["withheld_in_limits"]),
        "withheld_found": {name: _found_by(result, name) for name in summary},
        "sun": {name: _json(figures["sun"][0]) for name, figures in summary.items()},
        "summary": {
            name: {column: [_json(number) for number in pair] for column, pair in figures.items()}
            for name, figures in summary.items()
        },
        "runs": runs,
    }
    return {**told, **{name: value for name, value in result.items() if name not in told}}


def _found_by(result: dict[str, Any], strategy: str) -> int:
    """Return the number of different withheld phases within the size limits that a strategy found, over its seeds."""
    found = {name for run in result["runs"] if run["strategy"] == strategy for name in withheld_found(run)}
    return len(found & set(result["withheld_in_limits"]))


def _json(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def table(result: dict[str, Any]) -> str:
    """Return a Markdown table of `summarise`: means, and standard deviations if there are two seeds or more."""
    lines = [f"| strategy | seeds | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for name, figures in summarise(result).items():
        seeds = sum(run["strategy"] == name for run in result["runs"])
        cells = [_cell(column, *figures[column], seeds) for column in COLUMNS]
        lines.append(f"| `{name}` | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(column: str, mean: float, spread: float, seeds: int) -> str:
    if not np.isfinite(mean):
        return "-"
    scale, unit = (100, " %") if column == "sun" else (1, "")
    digits = 0 if column in {"proposed", "failed", "above", "sun", "cpu_seconds"} else 1
    more = f" ± {scale * spread:.{digits}f}" if seeds > 1 else ""
    return f"{scale * mean:.{digits}f}{more}{unit}"


def plot_curve(result: dict[str, Any]) -> Figure:
    """Draw unique new phases within 50 and 100 meV/atom of the reference hull against relaxations. Thin lines are seeds, thick lines are means."""
    figure, panels = _panels(result, 2)
    for axes, limit in zip(panels, THRESHOLDS[1:], strict=True):
        for number, name in enumerate(strategies_of(result)):
            curves = [_curve(run, limit) for run in result["runs"] if run["strategy"] == name]
            length = min(len(curve) for curve in curves)
            for curve in curves if len(curves) > 1 else []:
                axes.step(range(len(curve)), curve, where="post", color=f"C{number}", linewidth=0.6, alpha=0.5)
            mean = np.mean([curve[:length] for curve in curves], axis=0)
            axes.step(range(length), mean, where="post", color=f"C{number}", linewidth=2, label=name)
        axes.axvline(result["seed_count"], color="0.7", linewidth=0.8, linestyle="--")
        axes.set_xlabel("relaxations (dashed: end of the seeds)")
        axes.set_title(f"within {1000 * limit:.0f} meV/atom", fontsize=10)
        axes.set_xlim(max(0, result["seed_count"] - 5), None)
    panels[0].set_ylabel("unique new phases")
    panels[0].legend(fontsize=8)
    return figure


def _curve(run: dict[str, Any], limit: float) -> list[int]:
    """Return the number of unique new phases after 0, 1, 2, ... relaxations."""
    new = [row["round"] > 0 and is_new(row, limit) for row in run["candidates"]]
    return [0, *np.cumsum(new).tolist()]


def plot_energies(result: dict[str, Any]) -> Figure:
    """Draw the energy above the reference hull of the relaxed candidates by strategy, and of the seeds. A bar shows the median."""
    figure, (axes,) = _panels(result, 1)
    seeds = {  # all strategies have the same seeds
        (run["seed"], row["structure_id"]): row["above_hull"]
        for run in result["runs"]
        for row in run["candidates"]
        if row["round"] == 0 and row["state"] == "relaxed"
    }
    groups = [("seeds", list(seeds.values()))]
    for name in strategies_of(result):
        rows = [row for run in result["runs"] if run["strategy"] == name for row in proposed(run)]
        groups.append((name, [row["above_hull"] for row in rows if row["state"] == "relaxed"]))
    rng = np.random.default_rng(0)
    for place, (name, values) in enumerate(groups):
        millis = 1000 * np.array(values)
        shift = rng.uniform(-0.28, 0.28, len(millis))
        axes.scatter(place + shift, millis, s=9, alpha=0.5, color="0.5" if name == "seeds" else f"C{place - 1}")
        if len(millis):
            axes.hlines(np.median(millis), place - 0.35, place + 0.35, color="black", linewidth=1.5)
    for limit in THRESHOLDS:
        axes.axhline(1000 * limit, color="0.7", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xticks(range(len(groups)), [name for name, _ in groups], rotation=20)
    axes.set_ylim(-50, 400)
    axes.set_ylabel("energy above the reference hull (meV/atom)")
    return figure


def plot_hull(result: dict[str, Any]) -> Figure:
    """Draw the reference hull and the proposed candidates: formation energy over composition for two elements, a triangle for three."""
    figure, (axes,) = _panels(result, 1)
    if len(result["elements"]) == 2:  # noqa: PLR2004
        _binary(axes, result)
    else:
        _triangle(figure, axes, result)
    return figure


def _binary(axes: Any, result: dict[str, Any]) -> None:
    stable = sorted((item["fractions"][1], 1000 * item["formation_energy"], item["name"]) for item in _on_hull(result))
    fractions, energies, _ = zip(*stable, strict=True)
    axes.plot(fractions, energies, "k-s", markersize=5, linewidth=1.2, label="reference hull")
    withheld = [(x, y) for x, y, name in stable if name in result["withheld"]]
    if withheld:
        axes.scatter(*zip(*withheld, strict=True), s=130, facecolors="none", edgecolors="black", label="withheld")
    for number, name in enumerate(strategies_of(result)):
        rows = [row for run in result["runs"] if run["strategy"] == name for row in proposed(run)]
        rows = [row for row in rows if row["state"] == "relaxed"]
        x = [row["fractions"][1] for row in rows]
        y = [1000 * row["formation_energy"] for row in rows]
        axes.scatter(x, y, s=16, alpha=0.7, marker="os^vDPX*"[number % 8], color=f"C{number}", label=name, zorder=2)
    lowest = min(energies)
    axes.set_ylim(1.15 * min(lowest, -50), max(150, -0.5 * lowest))
    axes.set_xlabel(f"fraction of {result['elements'][1]}")
    axes.set_ylabel("formation energy (meV/atom)")
    axes.legend(fontsize=8, ncols=2)


def _triangle(figure: Figure, axes: Any, result: dict[str, Any]) -> None:
    axes.plot(*np.vstack([TRIANGLE, TRIANGLE[:1]]).T, color="0.5", linewidth=0.8)
    stable = np.array([item["fractions"] for item in _on_hull(result)]) @ TRIANGLE
    axes.scatter(*stable.T, marker="s", s=45, facecolors="none", edgecolors="black", label="reference hull")
    points = None
    for number, name in enumerate(strategies_of(result)):
        rows = [row for run in result["runs"] if run["strategy"] == name for row in proposed(run)]
        rows = [row for row in rows if row["state"] == "relaxed"]
        if rows:
            places = np.array([row["fractions"] for row in rows]) @ TRIANGLE
            above = [1000 * row["above_hull"] for row in rows]
            kind = "os^vDPX*"[number % 8]
            points = axes.scatter(*places.T, c=above, vmin=0, vmax=300, cmap="viridis", marker=kind, s=24, label=name)
    if points is not None:
        figure.colorbar(points, label="energy above the reference hull (meV/atom)")
    for symbol, (x, y) in zip(result["elements"], TRIANGLE, strict=True):
        axes.annotate(symbol, (x, y), textcoords="offset points", xytext=(0, 8 if y else -14), ha="center")
    axes.set_aspect("equal")
    axes.axis("off")
    axes.legend(fontsize=8)


def _on_hull(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in result["reference"] if item["above_hull"] <= ON_HULL]


def _panels(result: dict[str, Any], count: int) -> tuple[Figure, Sequence[Any]]:
    """Return a figure with `count` axes in a row and a title that names the system and the method."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, count, squeeze=False)[0]
    method = result["provenance"]["method"]["calculator"]
    figure.suptitle(
        f"{result['chemical_system']}, {method}: {result['budget']} relaxations, {result['seed_count']} of them seeds",
        fontsize=11,
    )
    return figure, panels
