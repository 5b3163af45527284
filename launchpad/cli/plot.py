"""Implement `ccdcgan-al plot`: plot a hull, discovery curves or the constraint's parity as a PNG file or an interactive page."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ccdcgan_al.chemsys import parse_chemical_system
from ccdcgan_al.files import write_atomically
from ccdcgan_al.hull.hull import NEAR_HULL
from launchpad.cli.submit import exit_code, open_store
from launchpad.results.lookup import campaign_of, campaigns_of, discovery_counts, stored_hull

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from launchpad.database.store import CampaignStore

KINDS = ("hull", "discovery", "parity")
DPI = 150


def plot_command(
    what: str,
    system: str,
    out: Path | None,
    within: float | None,
    campaign_id: str | None,
    method: str | None,
    round_number: int | None,
    config: Path | None,
    mongo: str | None,
) -> int:
    """Plot to a file. Returns the exit status."""

    def draw() -> None:
        if what not in KINDS:
            raise ValueError(f"unknown plot {what!r}: use one of {', '.join(KINDS)}")
        for option, value, kind in (("--within", within, "discovery"), ("--round", round_number, "hull")):
            if value is not None and what != kind:
                raise ValueError(f"{option} is only for `plot {kind}`: do not give it with `plot {what}`")
        elements = "-".join(parse_chemical_system(system))
        place = out or Path(f"{what}-{elements}.png")
        if place.suffix not in (".png", ".html"):
            raise ValueError(f"{place}: give a file name that ends in .png or .html")
        store = open_store(config, mongo)
        if what == "discovery":
            figure, page = _discovery(store, elements, NEAR_HULL if within is None else within, campaign_id, method)
        else:
            name = campaign_of(store, elements, campaign_id, method)
            figure, page = _parity(store, name) if what == "parity" else _hull(store, name, round_number)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".html":
            write_atomically(place, page(), mode=0o644)
        else:
            figure().savefig(place, dpi=DPI, bbox_inches="tight")
        typer.echo(str(place))

    return exit_code(draw)


def _hull(
    store: CampaignStore, campaign_id: str, round_number: int | None
) -> tuple[Callable[[], Figure], Callable[[], str]]:
    from ccdcgan_al.hull.hull import build_hull
    from ccdcgan_al.reports.hull_page import hull_page
    from ccdcgan_al.reports.plots import hull_figure
    from launchpad.database.references import campaign_phases

    campaign = store.campaign(campaign_id)
    last = campaign.rounds if round_number is None else stored_hull(store, campaign_id, round_number)["round"]
    hull = build_hull(campaign_phases(store, campaign, last), campaign.elements)
    return lambda: hull_figure(hull), lambda: hull_page(hull)


def _parity(store: CampaignStore, campaign_id: str) -> tuple[Callable[[], Figure], Callable[[], str]]:
    from ccdcgan_al.reports.campaign_plots import parity_figure, parity_page

    found = store.ask("parity", campaign_id=campaign_id)
    given = ("predicted_energy", "formation_energy_per_atom")
    points = [item for item in found if all(item.get(name) is not None for name in given)]
    title = f"Constraint of {campaign_id}"
    return lambda: parity_figure(points, title), lambda: parity_page(points, title)


def _discovery(
    store: CampaignStore, system: str, within: float, campaign_id: str | None, method: str | None
) -> tuple[Callable[[], Figure], Callable[[], str]]:
    """Plot one campaign, or all campaigns of the system with one method. Campaigns that differ only in the random seed form one line."""
    from ccdcgan_al.reports.campaign_plots import discovery_page
    from ccdcgan_al.reports.plots import discovery_curve_figure

    chosen = campaign_of(store, system, campaign_id, method)
    campaigns = campaigns_of(store, system, method)
    by = next(document["method"] for document in campaigns if document["_id"] == chosen)
    alike: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(dict)  # strategy and choices -> campaign -> counts
    for document in campaigns:
        if document["method"] != by or campaign_id not in (None, document["_id"]):
            continue
        campaign = store.campaign(document["_id"])
        if counts := discovery_counts(store, document["_id"], within):
            choices = json.dumps({**campaign.as_dict(), "seed": None}, sort_keys=True)
            alike[campaign.strategy, choices][document["_id"]] = counts
    several = {name for name, number in Counter(strategy for strategy, _ in alike).items() if number > 1}
    runs = {
        f"{strategy}, as {next(iter(group))}" if strategy in several else strategy: list(group.values())
        for (strategy, _), group in alike.items()
    }
    controls = [name for name in runs if name.split(",")[0] in ("random", "substitution")]
    title = f"Discovery curves of {system}, {by}"

    def figure() -> Figure:
        drawn = discovery_curve_figure(runs, within, controls)
        drawn.axes[0].set_title(title, loc="left", fontweight="bold")
        return drawn

    return figure, lambda: discovery_page(runs, within, title)
