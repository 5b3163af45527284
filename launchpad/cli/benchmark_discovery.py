"""`ccdcgan-al benchmark discovery`: runs what is missing of an experiment, writes result, page and plots, and returns its table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ccdcgan_al.benchmarks.outcome import Outcome

if TYPE_CHECKING:
    from workflows.experiments.discovery import Discovery


OVERVIEW = """Written by `ccdcgan-al benchmark discovery` from the JSON files beside it; `docs/discovery.md` has the experiment and what is counted.
Counts are added up over random seeds: unique new phases within 0, 50 and 100 meV/atom of the reference hull, of all relaxations after the seeds.
Withheld phases are those within 20 sites and 10 Å. Near the hull, of all strategies of a system: within 50 meV/atom; claimed are those within 25 by
`7net-l3i5` too."""


@dataclass(frozen=True)
class Experiment:
    """What the user chose; None: as the system's spec says."""

    system: str
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: int | None
    seed_count: int | None
    per_round: int | None
    withhold_hull: bool | None
    work: Path

    def discovery(self, maker: Any = None) -> Discovery:
        """Return the experiment, checked.

        Raises
        ------
        ValueError : an unknown system or strategy, or a budget that leaves nothing after the seeds
        """
        from workflows.experiments.campaign_spec import read_spec
        from workflows.experiments.discovery import Discovery, DiscoveryStrategy
        from workflows.result_cache import ResultCache

        known = get_args(DiscoveryStrategy)
        unknown = [name for name in self.strategies if name not in known]
        if unknown:
            raise ValueError(f"unknown strategy {', '.join(unknown)}: wanted some of {', '.join(known)}")
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
                f"a budget of {choices['budget']} relaxations leaves none after {choices['seed_count']} seeds: raise --budget or lower --seed-count"
            )
        return Discovery(spec, self.work, ResultCache(self.work / "relaxed"), maker=maker, **choices)

    def command(self) -> str:
        """Return the command that makes the same comparison at the spec's own budget."""
        from workflows.experiments.campaign_spec import read_spec

        spec = read_spec(self.system)
        return (
            f"ccdcgan-al benchmark discovery {spec.chemical_system} --budget {spec.budget} --seeds {max(3, len(self.seeds))} "
            f"--strategies {','.join(self.strategies)}{' --withhold-hull' if spec.withhold_hull else ''}"
        )


def measure_discovery(
    experiment: Experiment, out: Path | None, *, only_report: bool, check: bool = True, maker: Any = None
) -> Outcome:
    """Run an experiment, or the rest of one, and report it.

    Parameters
    ----------
    experiment : what the user chose
    out : folder of JSON, page and plots; None: nothing is written
    only_report : tell what is there, run nothing but the check
    check : relax what is near the hull by other potentials too
    maker : in place of the relaxer of the spec's method
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
            f"no run of {discovery.spec.chemical_system} with these choices in {experiment.work}: leave out --only-report"
        )
    told = with_figures({**result, "goes_on": experiment.command()})
    if out is not None:
        write_result(told, out)
    return outcome_of(told)


def rejudge_discovery(experiment: Experiment, out: Path | None) -> Outcome:
    """Judge the result of an earlier version again, with this version's zero, and write JSON, page and plots in its place.

    Parameters
    ----------
    experiment : Experiment
        The system, and the folder of relaxations.
    out : Path or None
        Folder of the JSON.

    Raises
    ------
    ValueError
        There is no JSON of the system in `out`, it is judged again already, or its references relax to something else now.
    """
    from ccdcgan_al.reports.discovery import with_figures
    from workflows.experiments.discovery_judge import Judge
    from workflows.experiments.rejudge_results import rejudged

    file = (out or Path()) / f"{experiment.system}.json"
    if out is None or not file.is_file():
        raise ValueError(f"{file}: no such file; give --out, the folder with the JSON of {experiment.system}")
    stored = json.loads(file.read_text(encoding="utf-8"))
    told = with_figures(rejudged(stored, Judge(experiment.discovery())))
    write_result(told, out)
    return outcome_of(told)


def write_result(result: dict[str, Any], out: Path) -> None:
    """Write JSON, page and plots of a system in a folder, and the table of all systems that are there with this version's zero."""
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
    """Table by strategy; the ratio is the acceleration of `ccdcgan` over `random` within 50 meV/atom."""
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
        ratio_of="unique new phases within 50 meV/atom per 100 relaxations, ccdcgan over random",
        goal=">= 5",
        met=None if ratio is None else ratio >= 5,  # noqa: PLR2004
        notes=[
            (
                f"{result['chemical_system']}: {complete} of {len(result['runs'])} runs complete; {result['budget']} relaxations each, "
                f"{result['seed_count']} of them seeds; withheld: {', '.join(result['withheld']) or 'nothing'}"
            ),
            "new phases and S.U.N. are per relaxation after the seeds, failures counted; energies in meV/atom above the reference hull",
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
