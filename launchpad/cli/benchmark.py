"""Define `ccdcgan-al benchmark`. Each command measures one thing and prints a short table, or one line of JSON with --json.

A new benchmark is a module that returns an `Outcome`, and a command here that passes it to `show`. A module that needs no database belongs
in `ccdcgan_al/benchmarks/`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccdcgan_al.strategies.registry import STRATEGIES
from ccdcgan_al.types import DEFAULT_METHOD

if TYPE_CHECKING:
    from ccdcgan_al.benchmarks.outcome import Outcome

app = typer.Typer(
    help="Reproducible benchmarks. Each one prints a table and a ratio that is compared with a goal.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="print only one line of JSON")]


def show(measure: Callable[[], Outcome], as_json: bool) -> None:
    """Run a measurement and print it. An error that the user can correct is one line, with exit status 1."""
    from ccdcgan_al.errors import CcdcganError

    try:
        outcome = measure()
    except (CcdcganError, ValueError, OSError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        sys.stdout.write(json.dumps(outcome.as_dict()) + "\n")
        return
    print_outcome(outcome)


def print_outcome(outcome: Outcome) -> None:
    """Print an outcome: its table, its ratio with the goal, and its notes."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    if outcome.rows:
        table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        for name, value in outcome.rows[0].items():
            table.add_column(name, justify="left" if isinstance(value, str) else "right", no_wrap=True)
        for row in outcome.rows:
            table.add_row(*(_cell(value) for value in row.values()))
        Console(width=max(console.width, 124)).print(table)
    verdict = {True: ", met", False: ", NOT met", None: ""}[outcome.met]
    goal = f" (goal: {outcome.goal}{verdict})" if outcome.goal else ""
    ratio = "not measured in this run" if outcome.ratio is None else f"{outcome.ratio:.4g}"
    console.print(f"{outcome.ratio_of}: {ratio}{goal}", markup=False)
    for note in outcome.notes:
        console.print(note, markup=False)


def _cell(value: Any) -> str:
    """Return the text of one cell: numbers have six digits, and None is a dash."""
    from rich.markup import escape

    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


Counts = Annotated[str, typer.Option(help="numbers of structures, separated by commas; each gives a row of the table")]
Codecs = Annotated[str, typer.Option("--codecs", help="codecs to compare, separated by commas")]


