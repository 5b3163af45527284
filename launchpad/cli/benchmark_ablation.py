"""Implement `ccdcgan-al benchmark ablation`: run the missing parts of an ablation, write result and plots, return a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ccdcgan_al.benchmarks.outcome import Outcome
from ccdcgan_al.strategies.registry import check_strategies


def measure_ablation(
    data: Path,
    work: Path,
    out: Path | None,
    strategies: Sequence[str],
    seeds: int,
    training: Sequence[int],
    draws: int,
    relaxations: int,
) -> Outcome:
    """Run the missing parts of an ablation.

    Parameters
    ----------
    data : Path
        Data set of relaxed structures (see `workflows.experiments.ablation.read_data`).
    work : Path
        Folder of finished parts and of relaxations.
    out : Path or None
        JSON file for the result. Two plots are written to the same folder. None means nothing is written.
    strategies : sequence of str
        Names of strategies.
    seeds : int
        Number of random seeds, from 0.
    training : sequence of int
        Numbers of training structures. A larger set contains the smaller ones.
    draws : int
        Number of crystal graphs for each strategy and seed.
    relaxations : int
        Number of relaxations for each strategy and seed.

    Raises
    ------
    ValueError
        A strategy is unknown.
    OSError
        The data file cannot be read.
    """
    check_strategies(strategies)
    from workflows.experiments.ablation import Ablation, read_data
    from workflows.result_cache import ResultCache

    chosen: Any = list(strategies)
    runs: list[dict[str, Any]] = []
    for size in sorted(training):
        learnt, cache = read_data(data, size), ResultCache(work / "relaxed")
        ablation = Ablation(learnt, work, cache, draws=draws, relaxations=relaxations)
        runs += ablation.run(chosen, range(seeds))
    result = ablation.result(runs)
    if out is not None:
        write_result(result, out)
    return outcome_of(result)


def rejudge_ablation(data: Path, out: Path | None) -> Outcome:
    """Convert the result of an earlier version to the current element references, and replace its JSON file and plots.

    Parameters
    ----------
    data : Path
        Data set of the result.
    out : Path or None
        JSON file of the result.

    Raises
    ------
    ValueError
        The JSON file is missing, is already converted, or belongs to another data set.
    OSError
        The data file cannot be read.
    """
    from workflows.experiments.ablation import read_data
    from workflows.experiments.rejudge_results import rejudged_ablation

    if out is None or not out.is_file():
        raise ValueError(f"{out}: no such file; give --out, the JSON file of the ablation")
    result = rejudged_ablation(json.loads(out.read_text(encoding="utf-8")), read_data(data, 1))
    write_result(result, out)
    return outcome_of(result)


def write_result(result: dict[str, Any], out: Path) -> None:
    """Write the JSON file, and the figures of energies and compositions in the same folder."""
    from ccdcgan_al.files import write_atomically
    from ccdcgan_al.reports.ablation import plot_compositions, plot_energies

    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, json.dumps(result) + "\n", 0o644)
    for name, plot in (("energies", plot_energies), ("compositions", plot_compositions)):
        plot(result).savefig(out.with_name(f"{out.stem}-{name}.png"), dpi=130)


def outcome_of(result: dict[str, Any]) -> Outcome:
    """Return the table by strategy. The ratio compares the mean energies above hull of `dcgan` and `ccdcgan`."""
    from ccdcgan_al.hull.hull import METASTABLE, NEAR_HULL
    from ccdcgan_al.reports.ablation import COLUMNS, summarise

    summary = summarise(result)
    learnt = " and ".join(str(size) for size in sorted({run["training"] for run in result["runs"]}))
    rows = [
        {"strategy": name, **{COLUMNS[key]: round(values[0], 3) for key, values in figures.items()}}
        for name, figures in summary.items()
    ]
    ratio = None
    if {"ccdcgan", "dcgan"} <= summary.keys():
        ratio = summary["dcgan"]["above"][0] / summary["ccdcgan"]["above"][0]
    return Outcome(
        benchmark="ablation",
        rows=rows,
        ratio=ratio,
        ratio_of="mean energy above hull of dcgan's relaxed candidates divided by ccdcgan's",
        goal="> 1",
        met=None if ratio is None else ratio > 1,
        notes=[
            (
                f"means over {len({run['seed'] for run in result['runs']})} seeds; {result['relaxations']} relaxations, "
                f"{result['draws']} graphs ({result['random_draws']} crystals for random) and {learnt} training structures for each strategy "
                "and seed"
            ),
            (
                f"energies in meV/atom, {result['method']['calculator']}, hull of {len(result['data'])} relaxed structures; fractions within "
                f"{1000 * NEAR_HULL:.0f} and {1000 * METASTABLE:.0f} meV/atom refer to all structures that were sent to the relaxer"
            ),
        ],
        figures={"summary": summary},
    )
