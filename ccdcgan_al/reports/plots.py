"""Figures of hulls and of campaigns: data in, figure out; saving is the caller's, only positions are computed."""

from __future__ import annotations

import re
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.hull.hull import ON_HULL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from ccdcgan_al.hull.hull import Hull

BINARY, TERNARY = 2, 3
TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # corners of a ternary's composition triangle
SHOWN_ABOVE_HULL = 0.3  # eV/atom; a ternary or larger system's figure leaves out what lies higher
SHOWN_FORMATION = 0.15  # eV/atom; a binary's figure leaves out what lies higher than this, or than the hull is deep
BARS = 24  # phases in the bar chart of four or more elements
_CLOSE = 0.075  # labels nearer than this in composition are set at different heights
ORIGIN_STYLE = {  # colours that also tell apart for the colour-blind (Okabe & Ito), and a marker for each origin
    "reference": ("#4d4d4d", "s", "square", "reference"),
    "seed": ("#0072b2", "o", "circle", "starting set"),
    "generated": ("#d55e00", "D", "diamond", "generated"),
}
_GREY = "#8c8c8c"


def formula_text(formula: str) -> str:
    """Return a formula with subscripts in matplotlib's mathtext, `Bi$_{2}$Se$_{3}$`."""
    return re.sub(r"(\d+(?:\.\d+)?)", r"$_{\1}$", formula)


def _second_fraction(hull: Hull) -> np.ndarray:
    """Return the atomic fraction of the second element of every entry, shape (n_entries,)."""
    return np.array([phase.structure.composition.get_atomic_fraction(hull.elements[1]) for phase in hull.phases])


def _triangle(hull: Hull) -> np.ndarray:
    """Return every entry's place in the unit triangle, shape (n_entries, 2); elements at left, right and top."""
    fractions = [[phase.structure.composition.get_atomic_fraction(el) for el in hull.elements] for phase in hull.phases]
    return np.array(fractions) @ TRIANGLE


def stable_entries(hull: Hull) -> list[int]:
    """Return positions of the entries on the hull, one a composition."""
    first: dict[str, int] = {}
    for number, entry in enumerate(hull.entries):
        if entry.energy_above_hull <= ON_HULL:
            first.setdefault(entry.formula, number)
    return list(first.values())


def subtitle(hull: Hull, between: str = " · ") -> str:
    """Return the method of a hull, whose elements set its zero, and how many phases it has, for a caption."""
    counts = f"{len(hull.entries)} phases, {len(stable_entries(hull))} on the hull"
    return f"{hull.method.calculator}, {hull.method.functional}, without corrections, {hull.element_references}{between}{counts}"


