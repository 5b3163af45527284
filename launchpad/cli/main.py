"""Define the command `ccdcgan-al`. A subcommand is imported when it is called, so that `--help` is fast."""

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

os.environ.setdefault("SPGLIB_WARNING", "OFF")  # spglib prints from C if a distorted cell has no symmetry

app = typer.Typer(
    name="ccdcgan-al",
    help="Discover crystalline phases: generate structures with CCDCGAN, relax them, update the convex hull, retrain, repeat.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
database = typer.Typer(
    help="Manage the local MongoDB. `run` starts it if CCDCGAN_AL_MONGO_URI is not set.", no_args_is_help=True
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
    """Run a complete campaign on this machine. The same command continues a stopped campaign."""
    from launchpad.cli.run import run_command

    raise typer.Exit(run_command(choices, mongo, out, workers, as_json=as_json))


@app.command("train-codec")
def train_codec(
    out: Annotated[Path, typer.Option(help="folder for paper.npz (weights) and paper.json (model card)")],
    seed: Annotated[int, typer.Option(min=0, help="random seed of the training sets")] = 0,
    arrangements: Annotated[int, typer.Option(help="number of random sets of atoms for training")] = 20_000,
    cells: Annotated[int, typer.Option(help="number of random cells for training")] = 3_000,
) -> None:
    """Train the weights of the codec `paper` from random data. The defaults made the weights in the package."""
    from launchpad.cli.train_codec import train_codec_command

    raise typer.Exit(train_codec_command(out, seed, arrangements, cells))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="folder for the files; created if missing")],
    mongo: options.Mongo = None,
    queue: Annotated[str | None, typer.Option(help="slurm, pbs or sge; default slurm")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="also overwrite edited files, and keep them as NAME.bak")
    ] = False,
) -> None:
    """Write the config folder for lpad, rlaunch and qlaunch, and check the connection to the database."""
    from launchpad.cli.init import init_command

    raise typer.Exit(init_command(folder, mongo, queue, force=force))


@app.command()
@campaign_options
def submit(
    choices: Choices,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Add a campaign to the LaunchPad and return. Workers started by rlaunch or qlaunch do the work."""
    from launchpad.cli.submit import submit_command

    raise typer.Exit(submit_command(choices, config, mongo))


@app.command("stop")
def stop_campaign(campaign: options.CampaignId, config: options.Config = None, mongo: options.Mongo = None) -> None:
    """Stop a campaign. Running jobs finish and are recorded, waiting jobs are withdrawn, and no further round starts."""
    from launchpad.cli.submit import stop_command

    raise typer.Exit(stop_command(campaign, config, mongo))


@app.command()
def harvest(
    folder: Annotated[Path, typer.Argument(help="folder of the workers, or a folder above it")],
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Record finished relaxations of workers that died before they could write to the database."""
    from launchpad.cli.harvest import harvest_command

    raise typer.Exit(harvest_command(folder, config, mongo))


@app.command()
def campaigns(config: options.Config = None, mongo: options.Mongo = None) -> None:
    """List the campaigns of a database with their progress and the reason of their end."""
    from launchpad.cli.submit import campaigns_command

    raise typer.Exit(campaigns_command(config, mongo))


@app.command()
def hull(
    chemical_system: options.System,
    within: options.Within = 0.0,
    method: options.OfMethod = None,
    round_number: options.OfRound = None,
    campaign: options.OfCampaign = None,
    changes: Annotated[bool, typer.Option("--changes", help="print how each round changed the hull")] = False,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print only CSV")] = False,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Print a campaign's convex hull and the phases near it."""
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
    new: Annotated[bool, typer.Option("--new", help="only new phases")] = False,
    structure: Annotated[list[str] | None, typer.Option(help="only this structure; may be repeated")] = None,
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
        float | None, typer.Option(min=0, help="discovery: maximum energy above hull (eV/atom); default 0.05")
    ] = None,
    campaign: options.OfCampaign = None,
    method: options.OfMethod = None,
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="hull: show it after this round; default the latest")
    ] = None,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Plot a hull, the discovery curves of a system's campaigns, or the parity of the constraint's predictions."""
    from launchpad.cli.plot import plot_command

    chosen = (within, campaign, method, round_number)
    raise typer.Exit(plot_command(what, chemical_system, out, *chosen, config, mongo))


@app.command()
def doctor(
    config: options.Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="print only JSON")] = False,
) -> None:
    """Check versions, database, queue, methods, clocks and disk. The exit status is 1 if something necessary is broken."""
    from launchpad.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(config, as_json=as_json))


@database.command()
def status() -> None:
    """Print which MongoDB is used and whether it runs. The exit status is 1 if it does not run."""
    from launchpad.cli.database import status_command

    raise typer.Exit(status_command())


@database.command()
def stop() -> None:
    """Stop the local MongoDB. Its data remain, and the next `run` starts it again."""
    from launchpad.cli.database import stop_command

    raise typer.Exit(stop_command())


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", is_eager=True, help="print the version and exit")] = False,
) -> None:
    """Print the version if `--version` is given."""
    if show:
        from importlib.metadata import version as version_of

        typer.echo(version_of("ccdcgan-al"))
        raise typer.Exit


if __name__ == "__main__":
    app()
