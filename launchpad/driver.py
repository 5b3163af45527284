"""The driver of a campaign on this machine: database, LaunchPad, workers, progress. The loop itself is in `rounds` and runs in the workers."""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import CcdcganError, HullError, MixedMethodsError, MongoError, MongoUnreachableError
from ccdcgan_al.settings import Settings
from ccdcgan_al.types import DFT
from launchpad.batches import failure_reason, relaxation_counts, withdraw, workflows_of
from launchpad.database.campaigns import ASKED_TO_STOP
from launchpad.database.store import CampaignStore
from launchpad.results.report import CampaignReport
from launchpad.service.configure import open_launchpad, write_config
from launchpad.service.mongod import ensure_mongo
from launchpad.service.workers import LocalWorkers
from launchpad.uri import redact
from workflows.methods import element_warnings
from workflows.potentials import method_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fireworks import LaunchPad

POLL_SECONDS = 1.0
FIRST_RELAXATION_GUESS = 5.0  # s on one core, before any relaxation was timed (measured: 4 for 5 to 14 atoms)
FIRST_CLOSE_GUESS = 90.0  # s from the last relaxation of a round to the first of the next round
CONFIRMATIONS_GUESS = 15
DATABASE_PATIENCE = 3600.0  # s to wait for a named server that does not answer
ENDED_SECONDS = (
    15.0  # s that all workflows must stay ended: `lpad detect_lostruns --rerun` leaves a Firework FIZZLED for a moment
)


class InterruptedCampaignError(CcdcganError, RuntimeError):
    """Another user or program paused a workflow of the campaign, or removed all its workflows."""


def run_campaign(campaign: Campaign, settings: Settings, console: Console) -> tuple[CampaignReport, Path]:
    """Run a campaign until it ends, or continue an interrupted one.

    Parameters
    ----------
    campaign : Campaign
        Campaign to run.
    settings : Settings
        Settings of this machine.
    console : Console
        Console that shows progress.

    Returns
    -------
    tuple of (CampaignReport, Path)
        The report, and the folder of FireWorks config files.

    Raises
    ------
    MongoError
        If the database is not available.
    WorkerError
        If the workers die again and again.
    MixedMethodsError
        If the campaign has energies of another version of its method than the installed one.
    CcdcganError
        If a closing Firework fizzled, or the campaign stopped before there was a hull. The message states the reason.
    """
    uri = ensure_mongo(settings)
    config = write_config(settings.home / "config", uri)
    store = CampaignStore(uri)
    launchpad = open_launchpad(config)
    console.print(
        f"campaign {campaign.campaign_id}; LaunchPad: lpad -c {config} get_wflows",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    for warning in element_warnings(campaign.method, campaign.elements):
        console.print(f"Elements: {warning}; the hull does not use it.", highlight=False, markup=False)
    submit(campaign, store, console)
    if store.state(campaign.campaign_id)[0] == "running":
        check_version(campaign, store)
        with LocalWorkers(config, uri, settings.workers) as workers:
            watch(campaign, store, launchpad, workers, settings, console)
    try:
        return CampaignReport(store, campaign.campaign_id), config
    except HullError:
        state, reason = store.state(campaign.campaign_id)
        if state == "stopped":
            raise CcdcganError(f"campaign {campaign.campaign_id} stopped: {reason}") from None
        raise


def submit(campaign: Campaign, store: CampaignStore, console: Console | None = None) -> bool:
    """Put a campaign on the LaunchPad. Return False if it is already there.

    If two commands submit the same campaign at the same moment, there is one campaign, and one copy of each workflow. The
    starting structures are chosen before anything is written.

    Parameters
    ----------
    campaign : Campaign
        Campaign to run.
    store : CampaignStore
        Database of the campaign.
    console : Console, optional
        Console that shows that starting structures are being chosen. None shows nothing.

    Raises
    ------
    StartingStructuresError
        If an element of the system has no structure to start from.
    """
    chosen = None
    if store.state(campaign.campaign_id)[0] in ("absent", "running") and not store.is_open(campaign.campaign_id, 0):
        with choosing(console) as say:
            from launchpad.rounds import choose  # takes seconds

            chosen = choose(campaign, store, say)
        _tell_what_is_missing(campaign, console)
    added = store.add_campaign(campaign)
    if store.state(campaign.campaign_id)[0] != "running" or store.is_open(campaign.campaign_id, 1):
        return False
    from launchpad.rounds import begin

    begin(campaign, store, chosen)
    return added


@contextmanager
def choosing(console: Console | None) -> Iterator[Callable[[str], None]]:
    """Show that starting structures are being chosen, as long as it lasts. Yield a function that shows a short text about the progress."""
    if console is None:
        yield lambda _: None
        return
    title = "choosing starting structures"
    if not console.is_terminal:
        console.print(title)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"{title}: reading the prototypes", total=None)
        yield lambda words: progress.update(task, description=f"{title}: {words}")