def new_figure(width: float, height: float) -> tuple[Figure, Any]:
    """Return a figure (inches) with one plain axes; no global state of pyplot is touched."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _points(axes: Any, hull: Hull, places: np.ndarray, shown: np.ndarray) -> None:
    """Draw entries by origin, filled on the hull and open above it; `places` (n_entries, 2), `shown` (n_entries,)."""
    stable = np.array([entry.energy_above_hull <= ON_HULL for entry in hull.entries])
    origins = np.array([entry.origin for entry in hull.entries])
    for level, (origin, (colour, marker, _, name)) in enumerate(ORIGIN_STYLE.items()):
        above = (origins == origin) & ~stable & shown
        on = (origins == origin) & stable
        x, y = places[above].T
        axes.scatter(x, y, s=22, marker=marker, facecolors="none", edgecolors=colour, alpha=0.75, zorder=4.5)
        x, y = places[on].T
        label = f"{name} ({int((origins == origin).sum())})"
        axes.scatter(x, y, s=52, marker=marker, color=colour, edgecolors="white", label=label, zorder=5 + level)


def hull_figure(hull: Hull) -> Figure:
    """Draw the uncorrected convex hull.

    Parameters
    ----------
    hull : Hull
        Of two elements (formation energy in eV/atom over composition), of three (triangle with its tie lines), or of
        more (bars of the energy above hull of the lowest phases, in meV/atom).

    Returns
    -------
    Figure
        Matplotlib figure, not saved.
    """
    if len(hull.elements) == BINARY:
        return _binary_figure(hull)
    return _ternary_figure(hull) if len(hull.elements) == TERNARY else _bar_figure(hull)


def _binary_figure(hull: Hull) -> Figure:
    fraction = _second_fraction(hull)
    energy = np.array([entry.formation_energy_per_atom for entry in hull.entries])
    on_hull = sorted(stable_entries(hull), key=lambda number: fraction[number])
    depth = max(0.05, float(-energy[on_hull].min()))
    top = max(SHOWN_FORMATION, 0.5 * depth)
    shown = energy <= top
    figure, axes = new_figure(7.2, 4.8)
    axes.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
    axes.plot(fraction[on_hull], energy[on_hull], color="black", linewidth=1.4, zorder=4)
    _points(axes, hull, np.column_stack([fraction, energy]), shown)
    level, before = 0, -1.0
    for number in on_hull:
        level = level + 1 if fraction[number] - before < _CLOSE else 0
        before = fraction[number]
        is_element = hull.entries[number].formation_energy_per_atom == 0
        axes.annotate(
            formula_text(hull.entries[number].formula),
            (fraction[number], energy[number]),
            xytext=(0, 9 if is_element else -16 - 15 * level),
            textcoords="offset points",
            ha="center",
            va="bottom" if is_element else "top",
            fontsize=10,
            arrowprops={"arrowstyle": "-", "color": _GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
            if level
            else None,
        )
    first, second = hull.elements
    hidden = int((~shown).sum())
    note = f" · {hidden} above {top:.2f} eV/atom not shown" if hidden else ""
    axes.set(
        xlim=(-0.03, 1.03),
        ylim=(-1.32 * depth, top),
        xlabel=rf"$x$ in {first}$_{{1-x}}${second}$_{{x}}$",
        ylabel="Formation energy (eV/atom)",
    )
    axes.set_title(f"{first}-{second} convex hull", loc="left", fontweight="bold", pad=32)
    axes.text(0, 1.02, subtitle(hull, "\n") + note, transform=axes.transAxes, fontsize=8, color="#595959", va="bottom")
    axes.legend(frameon=False, fontsize=8, loc="lower left", title="filled: on the hull", title_fontsize=8)
    return figure


def _ternary_figure(hull: Hull) -> Figure:
    places = _triangle(hull)
    above = np.array([entry.energy_above_hull for entry in hull.entries])
    shown = above <= SHOWN_ABOVE_HULL
    figure, axes = new_figure(6.6, 6.2)
    number_of = {phase.structure_id: number for number, phase in enumerate(hull.phases)}
    for facet in hull.diagram.facets:
        corners = [number_of[hull.diagram.qhull_entries[corner].name] for corner in facet]
        loop = places[[*corners, corners[0]]]
        axes.plot(*loop.T, color="black", linewidth=0.8, zorder=3)
    _points(axes, hull, places, shown)
    for number in stable_entries(hull):
        x, y = places[number]
        shift, across, up = _outwards(x, y)
        axes.annotate(
            formula_text(hull.entries[number].formula),
            (x, y),
            xytext=shift,
            textcoords="offset points",
            ha=across,
            va=up,
            fontsize=9,
            zorder=9,
        )
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set(xlim=(-0.1, 1.1), ylim=(-0.08, 1.1))
    hidden = int((~shown).sum())
    note = f" · {hidden} above {SHOWN_ABOVE_HULL} eV/atom not shown" if hidden else ""
    axes.text(0, 0.97, f"{'-'.join(hull.elements)} convex hull", transform=axes.transAxes, size=12, weight="bold")
    axes.text(0, 0.955, subtitle(hull, "\n") + note, transform=axes.transAxes, fontsize=8, color="#595959", va="top")
    axes.legend(
        frameon=False,
        fontsize=8,
        loc="upper right",
        bbox_to_anchor=(1, 0.9),
        title="filled: on the hull",
        title_fontsize=8,
    )
    return figure


def _outwards(x: float, y: float) -> tuple[tuple[float, float], str, str]:
    """Return where a label stands off its point in the triangle: offset (points) and alignments, outside the edges."""
    near = 0.01
    if y < near:
        return (0, -9), "center", "top"
    if y > np.sqrt(3) / 2 - near:
        return (0, 9), "center", "bottom"
    if abs(y - np.sqrt(3) * x) < near:
        return (-9, 0), "right", "center"
    if abs(y - np.sqrt(3) * (1 - x)) < near:
        return (9, 0), "left", "center"
    return (8, 6), "left", "bottom"


def _bar_figure(hull: Hull) -> Figure:
    entries = sorted(hull.unique_entries(), key=lambda entry: (entry.energy_above_hull, entry.structure_id))[:BARS]
    figure, axes = new_figure(7.2, 1.4 + 0.24 * len(entries))
    for origin, (colour, _, _, name) in ORIGIN_STYLE.items():
        rows = [row for row, entry in enumerate(entries) if entry.origin == origin]
        axes.barh(rows, [1000 * entries[row].energy_above_hull for row in rows], color=colour, label=name)
        axes.scatter([0] * len(rows), rows, color=colour, s=20, zorder=3)
    axes.set_yticks(range(len(entries)), [formula_text(entry.formula) for entry in entries], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="Energy above hull (meV/atom)")
    axes.set_title(
        f"{'-'.join(hull.elements)}: the {len(entries)} lowest phases", loc="left", fontweight="bold", pad=32
    )
    axes.text(0, 1.0, subtitle(hull, "\n"), transform=axes.transAxes, fontsize=8, color="#595959", va="bottom")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def discovery_curve_figure(
    runs: Mapping[str, Sequence[Sequence[int]]], threshold: float = 0.05, controls: Sequence[str] = ()
) -> Figure:
    """Draw how many phases strategies found over how many relaxations.

    Parameters
    ----------
    runs : mapping of str to sequence of sequence of int
        By strategy, one sequence a random seed: item i is the number of unique new phases after i + 1 relaxations.
    threshold : float, default 0.05
        Energy above hull (eV/atom) up to which a phase counts, for the axis label.
    controls : sequence of str, optional
        Strategies drawn in grey, each dashed in its own way.

    Returns
    -------
    Figure
        A line a strategy (the median over seeds) in a band from the least to the most.

    Raises
    ------
    ValueError
        No runs.
    """
    if not runs or not all(runs.values()):
        raise ValueError("discovery_curve_figure needs at least one run of each strategy, got none")
    figure, axes = new_figure(6.4, 4.2)
    dashes = cycle(("--", ":", "-."))
    colours = iter(["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"] * (1 + len(runs) // 6))
    for name, seeds in runs.items():
        length = min(len(seed) for seed in seeds)
        counts = np.array([list(seed[:length]) for seed in seeds])  # (n_seeds, n_relaxations)
        steps = np.arange(length + 1)
        counts = np.column_stack([np.zeros(len(seeds)), counts])
        control = name in controls
        colour = _GREY if control else next(colours)
        plural = f"{len(seeds)} seeds" if len(seeds) > 1 else "1 seed"
        middle = np.median(counts, axis=0)
        line = next(dashes) if control else "-"
        axes.step(steps, middle, where="post", color=colour, linestyle=line, label=f"{name} ({plural})")
        axes.fill_between(steps, counts.min(axis=0), counts.max(axis=0), step="post", color=colour, alpha=0.15, lw=0)
    axes.set(
        xlabel="Relaxations",
        ylabel=f"Unique new phases within {1000 * threshold:.0f} meV/atom",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))  # phases are counted in whole numbers
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure
