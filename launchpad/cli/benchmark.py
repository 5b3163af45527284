"""`ccdcgan-al benchmark`: each command measures one thing, prints a short table, and with --json exactly one line of JSON.

A new benchmark is one module that returns an `Outcome` (under `ccdcgan_al/benchmarks/` where it needs no database) and one
command here that calls it and hands it to `show`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccdcgan_al.types import DEFAULT_METHOD

if TYPE_CHECKING:
    from ccdcgan_al.benchmarks.outcome import Outcome

app = typer.Typer(help="Measurements that anyone can repeat: a table and a ratio each.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="print one line of JSON, and nothing else")]


def show(measure: Callable[[], Outcome], as_json: bool) -> None:
    """Run a measurement and print it; what the user can mend is one line and exit status 1."""
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
    """Print an outcome as a table, its ratio against the goal, and its notes."""
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
    """Text of one cell: six digits of a number, a dash for what is not there."""
    from rich.markup import escape

    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


Counts = Annotated[str, typer.Option(help="how many structures, separated by commas: one line of the table each")]
Codecs = Annotated[str, typer.Option("--codecs", help="codecs to compare, separated by commas")]


def _numbers(text: str) -> list[int]:
    """Read positive whole numbers separated by commas."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{text!r}: wanted whole numbers from 1, separated by commas")
    return numbers


@app.command()
def encode(counts: Counts = "1000,10000", codecs: Codecs = "fast,paper", as_json: AsJson = False) -> None:
    """Structures encoded a second, and whether the cost grows linearly."""
    from ccdcgan_al.benchmarks.codec_speed import measure_codec_speed

    numbers = _numbers(counts)
    show(lambda: measure_codec_speed("encode", numbers, codecs.split(",")), as_json)


@app.command()
def decode(counts: Counts = "1000,10000", codecs: Codecs = "fast,paper", as_json: AsJson = False) -> None:
    """Crystal graphs decoded a second, and whether the cost grows linearly."""
    from ccdcgan_al.benchmarks.codec_speed import measure_codec_speed

    numbers = _numbers(counts)
    show(lambda: measure_codec_speed("decode", numbers, codecs.split(",")), as_json)


@app.command()
def voxels(
    repeats: Annotated[int, typer.Option(min=1, help="runs whose median counts")] = 20, as_json: AsJson = False
) -> None:
    """One structure's published voxels, separable against the plain formula: time and largest difference."""
    from ccdcgan_al.benchmarks.voxel_speed import measure_voxel_speed

    show(lambda: measure_voxel_speed(repeats), as_json)


@app.command()
def generate(
    count: Annotated[str, typer.Option(help="graphs, several numbers separated by commas")] = "1000,10000,100000",
    networks: Annotated[str, typer.Option(help="the GAN's: default or published")] = "default",
    precision: Annotated[str, typer.Option(help="of the generator's products: float32 or bfloat16")] = "float32",
    as_json: AsJson = False,
) -> None:
    """Crystal graphs generated and screened by the constraint ensemble a second, and the minutes for a million."""
    from ccdcgan_al.benchmarks.generate_speed import measure_generate_speed

    numbers = _numbers(count)
    kind: Any = networks
    products: Any = precision
    show(lambda: measure_generate_speed(numbers, kind, products), as_json)


@app.command()
def reconstruction(
    codec: Annotated[str, typer.Option(help="fast or paper")] = "fast",
    data: Annotated[
        Path | None, typer.Option(help="csv with material_id and cif; default: AFLOW prototypes, which anyone has")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="held-out structures; default all")] = None,
    hard_cases: Annotated[int, typer.Option(min=0, help="of each hard kind")] = 100,
    as_json: AsJson = False,
) -> None:
    """Share of held-out structures that a codec gives back, by number of elements and sites."""
    from ccdcgan_al.benchmarks.reconstruction import measure_reconstruction

    show(lambda: measure_reconstruction(codec, data, count, hard_cases), as_json)


