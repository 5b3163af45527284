"""`ccdcgan-al submit`, `stop` and `campaigns`: what a campaign needs when its workers are somebody else's to start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr
from pymongo.errors import PyMongoError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.settings import Settings
from launchpad.batches import relaxation_counts
from launchpad.cli.campaign_options import Choices
from launchpad.database.store import CampaignStore
from launchpad.driver import stop_campaign, submit
from launchpad.service.configure import address_of, launchpad_at, open_launchpad, write_config
from launchpad.service.mongod import ensure_mongo
from launchpad.uri import redact
from workflows.methods import element_warnings


def folder_of(config: Path | None, mongo: str | None) -> Path:
    """Return the config folder that is meant; without one, that of `ccdcgan-al run`, its database started."""
    if config is not None:
        if mongo is not None:
            raise ValueError("--mongo and --config both name a database: give one")
        return config.expanduser().resolve()
    settings = Settings(mongo_uri=SecretStr(mongo)) if mongo else Settings()
    return write_config(settings.home / "config", ensure_mongo(settings))


def open_store(config: Path | None, mongo: str | None) -> CampaignStore:
    """Open the database of a config folder; without one, that of `ccdcgan-al run`, started where it is local.

    To look at another database by its URI leaves the config folder of `run` as it is: workers may be using it.
    """
    if config is None and mongo is not None:
        return CampaignStore(ensure_mongo(Settings(mongo_uri=SecretStr(mongo))))
    return CampaignStore(address_of(folder_of(config, mongo)))


def exit_code(command: Callable[[], None]) -> int:
    """Run a command and return its exit status; an error is one line without a password."""
    try:
        command()
    except (CcdcganError, ValueError, KeyError, OSError, PyMongoError) as error:
        text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
        Console(stderr=True).print(f"[red]error:[/] {escape(redact(text))}", highlight=False, soft_wrap=True)
        return 1
    return 0


def submit_command(choices: Choices, config: Path | None, mongo: str | None) -> int:
    """Put a campaign on the LaunchPad; returns the exit status."""

    def put() -> None:
        campaign = choices.campaign(runs_here=False)  # its workers are elsewhere
        folder = folder_of(config, mongo)
        uri = address_of(folder)
        open_launchpad(folder)
        store = CampaignStore(uri)
        new = submit(campaign, store, Console(stderr=True))
        state, reason = store.state(campaign.campaign_id)
        console = Console(soft_wrap=True, highlight=False, markup=False)
        for warning in element_warnings(campaign.method, campaign.elements):
            console.print(f"Elements: {warning}; the hull does not use it.")
        there = f"there already, {state}{f': {reason}' if reason else ''}"
        console.print(f"campaign {campaign.campaign_id}: {'submitted' if new else there}")
        if state == "running":
            console.print(f"lpad -c {folder} get_wflows")
            console.print(f"source {folder}/environment.sh && rlaunch -c {folder} rapidfire")
            console.print(f"qlaunch -c {folder} rapidfire -m 20")

    return exit_code(put)


def stop_command(campaign_id: str, config: Path | None, mongo: str | None) -> int:
    """Stop a campaign; returns the exit status."""

    def stop() -> None:
        folder = folder_of(config, mongo)
        store = CampaignStore(address_of(folder))
        launchpad = open_launchpad(folder)
        before = store.state(campaign_id)
        console = Console(soft_wrap=True, highlight=False, markup=False)
        taken = stop_campaign(store, launchpad, campaign_id)
        if before[0] != "running" and not taken:
            console.print(f"campaign {campaign_id} is {before[0]} already{f': {before[1]}' if before[1] else ''}")
            return
        left = relaxation_counts(launchpad, campaign_id)[1]
        console.print(
            f"campaign {campaign_id} is stopped: {len(taken)} relaxations that nobody had begun are withdrawn, "
            f"{left} that run are recorded when they end, and no round follows"
        )

    return exit_code(stop)


def campaigns_command(config: Path | None, mongo: str | None) -> int:
    """List the campaigns of a database; returns the exit status."""

    def show() -> None:
        store = open_store(config, mongo)
        launchpad = launchpad_at(store.uri)
        table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        for name in ("campaign", "state", "round", "relaxed or failed", "to do", "why"):
            table.add_column(name, justify="right" if name in ("round", "relaxed or failed", "to do") else "left")
        for campaign_id in store.campaign_ids():
            state, reason = store.state(campaign_id)
            rounds = store.round_documents(campaign_id)
            ended, left = relaxation_counts(launchpad, campaign_id)
            round_number = str(rounds[-1]["round"]) if rounds else "-"
            table.add_row(campaign_id, state, round_number, str(ended), str(left), escape(reason or ""))
        Console(width=max(Console().width, 118)).print(table)

    return exit_code(show)