def _tell_what_is_missing(campaign: Campaign, console: Console | None) -> None:
    """Print the elements that no starting compound contains."""
    from ccdcgan_al.seeds.starting import without_compounds

    if console is not None and (names := without_compounds(campaign)):
        console.print(
            f"no starting compound holds {' or '.join(names)}, of which no atomic radius is known; "
            "structures of your own that do, in a folder given with --seeds FOLDER, help",
            style="yellow",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )


def check_version(campaign: Campaign, store: CampaignStore) -> None:
    """Raise an error if the campaign used another version of its potential. All further results would be `inconsistent`.

    This machine does not know VASP's version. Only the workers know it.

    Raises
    ------
    MixedMethodsError
        If the campaign has energies of another version than the installed one.
    """
    recorded = store.recorded_method(campaign.campaign_id)
    if campaign.method == DFT or recorded is None or (installed := method_of(campaign.method)) == recorded:
        return
    raise MixedMethodsError(
        f"campaign {campaign.campaign_id} has energies of {recorded}, installed is {installed}: they share no hull; "
        "install that version again, or begin another campaign, with another --seed"
    )


def stop_campaign(store: CampaignStore, launchpad: LaunchPad, campaign_id: str) -> list[str]:
    """Stop a campaign. Return the ids of the structures that are withdrawn because their relaxation had not started.

    Running relaxations continue, and their batch's closing Firework records them. No new round opens and nothing is
    confirmed. A close that is already training finishes first. The function can be repeated.

    Raises
    ------
    KeyError
        If there is no such campaign.
    """
    store.campaign(campaign_id)
    store.set_state(campaign_id, *ASKED_TO_STOP)
    if store.state(campaign_id) != ASKED_TO_STOP:
        return []
    taken = withdraw(launchpad, campaign_id)
    store.mark_withdrawn(campaign_id, taken)
    return taken


