"""What is fetched from the Materials Project, and what is said when it cannot be; the server is a stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ccdcgan_al.errors import MaterialsProjectError
from ccdcgan_al.seeds import materials_project
from ccdcgan_al.seeds.materials_project import fetch_entries, fetch_structures, subsystems
from tests.materials_project_server import DROP, KEY, PHASES, VERSION, Server, materials_project_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with materials_project_server() as running:
        monkeypatch.setenv("MP_API_ENDPOINT", running.endpoint)
        monkeypatch.setenv("MP_API_KEY", KEY)
        monkeypatch.setattr(materials_project, "BACKOFF", 0.01)
        yield running


def test_entries_come_with_corrections_and_parameters_of_one_thermo_type(server: Server) -> None:
    fetched = fetch_entries(("Bi", "Se"))
    assert fetched.database_version == VERSION
    assert [entry.entry_id for entry in fetched.entries] == ["mp-1-GGA", "mp-2-GGA", "mp-3-GGA", "mp-4-GGA"]
    tetradymite = fetched.entries[2]
    assert tetradymite.uncorrected_energy_per_atom == pytest.approx(-4.05)
    assert tetradymite.correction_per_atom == pytest.approx(-0.6 * 0.472)
    assert tetradymite.parameters["run_type"] == "GGA"
    assert tetradymite.structure.matches(PHASES["mp-3"][0])
    path, query = server.asked[-1]
    assert path == "materials/thermo"
    assert (query["thermo_types"], query["chemsys"]) == (["GGA_GGA+U"], ["Bi,Se,Bi-Se"])
    assert {str(entry.parameters["run_type"]) for entry in fetch_entries(("Bi", "Se"), "R2SCAN").entries} == {"r2SCAN"}
    with pytest.raises(MaterialsProjectError, match=r"unknown thermo type 'GGA_GGA.U_R2SCAN'.*a mixed type"):
        fetch_entries(("Bi", "Se"), "GGA_GGA+U_R2SCAN")


def test_structures_come_by_material_id(server: Server) -> None:
    fetched = fetch_structures(("Bi", "Se"))
    assert [name for name, _ in fetched.structures] == list(PHASES)
    assert server.asked[-1][0] == "materials/core"
    assert subsystems(("O", "Li", "Co")) == ["Co", "Li", "O", "Co-Li", "Co-O", "Li-O", "Co-Li-O"]


@pytest.mark.parametrize("failures", [[429], [503, 502], [DROP]])
def test_what_passes_is_tried_again(server: Server, failures: list[int]) -> None:
    server.failures = [200, 200, 200, *failures] if failures == [429] else list(failures)
    started = time.monotonic()
    assert len(fetch_entries(("Bi", "Se")).entries) == 4
    assert server.failures == []
    if failures == [429]:
        assert time.monotonic() - started >= 1  # Retry-After


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ([429] * 9, r"fewer requests \(429\), after 6 tries"),
        ([500] * 9, r"server fails \(500\), after 6 tries"),
        ([DROP] * 9, "no connection to the Materials Project after 6 tries"),
        ([200, 200, 200, 401], r"refused the key \(401\): check MP_API_KEY"),
        ([200, 200, 200, 403], r"refused the key \(403\)"),
    ],
)
def test_what_lasts_is_told_in_a_line_without_the_key(
    server: Server, failures: list[int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials_project, "LONGEST_WAIT", 0)
    server.failures = failures
    with pytest.raises(MaterialsProjectError, match=said) as caught:
        fetch_entries(("Bi", "Se"))
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_none_is_told_before_anything_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from pymatgen.core import SETTINGS

    monkeypatch.setenv("MP_API_KEY", "")
    monkeypatch.setitem(SETTINGS, "PMG_MAPI_KEY", None)
    with pytest.raises(MaterialsProjectError, match="no Materials Project key: set MP_API_KEY"):
        fetch_entries(("Bi", "Se"))
    monkeypatch.setitem(SETTINGS, "PMG_MAPI_KEY", "old-key-of-16-ch")
    with pytest.raises(MaterialsProjectError, match="key has 16 characters, expected 32") as caught:
        fetch_entries(("Bi", "Se"))
    assert "old-key" not in str(caught.value)
    assert server.asked == []
    monkeypatch.setitem(SETTINGS, "PMG_MAPI_KEY", KEY)
    assert fetch_structures(("Bi", "Se")).structures


def test_nobody_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_API_ENDPOINT", "http://127.0.0.1:9/")
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setattr(materials_project, "BACKOFF", 0.0)
    with pytest.raises(MaterialsProjectError, match="no connection to the Materials Project"):
        fetch_structures(("Bi", "Se"))
