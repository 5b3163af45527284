"""The interactive page of a hull, for a browser: data in, HTML out; saving is the caller's. `ccdcgan_al.reports.plots` draws the still figures."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.hull.hull import ON_HULL
from ccdcgan_al.reports.plots import (
    BARS,
    BINARY,
    ORIGIN_STYLE,
    SHOWN_FORMATION,
    TERNARY,
    stable_entries,
    subtitle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccdcgan_al.hull.hull import Hull
    from ccdcgan_al.types import HullEntry


def hull_page(hull: Hull) -> str:
    """Return an interactive page of the hull, whole in itself: it needs no network.

    Parameters
    ----------
    hull : Hull
        Of any number of elements.

    Returns
    -------
    str
        HTML, about 5 MB, most of it plotly's script. Under the pointer: id, formula, space group, energies with and
        without corrections, origin and round.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    size = len(hull.elements)
    fractions = np.array(
        [[phase.structure.composition.get_atomic_fraction(el) for el in hull.elements] for phase in hull.phases]
    )  # (n_entries, n_elements)
    if size == BINARY:
        on_hull = sorted(stable_entries(hull), key=lambda number: fractions[number, 1])
        figure.add_scatter(
            x=fractions[on_hull, 1].tolist(),
            y=[hull.entries[number].formation_energy_per_atom for number in on_hull],
            mode="lines",
            line={"color": "black", "width": 1.5},
            name="hull",
            hoverinfo="skip",
        )
    elif size == TERNARY:
        number_of = {phase.structure_id: number for number, phase in enumerate(hull.phases)}
        for facet in hull.diagram.facets:
            corners = [number_of[hull.diagram.qhull_entries[corner].name] for corner in facet]
            a, b, c = fractions[[*corners, corners[0]]].T.tolist()
            figure.add_scatterternary(
                a=a, b=b, c=c, mode="lines", line={"color": "black", "width": 1}, showlegend=False, hoverinfo="skip"
            )
    for origin, (colour, _, symbol, name) in ORIGIN_STYLE.items():
        for stable in (False, True):
            chosen = [
                number
                for number, entry in enumerate(hull.entries)
                if entry.origin == origin and (entry.energy_above_hull <= ON_HULL) is stable
            ]
            _add_points(figure, hull, fractions, chosen)
            figure.data[-1].update(
                mode="markers",
                name=f"{name}, {'on' if stable else 'above'} the hull ({len(chosen)})",
                text=[_hover(hull.entries[number]) for number in chosen],
                hovertemplate="%{text}<extra></extra>",
                marker={"color": colour, "symbol": symbol if stable else f"{symbol}-open", "size": 11 if stable else 7},
            )
    figure.update_layout(template="simple_white", margin={"t": 20}, height=620, legend={"orientation": "h", "y": -0.15})
    _label_axes(figure, hull)
    title = f"{'-'.join(hull.elements)} convex hull"
    plot = figure.to_html(include_plotlyjs=True, full_html=False, config={"displaylogo": False})
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>'
        "body{font:15px/1.4 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
        "table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.25em .6em}"
        "td{border-bottom:1px solid #ddd}"
        "th:first-child,td:first-child,th:nth-child(2),td:nth-child(2),th:nth-child(3),td:nth-child(3){text-align:left}"
        f"p{{color:#595959}}</style></head><body><h1>{title}</h1><p>{html.escape(subtitle(hull))}</p>"
        f"{''.join(f'<p><b>{html.escape(warning)}.</b></p>' for warning in hull.element_warnings)}{plot}"
        f"{_table(hull)}</body></html>\n"
    )


def _add_points(figure: Any, hull: Hull, fractions: np.ndarray, chosen: Sequence[int]) -> None:
    """Add an empty-styled trace of the chosen entries, in the coordinates that fit the number of elements."""
    entries = [hull.entries[number] for number in chosen]
    if len(hull.elements) == BINARY:
        energies = [entry.formation_energy_per_atom for entry in entries]
        figure.add_scatter(x=fractions[list(chosen), 1].tolist(), y=energies)
    elif len(hull.elements) == TERNARY:
        a, b, c = fractions[list(chosen)].T.tolist()
        figure.add_scatterternary(a=a, b=b, c=c)
    else:
        formations = [entry.formation_energy_per_atom for entry in entries]
        figure.add_scatter(x=formations, y=[1000 * entry.energy_above_hull for entry in entries])