@app.command()
def ablation(
    data: Annotated[Path, typer.Option(help="data set of relaxed structures")] = Path(
        "docs/results/ablation-data.json.gz"
    ),
    work: Annotated[Path, typer.Option(help="folder of finished parts and relaxations; the same one goes on")] = Path(
        "ablation-work"
    ),
    out: Annotated[Path | None, typer.Option(help="where to write the result as JSON; plots go beside it")] = None,
    strategies: Annotated[str, typer.Option(help="separated by commas")] = "random,dcgan,screened,ccdcgan,latent",
    seeds: Annotated[int, typer.Option(min=1, help="how many")] = 3,
    training: Annotated[str, typer.Option(help="structures to learn from, separated by commas")] = "160",
    draws: Annotated[int, typer.Option(min=1, help="crystal graphs a strategy and seed")] = 1000,
    relaxations: Annotated[int, typer.Option(min=1, help="a strategy and seed")] = 12,
    rejudge: Annotated[
        bool,
        typer.Option(
            "--rejudge", help="give the JSON --out, of an earlier version, this version's zero; runs no strategy"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Every strategy on the same data and budget: valid, unique, novel, energies, and the share near the hull."""
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
    budget: Annotated[int | None, typer.Option(min=3, help="relaxations a strategy and seed, seeds included")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="random seeds, from 0")] = 3,
    strategies: Annotated[
        str, typer.Option(help="of random, substitution, perturbation, one-shot, dcgan, screened, ccdcgan, latent")
    ] = "random,substitution,one-shot,dcgan,ccdcgan",
    withhold_hull: Annotated[
        bool | None,
        typer.Option(help="keep what is on the reference hull out of seeds and training; default: the spec's"),
    ] = None,
    seed_count: Annotated[int | None, typer.Option(min=2, help="starting structures; default: the spec's")] = None,
    per_round: Annotated[int | None, typer.Option(min=1, help="relaxations in each round; default: the spec's")] = None,
    work: Annotated[Path, typer.Option(help="folder of runs and relaxations; the same one goes on")] = Path(
        "discovery-work"
    ),
    out: Annotated[Path | None, typer.Option(help="folder for JSON, page and plots of the system")] = None,
    only_report: Annotated[bool, typer.Option(help="tell what is there, run nothing but that check")] = False,
    rejudge: Annotated[
        bool,
        typer.Option(
            "--rejudge", help="give the JSON in --out, of an earlier version, this version's zero; runs no strategy"
        ),
    ] = False,
    check: Annotated[bool, typer.Option(help="relax what is near the hull by 7net-l3i5 and CHGNet too")] = True,
    as_json: AsJson = False,
) -> None:
    """Every strategy on the same references, seeds, budget and relaxer: what it finds, and how fast."""
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
    count: Annotated[int, typer.Option(min=20, help="structures to learn from")] = 1000, as_json: AsJson = False
) -> None:
    """Seconds to train constraint and GAN, and the disk that it takes."""
    from ccdcgan_al.benchmarks.training import measure_training

    show(lambda: measure_training(count), as_json)


@app.command("round-size")
def round_size(
    sizes: Annotated[
        str, typer.Option(help="structures in a round, several numbers separated by commas")
    ] = "50,500,5000",
    repeats: Annotated[int, typer.Option(min=1, help="rounds of the smallest size before and after each other")] = 3,
    as_json: AsJson = False,
) -> None:
    """LaunchPad time per structure as a round grows, with relaxations that return at once."""
    from launchpad.benchmarks.round_size import measure_round_size

    numbers = _numbers(sizes)
    show(lambda: measure_round_size(numbers, repeats), as_json)


@app.command()
def database(
    count: Annotated[
        int, typer.Option(min=1000, help="generated structures, to insert and to query among")
    ] = 1_000_000,
    kept: Annotated[int, typer.Option(min=10, help="structures that new ones are compared with")] = 100_000,
    new: Annotated[int, typer.Option(min=5, help="new structures")] = 1000,
    entries: Annotated[int, typer.Option(min=10, help="entries of the hull")] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Insert, query, compare and rebuild the hull at scale: a million structures."""
    from launchpad.benchmarks.database import measure_database

    show(lambda: measure_database(count, kept, new, entries), as_json)


@app.command()
def overhead(
    count: Annotated[int, typer.Option(min=2, help="structures to relax")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="pairs of runs")] = 2,
    method: Annotated[str, typer.Option(help="potential that relaxes")] = DEFAULT_METHOD,
    workers: Annotated[int, typer.Option(min=1, help="processes, one thread each")] = 2,
    as_json: AsJson = False,
) -> None:
    """Wall time of relaxations through the LaunchPad against a bare loop over the same structures."""
    from launchpad.benchmarks.overhead import measure_overhead

    show(lambda: measure_overhead(count, repeats, method, workers), as_json)


@app.command()
def relax(
    count: Annotated[int, typer.Option(min=1, help="Bi-Se prototypes to relax both ways")] = 8,
    seed: Annotated[int, typer.Option(help="which of them")] = 0,
    fmax: Annotated[float, typer.Option(min=0.001, help="largest force at which both stop (eV/Å)")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Relaxations a second against atomate2's ForceFieldRelaxMaker, one by one: same potential, same structures."""
    from workflows.experiments.relax_benchmark import measure_relaxations

    show(lambda: measure_relaxations(count, seed, fmax), as_json)


@app.command("formation-energies")
def formation_energies(
    data: Annotated[Path, typer.Option(help="CSV, may be gzipped: material_id, formation_energy_per_atom, cif")],
    count: Annotated[int | None, typer.Option("--n", min=1, help="compounds drawn; default 300")] = 300,
    method: Annotated[str, typer.Option(help="potential")] = DEFAULT_METHOD,
    relax: Annotated[bool, typer.Option("--relax", help="relax each compound instead of a single point")] = False,
    polymorphs: Annotated[
        bool, typer.Option("--polymorphs", help="draw only formulas with several entries, all of them together")
    ] = False,
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
    work: Annotated[Path | None, typer.Option(help="folder that keeps relaxations, so that a run goes on")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare formation energies with a table's, with the method's own elements and with the Materials Project's."""
    from workflows.experiments.formation_energies import measure_formation_energies

    show(
        lambda: measure_formation_energies(data, count, method, seed, work, relax=relax, polymorphs=polymorphs), as_json
    )


@app.command()
def elements(
    method: Annotated[str, typer.Option(help="potential")] = DEFAULT_METHOD,
    only: Annotated[
        str, typer.Option(help="symbols, separated by commas; default: all that the Materials Project has")
    ] = "",
    work: Annotated[Path | None, typer.Option(help="folder that keeps relaxations, so that a run goes on")] = None,
    as_json: AsJson = False,
) -> None:
    """Energies of the elements by a potential against the Materials Project's: what sets the zero of a hull."""
    from workflows.experiments.element_energies import measure_elements

    show(lambda: measure_elements(method, [part for part in only.split(",") if part], work), as_json)


@app.command()
def constraint(
    sizes: Annotated[str, typer.Option(help="structures to learn from, separated by commas")] = "50,100,200,400,500",
    splits: Annotated[str, typer.Option(help="splits, 0 to 9, separated by commas")] = "1,2,3",
    results: Annotated[
        Path | None,
        typer.Option(help="folder that keeps each training's result, so that a stopped run goes on, and the figure"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Error of the constraint on held-out families by the number of structures learnt from, beside two baselines."""
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
    folder: Annotated[Path, typer.Argument(help="cache of relaxations: what is there is not relaxed again")],
    out: Annotated[Path, typer.Option(help="data set to write, gzipped JSON")],
    table: Annotated[Path | None, typer.Option(help="csv with material_id, pretty_formula and cif: prototypes")] = None,
    ternaries: Annotated[int, typer.Option(min=0, help="prototypes of its ternaries")] = 900,
    draws: Annotated[int, typer.Option(min=0, help="random crystals")] = 220,
    extend: Annotated[
        Path | None, typer.Option(help="a data set, to which what the cache holds beside it is added; relaxes nothing")
    ] = None,
) -> None:
    """Make the Bi-Se data set of `benchmark constraint` again: hours of relaxations; a stopped run goes on."""
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
