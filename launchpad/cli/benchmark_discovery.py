"""Implement `ccdcgan-al benchmark discovery`: run the missing parts of an experiment, write result, page and plots, return a table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcgan_al.benchmarks.outcome import Outcome

if TYPE_CHECKING:
    from workflows.experiments.discovery import Discovery


OVERVIEW = """`ccdcgan-al benchmark discovery` wrote this page from the JSON files in this folder. `docs/discovery.md` describes the experiment.

- Counts are unique new phases within 0, 50 and 100 meV/atom of the reference hull, of all relaxations after the seeds, summed over random seeds.
- Withheld phases are those within 20 sites and 10 Å.
- The last column counts the phases of all strategies within 50 meV/atom of the hull. Phases within 25 meV/atom also by `7net-l3i5` are claimed."""


@dataclass(frozen=True)
class Experiment:
    """Choices of the user. None means the value of the system's spec."""

    system: str
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: int | None
    seed_count: int | None
    per_round: int | None
    withhold_hull: bool | None
    work: Path

    def discovery(self, maker: Any = None) -> Discovery:
        """Check the choices and return the experiment.

        Raises
        ------
        ValueError
            The system or a strategy is unknown, or the budget leaves no relaxation after the seeds.
        """
        from ccdcgan_al.reports.discovery import ONE_SHOT
        from ccdcgan_al.strategies.registry import check_strategies
        from workflows.experiments.campaign_spec import read_spec
        from workflows.experiments.discovery import Discovery
        from workflows.result_cache import ResultCache

        check_strategies(self.strategies, also=[ONE_SHOT])
        spec = read_spec(self.system)
        chosen = {
            "budget": self.budget,
            "seed_count": self.seed_count,
            "per_round": self.per_round,
            "withhold_hull": self.withhold_hull,
        }
        choices: Any = {name: getattr(spec, name) if value is None else value for name, value in chosen.items()}
        if choices["budget"] <= choices["seed_count"]:
            raise ValueError(
                f"a budget of {choices['budget']} relaxations leaves none after {choices['seed_count']} seeds: "
                "increase --budget, or reduce --seed-count"
            )
        return Discovery(spec, self.work, ResultCache(self.work / "relaxed"), maker=maker, **choices)

    def command(self) -> str:
        """Return the command for the same comparison with the budget of the spec."""
        from workflows.experiments.campaign_spec import read_spec

        spec = read_spec(self.system)
        return (
            f"ccdcgan-al benchmark discovery {spec.chemical_system} --budget {spec.budget} --seeds {max(3, len(self.seeds))} "
            f"--strategies {','.join(self.strategies)}{' --withhold-hull' if spec.withhold_hull else ''}"
        )


def measure_discovery(
    experiment: Experiment, out: Path | None, *, only_report: bool, check: bool = True, maker: Any = None
) -> Outcome:
    """Run the missing parts of an experiment, and report it.

    Parameters
    ----------
    experiment : Experiment
        Choices of the user.
    out : Path or None
        Folder for JSON, page and plots. None means nothing is written.
    only_report : bool
        Whether to report existing runs and to run only the check.
    check : bool, default True
        Whether to relax the phases near the hull also with other potentials.
    maker : Any, optional
        Relaxer to use instead of the spec's method.

    Raises
    ------
    ValueError
        A choice is not valid, or there is no run to report.
    """
    from ccdcgan_al.reports.discovery import with_figures
    from workflows.experiments.discovery_judge import CHECKS, Judge

    discovery = experiment.discovery(maker)
    if not only_report:
        for seed in experiment.seeds:
            for strategy in experiment.strategies:
                name: Any = strategy
                discovery.run(name, seed)
    judge = Judge(discovery, CHECKS if check else ())
    result = judge.result(experiment.strategies, experiment.seeds)
    if not result["runs"]:
        raise ValueError(
            f"{experiment.work} has no run of {discovery.spec.chemical_system} with these choices: run again without --only-report"
        )
    told = with_figures({**result, "goes_on": experiment.command()})
    if out is not None:
        write_result(told, out)
    return outcome_of(told)


def rejudge_discovery(experiment: Experiment, out: Path | None) -> Outcome:
    """Convert the result of an earlier version to the current element references, and replace JSON, page and plots.

    Parameters
    ----------
    experiment : Experiment
        System, and folder of relaxations.
    out : Path or None
        Folder of the JSON file.

    Raises
    ------
    ValueError
        The JSON file of the system is missing or already converted, or its references now relax to other energies.
    """
    from ccdcgan_al.reports.discovery import with_figures
    from workflows.experiments.discovery_judge import Judge
    from workflows.experiments.rejudge_results import rejudged

    file = (out or Path()) / f"{experiment.system}.json"
    if out is None or not file.is_file():
        raise ValueError(f"{file}: no such file; give --out, the folder with the JSON file of {experiment.system}")
    stored = json.loads(file.read_text(encoding="utf-8"))
    told = with_figures(rejudged(stored, Judge(experiment.discovery())))
    write_result(told, out)
    return outcome_of(told)


def write_result(result: dict[str, Any], out: Path) -> None:
    """Write JSON, page and plots of a system to a folder, and the table of all systems there that have the current element references."""
    from ccdcgan_al.files import write_atomically
    from ccdcgan_al.reports.discovery import plot_curve, plot_energies, plot_hull
    from ccdcgan_al.reports.discovery_page import overview, page
    from workflows.experiments.campaign_spec import systems

    out.mkdir(parents=True, exist_ok=True)
    name = result["chemical_system"]
    write_atomically(out / f"{name}.json", json.dumps(result) + "\n", 0o644)
    write_atomically(out / f"{name}.md", page(result), 0o644)
    files = [out / f"{known}.json" for known in systems() if (out / f"{known}.json").is_file()]
    results = [
        stored for file in files if "element_references" in (stored := json.loads(file.read_text()))["provenance"]
    ]
    text = f"# Discovery: all systems\n\n{OVERVIEW}\n\n{overview(results)}\n"
    write_atomically(out / "README.md", text, 0o644)
    for kind, plot in (("curve", plot_curve), ("hull", plot_hull), ("energies", plot_energies)):
        plot(result).savefig(out / f"{name}-{kind}.png", dpi=130)


def outcome_of(result: dict[str, Any]) -> Outcome:
    """Return the table by strategy. The ratio is the acceleration of `ccdcgan` over `random` within 50 meV/atom."""
    from ccdcgan_al.reports.discovery import COLUMNS

    rows = [
        {"strategy": name, **{heading: figures[column][0] for column, heading in COLUMNS.items()}}
        for name, figures in result["summary"].items()
    ]
    ratio = result["acceleration_over_random"]["0.05"]
    complete = sum(run["complete"] for run in result["runs"])
    return Outcome(
        benchmark="discovery",
        rows=rows,
        ratio=ratio,
        ratio_of="unique new phases within 50 meV/atom per 100 relaxations, ccdcgan divided by random",
        goal=">= 5",
        met=None if ratio is None else ratio >= 5,  # noqa: PLR2004
        notes=[
            (
                f"{result['chemical_system']}: {complete} of {len(result['runs'])} runs are complete; {result['budget']} relaxations each, "
                f"{result['seed_count']} of them seeds; withheld: {', '.join(result['withheld']) or 'none'}"
            ),
            "new phases and S.U.N. refer to all relaxations after the seeds, including failures; energies in meV/atom above the reference hull",
        ],
        figures={
            name: result[name]
            for name in (
                "acceleration_over_random",
                "acceleration_over_one_shot",
                "withheld_total",
                "withheld_found",
                "sun",
            )
        },
    )