def _label_axes(figure: Any, hull: Hull) -> None:
    """Write the quantities and units on the axes."""
    if len(hull.elements) == BINARY:
        first, second = hull.elements
        depth = max(
            0.05, -min(entry.formation_energy_per_atom for entry in hull.entries if not entry.energy_above_hull)
        )
        figure.update_xaxes(title=f"x in {first}<sub>1-x</sub>{second}<sub>x</sub>", range=[-0.03, 1.03])
        figure.update_yaxes(
            title="Formation energy (eV/atom)", range=[-1.15 * depth, max(SHOWN_FORMATION, 0.5 * depth)]
        )
    elif len(hull.elements) == TERNARY:
        axes = {f"{axis}axis": {"title": element} for axis, element in zip("abc", hull.elements, strict=True)}
        figure.update_layout(ternary=axes)
    else:
        figure.update_xaxes(title="Formation energy (eV/atom)")
        figure.update_yaxes(title="Energy above hull (meV/atom)")


def _table(hull: Hull) -> str:
    """Return the phases on the hull, and those close to it, as an HTML table."""
    rows = sorted(hull.unique_entries(), key=lambda entry: (entry.energy_above_hull, entry.structure_id))
    rows = [entry for entry in rows if entry.energy_above_hull <= ON_HULL] + [
        entry for entry in rows if entry.energy_above_hull > ON_HULL
    ][:BARS]
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "phase", "space group", "id, origin, round", "formation energy<br>eV/atom", "above hull<br>meV/atom",
            "the same,<br>corrected", "the same, the<br>method's elements",
        )
    )  # fmt: skip
    body = "".join(
        f"<tr><td>{_formula_html(entry.formula)}</td><td>{html.escape(entry.space_group)}</td>"
        f"<td>{html.escape(entry.structure_id)}, {ORIGIN_STYLE[entry.origin][3]}, {entry.round_number}</td>"
        f"<td>{entry.formation_energy_per_atom:.3f}</td><td>{1000 * entry.energy_above_hull:.1f}</td>"
        f"<td>{_mev(entry.corrected_energy_above_hull)}{' (corrections only)' if entry.correction_driven else ''}</td>"
        f"<td>{_mev(entry.own_elements_energy_above_hull)}{' (elements only)' if entry.element_driven else ''}</td></tr>"
        for entry in rows
    )
    return f"<h2>On the hull, and the {BARS} lowest above it</h2><table><tr>{head}</tr>{body}</table>"


def _hover(entry: HullEntry) -> str:
    """Return what the page shows of an entry under the pointer."""
    flag = "<br><b>on the hull through corrections only</b>" if entry.correction_driven else ""
    flag += "<br><b>on one of the two uncorrected hulls only</b>" if entry.element_driven else ""
    corrected = entry.corrected_formation_energy_per_atom
    return (
        f"<b>{_formula_html(entry.formula)}</b> {html.escape(entry.space_group)}, {entry.n_sites} sites<br>"
        f"{html.escape(entry.structure_id)}, {ORIGIN_STYLE[entry.origin][3]}, round {entry.round_number}<br>"
        f"formation energy {entry.formation_energy_per_atom:.3f} eV/atom "
        f"(corrected {'-' if corrected is None else f'{corrected:.3f}'})<br>"
        f"above hull {1000 * entry.energy_above_hull:.1f} meV/atom "
        f"(corrected {_mev(entry.corrected_energy_above_hull)}; with the method's own elements "
        f"{_mev(entry.own_elements_energy_above_hull)}){flag}"
    )


def _mev(energy: float | None) -> str:
    """Return an energy (eV/atom) in meV/atom; a dash where there is none."""
    return "-" if energy is None else f"{1000 * energy:.1f}"


def _formula_html(formula: str) -> str:
    return re.sub(r"(\d+(?:\.\d+)?)", r"<sub>\1</sub>", html.escape(formula))
