"""The command `ccdcgan-al`. Commands are imported when they are called, so that `--help` answers at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from launchpad.cli import options
from launchpad.cli.benchmark import app as benchmark
from launchpad.cli.campaign_options import Choices, campaign_options
from launchpad.cli.references import references
from launchpad.cli.references import seeds as seeds_app
from launchpad.cli.structures import structures

os.environ.setdefault("SPGLIB_WARNING", "OFF")  # spglib prints from C where a distorted cell has no symmetry

app = typer.Typer(
    name="ccdcgan-al",
    help="Discover crystalline phases: generate structures with CCDCGAN, relax them, update the convex hull, learn, repeat.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
database = typer.Typer(
    help="The local MongoDB that `run` starts where CCDCGAN_AL_MONGO_URI names none.", no_args_is_help=True
)
app.add_typer(database, name="database")
app.add_typer(benchmark, name="benchmark")
app.add_typer(references, name="references")
app.add_typer(seeds_app, name="seeds")
app.add_typer(structures, name="structures")


@app.command()
@campaign_options
def run(
    choices: Choices,
    mongo: options.Mongo = None,
    out: Annotated[Path | None, typer.Option(help="folder of the results; default ./ccdcgan-al-<system>")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="local relaxation workers; default one a core")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON, and nothing else")] = False,
) -> None:
    """Run a whole campaign on this machine; started again, it goes on where it was."""
    from launchpad.cli.run import run_command

    raise typer.Exit(run_command(choices, mongo, out, workers, as_json=as_json))


@app.command("train-codec")
def train_codec(
    out: Annotated[Path, typer.Option(help="folder for paper.npz (weights) and paper.json (model card)")],
    seed: Annotated[int, typer.Option(min=0, help="random seed of the training sets")] = 0,
    arrangements: Annotated[int, typer.Option(help="random sets of atoms to learn from")] = 20_000,
    cells: Annotated[int, typer.Option(help="random cells to learn from")] = 3_000,
) -> None:
    """Make the weights of the codec `paper` from nothing; those that ship were made with the defaults."""
    from launchpad.cli.train_codec import train_codec_command

    raise typer.Exit(train_codec_command(out, seed, arrangements, cells))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="where the files go; made where it is missing")],
    mongo: options.Mongo = None,
    queue: Annotated[str | None, typer.Option(help="slurm, pbs or sge; default slurm")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="write edited files anew too, keeping them as NAME.bak")
    ] = False,
) -> None:
    """Write the config folder for lpad, rlaunch and qlaunch, and check that it connects."""
    from launchpad.cli.init import init_command

    raise typer.Exit(init_command(folder, mongo, queue, force=force))


@app.command()
@campaign_options
def submit(
    choices: Choices,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Put a campaign on the LaunchPad and return; rlaunch and qlaunch do the work."""
    from launchpad.cli.submit import submit_command

    raise typer.Exit(submit_command(choices, config, mongo))


@app.command("stop")
def stop_campaign(campaign: options.CampaignId, config: options.Config = None, mongo: options.Mongo = None) -> None:
    """Stop a campaign: what runs is recorded, what has not begun is withdrawn, and no round follows."""
    from launchpad.cli.submit import stop_command

    raise typer.Exit(stop_command(campaign, config, mongo))


@app.command()
def harvest(
    folder: Annotated[Path, typer.Argument(help="folder in which workers ran, or one above it")],
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Record finished relaxations whose worker died before it could write to the database."""
    from launchpad.cli.harvest import harvest_command

    raise typer.Exit(harvest_command(folder, config, mongo))


@app.command()
def campaigns(config: options.Config = None, mongo: options.Mongo = None) -> None:
    """List the campaigns of a database, how far they are and why they ended."""
    from launchpad.cli.submit import campaigns_command

    raise typer.Exit(campaigns_command(config, mongo))


@app.command()
def hull(
    chemical_system: options.System,
    within: options.Within = 0.0,
    method: options.OfMethod = None,
    round_number: options.OfRound = None,
    campaign: options.OfCampaign = None,
    changes: Annotated[bool, typer.Option("--changes", help="what each round changed in it")] = False,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV, and nothing else")] = False,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Print a campaign's convex hull, and what lies near it."""
    from launchpad.cli.hull import hull_command

    shown = {"changes": changes, "as_json": as_json, "as_csv": as_csv}
    raise typer.Exit(hull_command(chemical_system, within, method, round_number, campaign, config, mongo, **shown))


@app.command("export")
def export_structures(
    chemical_system: options.System,
    style: Annotated[
        str, typer.Option("--format", help="cif, poscar, ase, entries (pymatgen JSON) or optimade")
    ] = "cif",
    out: Annotated[Path | None, typer.Option(help="folder (cif, poscar) or file; default <system>-<format>")] = None,
    within: options.Within = 0.05,
    new: Annotated[bool, typer.Option("--new", help="new phases alone")] = False,
    structure: Annotated[list[str] | None, typer.Option(help="this structure; may be repeated")] = None,
    campaign: options.OfCampaign = None,
    method: options.OfMethod = None,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Write relaxed structures near the hull for other programs."""
    from launchpad.cli.export import export_command

    chosen = (within, tuple(structure or ()), campaign, method)
    raise typer.Exit(export_command(chemical_system, style, out, *chosen, config, mongo, new=new))


@app.command()
def plot(
    what: Annotated[str, typer.Argument(help="hull, discovery or parity")],
    chemical_system: options.System,
    out: Annotated[Path | None, typer.Option(help="a .png or .html file; default <what>-<system>.png")] = None,
    within: Annotated[
        float | None, typer.Option(min=0, help="of discovery: most energy above the hull (eV/atom); default 0.05")
    ] = None,
    campaign: options.OfCampaign = None,
    method: options.OfMethod = None,
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="of a hull: as it stood after this round; default the newest")
    ] = None,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Draw a hull, the discovery curves of a system's campaigns, or how good the constraint's predictions were."""
    from launchpad.cli.plot import plot_command

    chosen = (within, campaign, method, round_number)
    raise typer.Exit(plot_command(what, chemical_system, out, *chosen, config, mongo))


@app.command()
def doctor(
    config: options.Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, and nothing else")] = False,
) -> None:
    """Look at versions, database, queue, methods, clocks and disk; exit status 1 where something needed is broken."""
    from launchpad.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(config, as_json=as_json))


@database.command()
def status() -> None:
    """Say which MongoDB is used and whether it runs; exit status 1 where it does not."""
    from launchpad.cli.database import status_command

    raise typer.Exit(status_command())


@database.command()
def stop() -> None:
    """Stop the local MongoDB; its data stays, and the next `run` starts it again."""
    from launchpad.cli.database import stop_command

    raise typer.Exit(stop_command())


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", is_eager=True, help="print the version and exit")] = False,
) -> None:
    """Print the version where it is asked for."""
    if show:
        from importlib.metadata import version as version_of

        typer.echo(version_of("ccdcgan-al"))
        raise typer.Exit


if __name__ == "__main__":
    app()
