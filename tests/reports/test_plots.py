"""Figures: what they show is what the hull says; looks are for eyes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.hull.hull import Hull
from ccdcgan_al.reports.hull_page import hull_page
from ccdcgan_al.reports.plots import discovery_curve_figure, formula_text, hull_figure
from ccdcgan_al.types import Method, Phase
from tests.hull.test_hull import build_hull

METHOD = Method("sevennet", "SevenNet 7net-0", "0.13.0")


def _phase(structure_id: str, species: list[str], energy: float, origin: str = "seed") -> Phase:
    sites = [[i / len(species), (2 * i % 5) / 5, (3 * i % 7) / 7] for i in range(len(species))]
    structure = Structure(Lattice.cubic(3.3 * len(species) ** (1 / 3)), species, sites)
    return Phase(structure_id, structure, energy, METHOD, origin, 1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bise() -> Hull:
    phases = [
        _phase("bi", ["Bi"], -4.0, "reference"),
        _phase("se", ["Se"], -3.0, "reference"),
        _phase("bi2se3", ["Bi"] * 2 + ["Se"] * 3, -3.8),
        _phase("r1-<b>7", ["Bi", "Se"], -3.85, "generated"),
        _phase("r1-9", ["Bi", "Se", "Se"], -3.5, "generated"),
        _phase("high", ["Bi", "Se", "Se", "Se"], -1.0, "generated"),
    ]
    return build_hull(phases, ("Bi", "Se"))


@pytest.fixture(scope="module")
def colio() -> Hull:
    phases = [
        _phase("co", ["Co"], -7.0, "reference"),
        _phase("li", ["Li"], -2.0, "reference"),
        _phase("o", ["O", "O"], -5.0, "reference"),
        _phase("coo", ["Co", "O"], -7.5),
        _phase("li2o", ["Li", "Li", "O"], -5.0),
        _phase("licoo2", ["Li", "Co", "O", "O"], -6.8, "generated"),
    ]
    return build_hull(phases, ("Co", "Li", "O"))


def _texts(figure: Any) -> list[str]:
    axes = figure.axes[0]
    return [text.get_text() for text in axes.texts]


def _corners(line: Any) -> list[list[float]]:
    return [list(map(float, corner)) for corner in line.get_xydata()]


def _png_size(figure: Any) -> int:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return len(stream.getvalue())


def test_formula_text() -> None:
    assert formula_text("Bi2Se3") == "Bi$_{2}$Se$_{3}$"
    assert formula_text("LiCoO2") == "LiCoO$_{2}$"


def test_binary_figure_labels_what_is_stable(bise: Hull) -> None:
    figure = hull_figure(bise)
    texts = _texts(figure)
    assert {"Bi", "Se", "Bi$_{2}$Se$_{3}$", "BiSe"} <= set(texts)
    assert "BiSe$_{2}$" not in texts
    assert any("6 phases, 4 on the hull" in text and "1 above" in text for text in texts)
    axes = figure.axes[0]
    assert axes.get_ylabel() == "Formation energy (eV/atom)"
    corners = max((_corners(line) for line in axes.lines), key=len)
    assert corners == [pytest.approx(corner) for corner in ([0, 0], [0.5, -0.35], [0.6, -0.4], [1, 0])]
    assert _png_size(figure) > 10_000


def test_ternary_figure(colio: Hull) -> None:
    figure = hull_figure(colio)
    assert {"Co", "Li", "O$_{2}$", "CoO", "Li$_{2}$O", "LiCoO$_{2}$"} <= set(_texts(figure))
    assert _png_size(figure) > 10_000


def test_four_elements_are_bars() -> None:
    phases = [_phase(symbol, [symbol], -3.0, "reference") for symbol in ("Bi", "Cu", "O", "Se")]
    phases.append(_phase("bicuseo", ["Bi", "Cu", "Se", "O"], -4.0, "generated"))
    hull = build_hull(phases, ("Bi", "Cu", "O", "Se"))
    figure = hull_figure(hull)
    assert figure.axes[0].get_xlabel() == "Energy above hull (meV/atom)"
    assert _png_size(figure) > 5_000
    assert "bicuseo" in hull_page(hull)


def test_page_needs_no_network_and_escapes(bise: Hull) -> None:
    page = hull_page(bise)
    assert page.startswith("<!DOCTYPE html>")
    assert "<script src=" not in page
    assert "<link" not in page.split("<script", 1)[0]
    assert "r1-<b>7" not in page
    assert "r1-&lt;b&gt;7, generated, 1" in page
    assert "Bi<sub>2</sub>Se<sub>3</sub>" in page
    assert "SevenNet 7net-0, PBE, without corrections" in page


def test_ternary_page(colio: Hull) -> None:
    assert "scatterternary" in hull_page(colio)


def test_discovery_curve() -> None:
    figure = discovery_curve_figure(
        {"ccdcgan": [[0, 1, 2, 3], [0, 0, 2, 4]], "random": [[0, 0, 0, 1]]}, controls=["random"]
    )
    axes = figure.axes[0]
    assert [line.get_label() for line in axes.lines] == ["ccdcgan (2 seeds)", "random (1 seed)"]
    assert _corners(axes.lines[0]) == [[0, 0], [1, 0], [2, 0.5], [3, 2], [4, 3.5]]
    assert axes.get_ylabel() == "Unique new phases within 50 meV/atom"
    controls = discovery_curve_figure({"random": [[0]], "substitution": [[0]]}, controls=["random", "substitution"])
    assert len({line.get_linestyle() for line in controls.axes[0].lines}) == 2
    assert controls.axes[0].get_ylim() == (0, 1)
    with pytest.raises(ValueError, match="at least one run"):
        discovery_curve_figure({})
