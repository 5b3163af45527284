"""`ccdcgan-al benchmark ablation`: runs what is missing of an ablation, writes result and plots, and returns its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from ccdcgan_al.benchmarks.outcome import Outcome
from ccdcgan_al.types import Strategy


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
    """Run an ablation, or the rest of one.

    Parameters
    ----------
    data : file of `workflows.experiments.ablation.write_data`
    work : folder of finished parts and of relaxations
    out : JSON file of the result; two plots go beside it. None: neither
    strategies : names
    seeds : how many, from 0
    training : how many structures to learn from, one number or several; a larger set holds the smaller ones
    draws, relaxations : budget of a strategy and seed

    Raises
    ------
    ValueError : an unknown strategy
    OSError : no such data file
    """
    unknown = [name for name in strategies if name not in get_args(Strategy)]
    if unknown:
        raise ValueError(f"unknown strategy {', '.join(unknown)}: wanted some of {', '.join(get_args(Strategy))}")
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
    """Judge the result of an earlier version again, with this version's zero, and write JSON and plots in its place.

    Parameters
    ----------
    data : Path
        The data set that it was made with.
    out : Path or None
        The JSON file.

    Raises
    ------
    ValueError
        There is no such JSON, it is judged again already, or it is of another data set.
    OSError
        No such data file.
    """
    from workflows.experiments.ablation import read_data
    from workflows.experiments.rejudge_results import rejudged_ablation

    if out is None or not out.is_file():
        raise ValueError(f"{out}: no such file; give --out, the JSON of the ablation")
    result = rejudged_ablation(json.loads(out.read_text(encoding="utf-8")), read_data(data, 1))
    write_result(result, out)
    return outcome_of(result)


def write_result(result: dict[str, Any], out: Path) -> None:
    """Write the JSON and, beside it, the figures of energies and compositions."""
    from ccdcgan_al.files import write_atomically
    from ccdcgan_al.reports.ablation import plot_compositions, plot_energies

    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, json.dumps(result) + "\n", 0o644)
    for name, plot in (("energies", plot_energies), ("compositions", plot_compositions)):
        plot(result).savefig(out.with_name(f"{out.stem}-{name}.png"), dpi=130)


def outcome_of(result: dict[str, Any]) -> Outcome:
    """Table by strategy; the ratio is how much lower `ccdcgan` ends than `dcgan` above the hull."""
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
        ratio_of="mean energy above hull of what dcgan's candidates relax to, over ccdcgan's",
        goal="> 1",
        met=None if ratio is None else ratio > 1,
        notes=[
            (
                f"means over {len({run['seed'] for run in result['runs']})} seeds; {result['relaxations']} relaxations each, "
                f"{result['draws']} graphs drawn ({result['random_draws']} crystals by random), {learnt} to learn from"
            ),
            (
                f"energies in meV/atom, {result['method']['calculator']}, hull of {len(result['data'])} relaxed structures; shares within "
                f"{1000 * NEAR_HULL:.0f} and {1000 * METASTABLE:.0f} meV/atom are of all that were given to the relaxer"
            ),
        ],
        figures={"summary": summary},
    )