def _numbers(text: str) -> list[int]:
    """Parse positive integers separated by commas."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"got {text!r}: give integers of at least 1, separated by commas")
    return numbers


@app.command()
def encode(counts: Counts = "1000,10000", codecs: Codecs = "fast,paper", as_json: AsJson = False) -> None:
    """Measure structures encoded per second, and whether the cost grows linearly."""
    from ccdcgan_al.benchmarks.codec_speed import measure_codec_speed

    numbers = _numbers(counts)
    show(lambda: measure_codec_speed("encode", numbers, codecs.split(",")), as_json)


@app.command()
def decode(counts: Counts = "1000,10000", codecs: Codecs = "fast,paper", as_json: AsJson = False) -> None:
    """Measure crystal graphs decoded per second, and whether the cost grows linearly."""
    from ccdcgan_al.benchmarks.codec_speed import measure_codec_speed

    numbers = _numbers(counts)
    show(lambda: measure_codec_speed("decode", numbers, codecs.split(",")), as_json)


@app.command()
def voxels(
    repeats: Annotated[int, typer.Option(min=1, help="number of runs; the median time is reported")] = 20,
    as_json: AsJson = False,
) -> None:
    """Compare the voxels of one structure by separable Gaussians and by the plain formula: time and largest difference."""
    from ccdcgan_al.benchmarks.voxel_speed import measure_voxel_speed

    show(lambda: measure_voxel_speed(repeats), as_json)


@app.command()
def generate(
    count: Annotated[str, typer.Option(help="numbers of graphs, separated by commas")] = "1000,10000,100000",
    networks: Annotated[str, typer.Option(help="networks of the GAN: default or published")] = "default",
    precision: Annotated[
        str, typer.Option(help="precision of the generator's products: float32 or bfloat16")
    ] = "float32",
    as_json: AsJson = False,
) -> None:
    """Measure crystal graphs generated and screened by the constraint ensemble per second, and the minutes for a million."""
    from ccdcgan_al.benchmarks.generate_speed import measure_generate_speed

    numbers = _numbers(count)
    kind: Any = networks
    products: Any = precision
    show(lambda: measure_generate_speed(numbers, kind, products), as_json)


@app.command()
def reconstruction(
    codec: Annotated[str, typer.Option(help="fast or paper")] = "fast",
    data: Annotated[
        Path | None, typer.Option(help="CSV file with material_id and cif; default: the AFLOW prototypes of pymatgen")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="number of held-out structures; default all")] = None,
    hard_cases: Annotated[int, typer.Option(min=0, help="number of hard cases of each kind")] = 100,
    as_json: AsJson = False,
) -> None:
    """Measure the fraction of held-out structures that a codec reproduces, by number of elements and sites."""
    from ccdcgan_al.benchmarks.reconstruction import measure_reconstruction

    show(lambda: measure_reconstruction(codec, data, count, hard_cases), as_json)


@app.command()
def ablation(
    data: Annotated[Path, typer.Option(help="data set of relaxed structures")] = Path(
        "docs/results/ablation-data.json.gz"
    ),
    work: Annotated[
        Path, typer.Option(help="folder of finished parts and relaxations; the same folder continues a run")
    ] = Path("ablation-work"),
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the result; plots are written to the same folder")
    ] = None,
    strategies: Annotated[
        str, typer.Option(help=f"strategies, separated by commas: {', '.join(STRATEGIES)}")
    ] = "random,dcgan,screened,ccdcgan,latent",
    seeds: Annotated[int, typer.Option(min=1, help="number of random seeds")] = 3,
    training: Annotated[str, typer.Option(help="numbers of training structures, separated by commas")] = "160",
    draws: Annotated[int, typer.Option(min=1, help="crystal graphs for each strategy and seed")] = 1000,
    relaxations: Annotated[int, typer.Option(min=1, help="relaxations for each strategy and seed")] = 12,
    rejudge: Annotated[
        bool,
        typer.Option(
            "--rejudge", help="convert the JSON file --out of an earlier version to the current element references only"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare strategies on the same data and budget: valid, unique, novel, energies, and fractions near the hull."""
    from launchpad.cli.benchmark_ablation import measure_ablation, rejudge_ablation

    sizes = _numbers(training)
    show(
        lambda: (
            rejudge_ablation(data, out)
            if rejudge
            else measure_ablation(data, work, out, strategies.split(","), seeds, sizes, draws, relaxations)
        ),
        as_json,
    )


@app.command()
def discovery(
    system: Annotated[str, typer.Argument(help="a system with a campaign spec, e.g. Bi-Se")],
    budget: Annotated[
        int | None, typer.Option(min=3, help="relaxations for each strategy and seed, including starting structures")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="number of random seeds, from 0")] = 3,
    strategies: Annotated[
        str,
        typer.Option(
            help=f"strategies, separated by commas: {', '.join(STRATEGIES)}, or one-shot (ccdcgan, trained once)"
        ),
    ] = "random,substitution,one-shot,dcgan,ccdcgan",
    withhold_hull: Annotated[
        bool | None,
        typer.Option(help="keep the phases on the reference hull out of seeds and training; default: as in the spec"),
    ] = None,
    seed_count: Annotated[
        int | None, typer.Option(min=2, help="number of starting structures; default: as in the spec")
    ] = None,
    per_round: Annotated[
        int | None, typer.Option(min=1, help="relaxations in each round; default: as in the spec")
    ] = None,
    work: Annotated[Path, typer.Option(help="folder of runs and relaxations; the same folder continues a run")] = Path(
        "discovery-work"
    ),
    out: Annotated[Path | None, typer.Option(help="folder for JSON, page and plots of the system")] = None,
    only_report: Annotated[bool, typer.Option(help="report existing runs; run only the check of --check")] = False,
    rejudge: Annotated[
        bool,
        typer.Option(
            "--rejudge",
            help="convert the JSON file in --out of an earlier version to the current element references only",
        ),
    ] = False,
    check: Annotated[bool, typer.Option(help="also relax phases near the hull with 7net-l3i5 and CHGNet")] = True,
    as_json: AsJson = False,
) -> None:
    """Compare strategies on the same references, seeds, budget and relaxer: new phases found, and how fast."""
    from launchpad.cli.benchmark_discovery import Experiment, measure_discovery, rejudge_discovery

    experiment = Experiment(
        system, tuple(strategies.split(",")), tuple(range(seeds)), budget, seed_count, per_round, withhold_hull, work
    )
    show(
        lambda: (
            rejudge_discovery(experiment, out)
            if rejudge
            else measure_discovery(experiment, out, only_report=only_report, check=check)
        ),
        as_json,
    )