def watch(
    campaign: Campaign,
    store: CampaignStore,
    launchpad: LaunchPad,
    workers: LocalWorkers,
    settings: Settings,
    console: Console,
) -> None:
    """Show progress until the campaign's workflows have ended. Keep database and workers alive.

    Parameters
    ----------
    campaign : Campaign
        Campaign on the LaunchPad.
    store : CampaignStore
        Database of the campaign.
    launchpad : LaunchPad
        LaunchPad of the campaign.
    workers : LocalWorkers
        Running workers. They are restarted if they die.
    settings : Settings
        Settings of this machine.
    console : Console
        Console that shows progress.

    Raises
    ------
    InterruptedCampaignError
        If a workflow was paused, or all workflows were removed.
    CcdcganError
        If the workflows have ended but the campaign has not. The message states why.
    """
    planned = campaign.seed_count + campaign.rounds * campaign.per_round + CONFIRMATIONS_GUESS
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("relaxations"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("seeds", total=planned, left="")
        ended_since: float | None = None
        while True:
            try:
                for name in workers.check():
                    console.print(f"[yellow]worker {name} died and was started again[/]")
                workflows = workflows_of(launchpad, campaign.campaign_id)
                done, relaxing = relaxation_counts(launchpad, campaign.campaign_id)
                rounds = store.round_documents(campaign.campaign_id)
                last_known = sum(item.get("submitted", 0) for item in rounds)
                later = (campaign.rounds + 1 - len(rounds)) * campaign.per_round + CONFIRMATIONS_GUESS
                total = max(done + relaxing, last_known + later)
                left = _seconds_left(store, campaign, settings.workers, total - done, len(rounds))
                running = store.state(campaign.campaign_id)[0] == "running"
            except (MongoError, PyMongoError):
                _await_database(settings, store.uri, console)
                ended_since = None
                continue
            stage = _stage(rounds, relaxing, campaign)
            progress.update(bar, completed=done, total=total, description=stage, left=f"about {left / 60:.0f} min left")
            if not workflows:
                raise InterruptedCampaignError(
                    f"the workflows of {campaign.campaign_id} are no longer on the LaunchPad"
                )
            if not all(workflow["ended"] for workflow in workflows):
                ended_since = None
            else:
                ended_since = ended_since or time.monotonic()
                if not running or time.monotonic() - ended_since > ENDED_SECONDS:
                    progress.update(bar, total=done, left="")
                    break
            if paused := [workflow["name"] for workflow in workflows if workflow["state"] == "PAUSED"]:
                raise InterruptedCampaignError(f"the workflow {paused[0]!r} is paused; lpad resume_wflows wakes it")
            time.sleep(POLL_SECONDS)
    if running:
        nodes = [fw_id for workflow in workflows for fw_id in workflow["nodes"]]
        raise CcdcganError(failure_reason(launchpad, nodes, campaign.campaign_id))


def _await_database(settings: Settings, uri: str, console: Console) -> None:
    """Restart the local server if it has stopped, or wait until the named server answers.

    Raises
    ------
    MongoError
        If the server refuses the login, does not start, or does not answer for `DATABASE_PATIENCE` seconds.
    """
    console.print("[yellow]the database does not answer; the workers hold on until it does[/]")
    deadline = time.monotonic() + DATABASE_PATIENCE
    while True:
        try:
            found = ensure_mongo(settings)
        except MongoUnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            break
    if found != uri:
        raise MongoError(
            f"the local mongod is back as {redact(found)} and was {redact(uri)}: give the same command again, it goes on"
        )


def _stage(rounds: list[dict[str, Any]], relaxing: int, campaign: Campaign) -> str:
    """Return the current stage of the campaign as a short text."""
    if not rounds:
        return "seeds"
    current = rounds[-1]
    name = "seeds" if current["round"] == 0 else f"round {current['round']}"
    if current.get("state") == "closed":
        return "confirming" if current["round"] >= campaign.rounds else f"{name}: learning"
    if lacking := current.get("lacking"):
        return f"more structures of {', '.join(lacking)}"
    return name if relaxing else f"{name}: closing"


def _seconds_left(store: CampaignStore, campaign: Campaign, workers: int, relaxations: int, opened: int) -> float:
    """Return the estimated remaining time (s), from the mean of this campaign's relaxations and closes. At first it uses guesses."""
    mean = store.mean_seconds(campaign.campaign_id)
    mean = FIRST_RELAXATION_GUESS if mean is None else mean
    gaps = [
        (later["opened"] - earlier["closed"]).total_seconds()
        for earlier, later in _pairs(store.round_documents(campaign.campaign_id))
    ]
    close = sum(gaps) / len(gaps) if gaps else FIRST_CLOSE_GUESS
    return mean * max(relaxations, 0) / workers + close * max(campaign.rounds + 1 - opened, 0)


def _pairs(rounds: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the pairs of neighbouring rounds whose first round is closed."""
    return [(a, b) for a, b in pairwise(rounds) if "closed" in a]
