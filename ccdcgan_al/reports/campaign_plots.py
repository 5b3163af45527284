"""The picture of a campaign as a whole. It uses the styles and pieces of `ccdcgan_al.reports.plots`; it takes data and returns a figure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.reports.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito
_AXES = ("Predicted formation energy (eV/atom)", "Formation energy after relaxation (eV/atom)")


def errors(predicted: Sequence[float], relaxed: Sequence[float]) -> str:
    """Return the mean absolute error, the bias (predicted less relaxed) and Spearman's rank correlation, in words."""
    from scipy.stats import spearmanr

    difference = np.asarray(predicted) - np.asarray(relaxed)
    text = f"{len(difference)} structures, mean absolute error {1000 * np.abs(difference).mean():.0f} meV/atom"
    text += f", bias {1000 * difference.mean():+.0f}"
    if len(set(predicted)) > 1 and len(set(relaxed)) > 1:
        text += f", rank correlation {spearmanr(predicted, relaxed).statistic:.2f}"
    return text


def parity_figure(points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw what the constraint predicted against what the relaxation gave.

    Parameters
    ----------
    points : sequence of mapping
        Documents with `round`, `predicted_energy`, `uncertainty` (or None) and `formation_energy_per_atom` (eV/atom).
    title : str
        Of the figure.

    Returns
    -------
    Figure
        A colour a round, a bar of one standard deviation, the diagonal.

    Raises
    ------
    ValueError
        No points.
    """
    _some(points)
    figure, axes = new_figure(5.4, 5.2)
    predicted = [point["predicted_energy"] for point in points]
    relaxed = [point["formation_energy_per_atom"] for point in points]
    ends = [min(*predicted, *relaxed), max(*predicted, *relaxed)]
    room = 0.05 * (ends[1] - ends[0] or 1)
    axes.plot(ends, ends, color="#8c8c8c", linewidth=0.9, zorder=0)
    for number, colour in _rounds(points):
        mine = [point for point in points if point["round"] == number]
        axes.errorbar(
            [point["predicted_energy"] for point in mine],
            [point["formation_energy_per_atom"] for point in mine],
            xerr=[point.get("uncertainty") or 0 for point in mine],
            fmt="o",
            color=colour,
            markersize=4.5,
            elinewidth=0.6,
            alpha=0.8,
            label=f"round {number} ({len(mine)})",
        )
    axes.locator_params(nbins=6)
    limits = (ends[0] - room, ends[1] + room)
    axes.set(xlabel=_AXES[0], ylabel=_AXES[1], xlim=limits, ylim=limits, aspect="equal")
    axes.set_title(title, loc="left", fontweight="bold", pad=22)
    axes.text(0, 1.02, errors(predicted, relaxed), transform=axes.transAxes, fontsize=8, color="#595959")
    axes.legend(frameon=False, fontsize=8, loc="best")
    return figure


def parity_page(points: Sequence[Mapping[str, Any]], title: str) -> str:
    """Return `parity_figure` as an interactive page, whole in itself; under the pointer: the structure."""
    import plotly.graph_objects as go

    _some(points)
    predicted = [point["predicted_energy"] for point in points]
    relaxed = [point["formation_energy_per_atom"] for point in points]
    figure, ends = go.Figure(), [min(*predicted, *relaxed), max(*predicted, *relaxed)]
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"color": "#8c8c8c", "width": 1}, showlegend=False)
    for number, colour in _rounds(points):
        mine = [point for point in points if point["round"] == number]
        figure.add_scatter(
            x=[point["predicted_energy"] for point in mine],
            y=[point["formation_energy_per_atom"] for point in mine],
            error_x={"array": [point.get("uncertainty") or 0 for point in mine], "thickness": 0.6, "width": 0},
            mode="markers",
            marker={"color": colour},
            name=f"round {number} ({len(mine)})",
            text=[html.escape(str(point["structure_id"])) for point in mine],
            hovertemplate="%{text}<br>predicted %{x:.3f}, relaxed %{y:.3f} eV/atom<extra></extra>",
        )
    figure.update_layout(xaxis_title=_AXES[0], yaxis_title=_AXES[1])
    return _page(figure, title, errors(predicted, relaxed))


def discovery_page(runs: Mapping[str, Sequence[Sequence[int]]], threshold: float, title: str) -> str:
    """Return discovery curves as an interactive page, whole in itself; a line a run (`ccdcgan_al.reports.plots.discovery_curve_figure`)."""
    import plotly.graph_objects as go

    if not runs or not all(runs.values()):
        raise ValueError("discovery_page needs at least one run of each strategy, got none")
    figure = go.Figure()
    for number, (name, counts) in enumerate(runs.items()):
        for which, run in enumerate(counts):
            figure.add_scatter(
                x=list(range(len(run) + 1)),
                y=[0, *run],
                mode="lines",
                line={"shape": "hv", "color": COLOURS[number % len(COLOURS)]},
                name=f"{name} ({len(counts)} run{'s' if len(counts) > 1 else ''})",
                legendgroup=name,
                showlegend=which == 0,
            )
    wanted = f"Unique new phases within {1000 * threshold:.0f} meV/atom"
    figure.update_layout(xaxis_title="Relaxations", yaxis_title=wanted)
    return _page(figure, title, f"{sum(map(len, runs.values()))} campaigns")


def _some(points: Sequence[Mapping[str, Any]]) -> None:
    if not points:
        raise ValueError("nothing to draw: no relaxed structure has a predicted energy (the strategy ranks by none)")


def _rounds(points: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Return the rounds with a colour each."""
    numbers = sorted({point["round"] for point in points})
    return [(number, COLOURS[place % len(COLOURS)]) for place, number in enumerate(numbers)]


def _page(figure: Any, title: str, subtitle: str) -> str:
    """Return a plotly figure as a whole page that needs no network (5 MB, most of it plotly's script)."""
    figure.update_layout(template="simple_white", margin={"t": 20}, height=620)
    plot = figure.to_html(include_plotlyjs=True, full_html=False, config={"displaylogo": False})
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>'
        "body{font:15px/1.4 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
        f"p{{color:#595959}}</style></head><body><h1>{html.escape(title)}</h1><p>{html.escape(subtitle)}</p>{plot}</body></html>\n"
    )
