"""`ccdcgan-al run`: reads what the user gave, runs the campaign, prints what it found."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from pymongo.errors import PyMongoError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.settings import Settings
from launchpad.driver import InterruptedCampaignError, run_campaign
from launchpad.uri import redact

if TYPE_CHECKING:
    from launchpad.cli.campaign_options import Choices
    from launchpad.results.report import CampaignReport

INTERRUPTED = 130  # exit status of a command ended by Ctrl-C
TABLE_WIDTH = 118  # characters; a narrower terminal wraps lines rather than cutting figures off
SHOWN = 12  # rows of the table of near-hull structures


def run_command(choices: Choices, mongo: str | None, out: Path | None, workers: int | None, *, as_json: bool) -> int:
    """Run a campaign and print its results; returns the exit status."""
    console = Console(stderr=True)
    given: dict[str, Any] = {"mongo_uri": SecretStr(mongo) if mongo else None, "workers": workers}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        campaign = choices.campaign()
        folder = (out or Path(f"ccdcgan-al-{campaign.chemical_system}")).resolve()
        _make_writable(folder)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        report, config = run_campaign(campaign, settings, console)
        files = report.write(folder)
    except (KeyboardInterrupt, InterruptedCampaignError):
        console.print("[yellow]Stopped.[/] Nothing that was finished is lost; the same command goes on from here.")
        return INTERRUPTED
    except (CcdcganError, ValueError, OSError, PyMongoError) as error:
        console.print(f"[red]error:[/] {escape(redact(error))}", highlight=False, soft_wrap=True)
        return 1
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    else:
        print_report(report, Console(width=max(Console().width, TABLE_WIDTH)))
        listing = Console(soft_wrap=True, highlight=False, markup=False)
        for name, path in files.items():
            listing.print(f"{name}: {path}")
        listing.print(f"LaunchPad: lpad -c {config} get_wflows")
        if settings.mongo_uri is None:
            listing.print("The local MongoDB stays up for such questions; ccdcgan-al database stop ends it.")
    if report.state == "stopped":
        console.print(f"[red]The campaign stopped:[/] {escape(str(report.reason))}", highlight=False, soft_wrap=True)
        return 1
    return 0


def _make_writable(folder: Path) -> None:
    """Make the folder of the results before the campaign, which may take hours, rather than after it.

    Raises
    ------
    OSError
        It cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{folder} cannot be made: {error.strerror}; give another --out") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to; correct its permissions, or give another --out")


def print_report(report: CampaignReport, console: Console) -> None:
    """Print the rounds, the hull and the new phases as tables."""
    document = report.as_dict()
    rounds = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        title=f"{document['chemical_system']}, strategy {document['strategy']}, seed {document['seed']}",
    )
    columns = {
        "round": "round",
        "generated": "generated",
        "decoded": "decoded",
        "novel": "novel",
        "relaxed": "relaxed",
        "failed": "failed",
        "stable": "new, on\nthe hull",
        "within_50_mev": "new, within\n50 meV",
        "within_100_mev": "new, within\n100 meV",
    }
    for name in (*columns.values(), "constraint\nMAE, meV", "seconds"):
        rounds.add_column(name, justify="right", no_wrap=True)
    for item in document["rounds"]:
        error, seconds = item["constraint_mae_ev_per_atom"], item["seconds"]
        rounds.add_row(
            *("-" if item[name] is None else str(item[name]) for name in columns),
            "-" if error is None else f"{1000 * error:.0f}",
            "-" if seconds is None else f"{seconds:.0f}",
        )
    console.print(rounds)
    console.print(_phases("Convex hull, and what lies within 5 meV/atom of it (meV/atom)", document["hull"]))
    if document["new_phases"]:
        console.print(_phases("New phases (meV/atom)", document["new_phases"]))
    else:
        console.print("New phases: none lies on the hull.")
    near = sorted(document["candidates"], key=lambda entry: entry["energy_above_hull_ev_per_atom"])
    if near:
        title = f"Generated, within 50 meV/atom of the hull (meV/atom): {len(near)}"
        console.print(_phases(title if len(near) <= SHOWN else f"{title}, the lowest {SHOWN}", near[:SHOWN]))
    for entry in document["refuted"]:
        console.print(f"Refuted: {entry['structure_id']} ({entry['formula']}): {entry['problem']}", markup=False)
    for warning in document["element_references"]["warnings"]:
        console.print(f"Elements: {warning}.", markup=False)
    if document["no_corrected_hull"]:
        console.print(f"There is no hull with MP2020 corrections: {document['no_corrected_hull']}", markup=False)
    console.print(
        f"Energies: {report.hull.method}; the zero: {report.hull.element_references}. A phase that only the MP2020 corrections, "
        "or only one choice of the elements' energies, put on the hull is flagged and is no discovery. "
        "Confirm a candidate with DFT before it costs you anything.",
        markup=False,
    )


def _phases(title: str, entries: list[dict[str, Any]]) -> Table:
    """Return a table of phases, energies in meV/atom."""
    from ccdcgan_al.hull.hull import ON_HULL

    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title=title)
    for name in ("structure", "formula", "group", "sites", "origin"):
        table.add_column(name, no_wrap=True)
    for name in ("formation", "above\nhull", "above hull,\nMP2020", "above hull,\nconfirmed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("flag", no_wrap=True)
    for entry in sorted(
        entries, key=lambda entry: (entry["energy_above_hull_ev_per_atom"] > ON_HULL, entry["formula"])
    ):
        confirmed = entry["confirmed"]
        figures = [
            entry["formation_energy_ev_per_atom"],
            entry["energy_above_hull_ev_per_atom"],
            entry["corrected"]["energy_above_hull_ev_per_atom"],
            confirmed["energy_above_hull_ev_per_atom"] if confirmed else None,
        ]
        table.add_row(
            entry["structure_id"],
            entry["formula"],
            entry["space_group"],
            str(entry["n_sites"]),
            entry["origin"],
            *("-" if value is None else f"{1000 * value:.0f}" for value in figures),
            _flag(entry),
        )
    return table


def _flag(entry: dict[str, Any]) -> str:
    """Return what a reader must know of a phase beside its figures."""
    from ccdcgan_al.hull.confirmation import ELSEWHERE

    if entry["correction_driven"]:
        return "correction only"
    if entry["element_driven"]:
        return "elements only"
    if problem := (entry["confirmed"] or {}).get("problem"):
        return "elsewhere if confirmed" if problem == ELSEWHERE else "fails if confirmed"
    return "return not known" if entry["origin"] == "generated" and entry["returns"] is None else ""