@app.command()
def train(
    count: Annotated[int, typer.Option(min=20, help="number of training structures")] = 1000, as_json: AsJson = False
) -> None:
    """Measure the time and disk space to train the constraint and the GAN."""
    from ccdcgan_al.benchmarks.training import measure_training

    show(lambda: measure_training(count), as_json)


@app.command("round-size")
def round_size(
    sizes: Annotated[str, typer.Option(help="numbers of structures in a round, separated by commas")] = "50,500,5000",
    repeats: Annotated[
        int, typer.Option(min=1, help="rounds of the smallest size before and after each larger size")
    ] = 3,
    as_json: AsJson = False,
) -> None:
    """Measure the LaunchPad time per structure for rounds of different size. The relaxations return immediately."""
    from launchpad.benchmarks.round_size import measure_round_size

    numbers = _numbers(sizes)
    show(lambda: measure_round_size(numbers, repeats), as_json)


@app.command()
def database(
    count: Annotated[
        int, typer.Option(min=1000, help="number of generated structures to insert and query")
    ] = 1_000_000,
    kept: Annotated[int, typer.Option(min=10, help="number of structures to compare new ones with")] = 100_000,
    new: Annotated[int, typer.Option(min=5, help="number of new structures")] = 1000,
    entries: Annotated[int, typer.Option(min=10, help="number of entries in the hull")] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Measure insertions, queries, comparisons and the hull with a million structures."""
    from launchpad.benchmarks.database import measure_database

    show(lambda: measure_database(count, kept, new, entries), as_json)


@app.command()
def overhead(
    count: Annotated[int, typer.Option(min=2, help="number of structures to relax")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="number of pairs of runs")] = 2,
    method: Annotated[str, typer.Option(help="potential for the relaxations")] = DEFAULT_METHOD,
    workers: Annotated[int, typer.Option(min=1, help="number of processes with one thread each")] = 2,
    as_json: AsJson = False,
) -> None:
    """Compare the wall time of relaxations through the LaunchPad with a bare loop over the same structures."""
    from launchpad.benchmarks.overhead import measure_overhead

    show(lambda: measure_overhead(count, repeats, method, workers), as_json)


@app.command()
def relax(
    count: Annotated[int, typer.Option(min=1, help="number of Bi-Se prototypes to relax")] = 8,
    seed: Annotated[int, typer.Option(help="random seed of the choice")] = 0,
    fmax: Annotated[float, typer.Option(min=0.001, help="convergence threshold of the forces (eV/Å)")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Compare the relaxation speed with atomate2's ForceFieldRelaxMaker, one by one, for the same potential and structures."""
    from workflows.experiments.relax_benchmark import measure_relaxations

    show(lambda: measure_relaxations(count, seed, fmax), as_json)


@app.command("formation-energies")
def formation_energies(
    data: Annotated[
        Path,
        typer.Option(help="CSV file, optionally gzipped, with material_id, formation_energy_per_atom and cif"),
    ],
    count: Annotated[int | None, typer.Option("--n", min=1, help="number of compounds; default 300")] = 300,
    method: Annotated[str, typer.Option(help="potential")] = DEFAULT_METHOD,
    relax: Annotated[bool, typer.Option("--relax", help="relax each compound instead of a single point")] = False,
    polymorphs: Annotated[
        bool, typer.Option("--polymorphs", help="use only formulas with several entries, with all their entries")
    ] = False,
    seed: Annotated[int, typer.Option(help="random seed of the choice")] = 0,
    work: Annotated[Path | None, typer.Option(help="folder of relaxations; the same folder continues a run")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare formation energies with those of a table, for the method's own and the Materials Project's elements."""
    from workflows.experiments.formation_energies import measure_formation_energies

    show(
        lambda: measure_formation_energies(data, count, method, seed, work, relax=relax, polymorphs=polymorphs), as_json
    )


@app.command()
def elements(
    method: Annotated[str, typer.Option(help="potential")] = DEFAULT_METHOD,
    only: Annotated[
        str, typer.Option(help="element symbols, separated by commas; default: all elements of the Materials Project")
    ] = "",
    work: Annotated[Path | None, typer.Option(help="folder of relaxations; the same folder continues a run")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the element energies of a potential with the Materials Project's. They are the references of a hull."""
    from workflows.experiments.element_energies import measure_elements

    show(lambda: measure_elements(method, [part for part in only.split(",") if part], work), as_json)


@app.command()
def constraint(
    sizes: Annotated[
        str, typer.Option(help="numbers of training structures, separated by commas")
    ] = "50,100,200,400,500",
    splits: Annotated[str, typer.Option(help="splits, 0 to 9, separated by commas")] = "1,2,3",
    results: Annotated[
        Path | None,
        typer.Option(help="folder for the result of each training and the figure; the same folder continues a run"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the constraint's error on held-out families against the number of training structures, with two baselines."""
    from ccdcgan_al.benchmarks.constraint_error import measure_constraint
    from ccdcgan_al.benchmarks.constraint_figure import constraint_figure

    numbers = _numbers(sizes)
    chosen = [int(part) for part in splits.split(",")]

    def measure() -> Outcome:
        outcome = measure_constraint(numbers, chosen, results)
        if results is not None:
            constraint_figure(outcome.figures["runs"]).savefig(results / "constraint.png", dpi=150)
        return outcome

    show(measure, as_json)


@app.command("relaxed-set")
def relaxed_set(
    folder: Annotated[Path, typer.Argument(help="cache of relaxations; structures in the cache are not relaxed again")],
    out: Annotated[Path, typer.Option(help="file for the data set, gzipped JSON")],
    table: Annotated[
        Path | None, typer.Option(help="CSV file of prototypes with material_id, pretty_formula and cif")
    ] = None,
    ternaries: Annotated[int, typer.Option(min=0, help="number of ternary prototypes of the table")] = 900,
    draws: Annotated[int, typer.Option(min=0, help="number of random crystals")] = 220,
    extend: Annotated[
        Path | None,
        typer.Option(help="data set to extend with other structures of the cache; nothing is relaxed"),
    ] = None,
) -> None:
    """Rebuild the Bi-Se data set of `benchmark constraint`. It takes hours. The same command continues a stopped run."""
    from ccdcgan_al.benchmarks.relaxed_set import read_set, write_set
    from ccdcgan_al.benchmarks.starting_pool import starting_pool
    from workflows.experiments.relaxed_set import extended_set, relax_pool
    from workflows.experiments.relaxed_set import relaxed_set as collect
    from workflows.relax import GuardedForceFieldRelaxMaker
    from workflows.result_cache import ResultCache

    elements = ("Bi", "Se")
    if extend is not None:
        structures, about = read_set(extend)
        data = extended_set(structures, about, ResultCache(folder).documents(), elements)
        write_set(data, out)
        typer.echo(
            f"{len(data['structures'])} structures in {out}, {len(structures)} of them from {extend}; left out: {data['left_out']}"
        )
        return
    pool = starting_pool(elements, table, ternaries, draws)
    data = collect(relax_pool(pool, ResultCache(folder), GuardedForceFieldRelaxMaker(method="sevennet")), elements)
    write_set(data, out)
    typer.echo(f"{len(data['structures'])} of {len(pool)} structures in {out}; left out: {data['left_out'] or 'none'}")
