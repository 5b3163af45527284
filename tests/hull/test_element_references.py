"""The zero of the hull: the elements' energies, whose they are, and what is said where a potential misses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pymatgen.core import Composition

from ccdcgan_al.hull.element_references import (
    DATA,
    OFF,
    OWN,
    deviations,
    energy_of_elements,
    materials_project_energies,
    potential_energies,
    references_of,
    warnings_of,
)
from ccdcgan_al.types import Method
from workflows.potentials import POTENTIALS

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SEVENNET = Method("sevennet", "SevenNet 7net-0", "0.13.0")
SHIPPED = ("sevennet", "sevennet-l3i5", "chgnet")


def test_there_are_89_elements_with_their_source_and_licence() -> None:
    stored = json.loads(DATA.read_text())["materials_project"]
    assert len(materials_project_energies()) == len(stored["energies"]) == 89
    assert {item["source"] for item in stored["energies"].values()} == set(stored["sources"])
    assert "CC BY 4.0" in stored["licence"]
    assert materials_project_energies()["W"] == pytest.approx(-12.9581, abs=1e-4)


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
def test_they_are_those_of_matbench_discovery_or_lower() -> None:
    from monty.serialization import loadfn

    listed = {symbol: entry.energy_per_atom for symbol, entry in loadfn(SHARED / "mp_elem_refs.json.gz").items()}
    ours = materials_project_energies()
    assert set(listed) == set(ours)
    lower = {symbol for symbol, energy in ours.items() if abs(energy - listed[symbol]) > 1e-5}
    assert lower == {"Br", "I", "Bi", "Eu"}
    assert all(0.02 < listed[symbol] - ours[symbol] < 0.1 for symbol in lower)


@pytest.mark.parametrize(
    ("method", "scheme"),
    [
        (SEVENNET, "materials_project"),
        (Method("chgnet", "CHGNet 0.3.0", "0.4.2"), "materials_project"),
        (Method("vasp", "VASP", "6.4.2"), "own"),
        (Method("matpes-r2scan", "TensorNet", "1", functional="r2SCAN"), "own"),
        (Method("matpes-pbe", "TensorNet", "1", functional="PBE without U"), "own"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_default_follows_the_method(method: Method, scheme: str) -> None:
    references = references_of(method, ("Bi", "Se"))
    assert references.scheme == scheme
    assert set(references.energies) == ({"Bi", "Se"} if scheme == "materials_project" else set())


def test_an_element_that_the_materials_project_lacks_leaves_the_method_its_own() -> None:
    references = references_of(SEVENNET, ("Bi", "Po"))
    assert references.scheme == "own"
    assert references.reason == "the Materials Project has no energy of Po"


def test_energy_of_elements() -> None:
    assert energy_of_elements(Composition("Bi2Se3"), {"Bi": -4.0, "Se": -3.0}) == pytest.approx(-3.4)
    assert energy_of_elements(Composition("Bi2Se3"), {"Bi": -4.0}) is None


def test_an_element_that_is_off_is_named_with_by_how_much() -> None:
    known = materials_project_energies()
    off = deviations({"W": known["W"] + 0.218, "Br": known["Br"] - 0.057, "Bi": known["Bi"] + OFF / 2, "Po": -3.0})
    assert off == pytest.approx({"W": 0.218, "Br": -0.057, "Bi": OFF / 2})
    assert warnings_of(off, "SevenNet 7net-0") == [
        "W: SevenNet 7net-0 puts the element 218 meV/atom above the Materials Project's PBE energy",
        "Br: SevenNet 7net-0 puts the element 57 meV/atom below the Materials Project's PBE energy",
    ]


def test_every_potential_of_the_package_has_its_table_of_elements() -> None:
    for name in SHIPPED:
        energies = potential_energies(POTENTIALS[name].calculator)
        assert len(energies) >= 86, name
        assert max(abs(value) for value in deviations(energies).values()) < 0.6, name
    assert potential_energies("a potential of nobody") == {}


def test_the_documents_have_that_table() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "energies.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    tables = [deviations(potential_energies(POTENTIALS[name].calculator)) for name in SHIPPED]
    for symbol in materials_project_energies():
        figures = [f"{1000 * table[symbol]:+.0f}" if symbol in table else "-" for table in tables]
        assert [cell.strip() for cell in rows[symbol].split("|")[3:-1]] == figures, symbol


def test_own_is_the_plain_scheme() -> None:
    assert str(OWN) == "the method's own elements"
    assert str(references_of(SEVENNET, ("Bi", "Se"))) == "the Materials Project's elements"
