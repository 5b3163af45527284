"""The commands that look: hull, structures, export, plot, on a small campaign."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ase.db import connect
from matplotlib.figure import Figure
from PIL import Image
from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from typer.testing import CliRunner

from ccdcgan_al.structures.matching import structure_matcher
from launchpad.cli.main import app
from launchpad.database.references import functional_of
from launchpad.results.lookup import relaxed_documents
from launchpad.service.configure import write_config
from tests.small_campaign import COPY, FAILS
from tests.small_campaign import small_campaign as a_small_campaign

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.small_campaign import SmallCampaign


@pytest.fixture
def run(small_campaign: SmallCampaign) -> Callable[..., str]:
    """Run a command on the campaign's database, and return what it prints."""

    def ask(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "-c", str(small_campaign.config)])
        assert done.exit_code == 0, done.output
        return done.stdout

    return ask


def test_hull_as_json_csv_and_table_are_the_same(run: Callable[..., str], small_campaign: SmallCampaign) -> None:
    answer = json.loads(run("hull", "Bi-Se", "--within", "0.05", "--json"))
    assert answer["campaign_id"] == small_campaign.campaign.campaign_id
    rows = answer["rows"]
    assert {"Bi", "Se"} <= {row["formula"] for row in rows}
    above = [row["energy_above_hull_ev_per_atom"] for row in rows]
    assert above == sorted(above)
    assert above[-1] <= 0.05 + 1e-6
    own = small_campaign.store.structures.find({"structure_id": {"$in": [row["structure_id"] for row in rows]}})
    figures = {document["structure_id"]: document["energy_above_hull"] for document in own}
    assert {row["structure_id"]: row["energy_above_hull_ev_per_atom"] for row in rows} == pytest.approx(figures)
    assert COPY not in {row["structure_id"] for row in rows}  # it stands behind what it is a copy of
    assert any(row["is_new_phase"] for row in rows)
    assert any(row["confirmed_energy_above_hull_ev_per_atom"] is not None for row in rows)
    table = list(csv.DictReader(io.StringIO(run("hull", "Bi-Se", "--within", "0.05", "--csv"))))
    assert [row["structure_id"] for row in table] == [row["structure_id"] for row in rows]
    text = run("hull", "Bi-Se", "--within", "0.05", "--method", "sevennet")
    assert all(row["structure_id"] in text for row in rows)
    assert answer["method"] == {
        "name": "sevennet", "calculator": "a formula", "version": "0", "functional": "PBE", "corrections": "none",
    }  # fmt: skip
    assert {row["method"] for row in table} == {"sevennet"}
    assert answer["element_references"]["scheme"] == "materials_project"
    assert {row["element_references"] for row in table} == {"materials_project"}
    for shown in (text, run("hull", "Bi-Se", "--changes")):
        assert "sevennet (a formula 0, PBE, corrections: none)" in " ".join(shown.split())
        assert "relative to the Materials Project's elements" in " ".join(shown.split())
    on = json.loads(run("hull", "Bi-Se", "--json"))["rows"]
    assert [row["energy_above_hull_ev_per_atom"] for row in on] == [0.0] * len(on)


def test_hull_of_an_earlier_round_and_what_changed(run: Callable[..., str]) -> None:
    first = json.loads(run("hull", "Bi-Se", "--round", "0", "--json"))["rows"]
    assert {row["round"] for row in first} == {0}
    assert {row["is_new_phase"] for row in first} == {None}
    changes = json.loads(run("hull", "Bi-Se", "--changes", "--json"))["rows"]
    assert [row["round"] for row in changes] == [0, 1, 2]
    assert changes[0]["largest_lowering_ev_per_atom"] is None
    assert "r1-" in changes[1]["entered"]
    assert "Changes of the hull in each round" in run("hull", "Bi-Se", "--changes")


def test_structures_are_found(run: Callable[..., str]) -> None:
    (failed,) = json.loads(run("structures", "find", "Bi-Se", "--failed-reason", "unphysical", "--json"))
    assert (failed["structure_id"], failed["message"]) == (FAILS, "told to fail")
    found = json.loads(run("structures", "find", "--round", "1", "--origin", "generated", "--within", "0.3", "--json"))
    assert found
    assert {item["round"] for item in found} == {1}
    assert all(
        item["formula"] == "BiSe" for item in json.loads(run("structures", "find", "--formula", "SeBi", "--json"))
    )
    everything = json.loads(run("structures", "find", "--json"))
    assert {FAILS, COPY} <= {item["structure_id"] for item in everything}
    assert "failed: unphysical" in run("structures", "find", "--state", "failed")
    assert "only the first 2 structures are listed; --limit lists more" in run("structures", "find", "--limit", "2")
    long = run("structures", "find", "--limit", "1000")  # names of what was not chosen are 32 characters long
    assert "-g-" in long
    assert "(meV/atom, sevennet, relative to the Materials Project's elements)" in " ".join(long.split())
    assert re.search(r"origin +from +formation", long)
    assert "rock salt" in long
    new = json.loads(run("structures", "find", "Bi-Se", "--new", "--json"))
    assert all(item["is_new_phase"] for item in new)


def test_a_structure_tells_its_lineage(run: Callable[..., str], small_campaign: SmallCampaign) -> None:
    text = run("structures", "show", small_campaign.unstable)
    model = next(iter(small_campaign.store.models.hashes(small_campaign.campaign.campaign_id).values()))
    for word in (
        "round 1",
        "generated: ccdcgan",
        f"constraint {model}",
        "trained on  7",
        "predicted",
        "attempt     distortion",
    ):
        assert word in text
    job = re.search(r"relaxation: lpad get_fws -i (\d+)", text)
    assert job is not None
    assert "new phase" not in text
    assert "problem     slightly distorted it relaxes to an energy +20.0 meV/atom from its own" in text
    assert "does not return" in run("hull", "Bi-Se", "--within", "0.05")
    seed = json.loads(run("structures", "show", "Bi-Se-r0-0002", "--json"))
    assert (seed["origin"], seed["source"], seed["models"]) == ("seed", "rock salt", [])
    assert COPY in seed["copies"] or seed["duplicate_of"]
    assert f"copy of     {seed['structure_id']}" in run("structures", "show", COPY)


@pytest.mark.parametrize(("style", "suffix"), [("cif", ".cif"), ("poscar", ".vasp")])
def test_export_to_files_that_come_back(run: Callable[..., str], tmp_path: Path, style: str, suffix: str) -> None:
    said = run("export", "Bi-Se", "--format", style, "--out", str(tmp_path / "out"), "--within", "0.05")
    files = sorted((tmp_path / "out").iterdir())
    rows = json.loads(run("hull", "Bi-Se", "--within", "0.05", "--json"))["rows"]
    assert f"{len(rows)} structures" in said
    assert {path.name for path in files} == {f"{row['structure_id']}-{row['formula']}{suffix}" for row in rows}
    text = files[0].read_text()
    assert Structure.from_str(text, fmt=style).composition.reduced_formula == files[0].stem.rsplit("-", 1)[1]


def test_what_a_stored_reference_stands_for_is_exported_too(fresh_mongo_uri: str, config_folder: Path) -> None:
    with a_small_campaign(fresh_mongo_uri, config_folder) as campaign:
        store, name = campaign.store, campaign.campaign.campaign_id
    before = [document["structure_id"] for document in relaxed_documents(store, name, 0.5)]
    (salt,) = (structure_id for structure_id in before if structure_id in ("Bi-Se-r0-0002", COPY))
    copies = {"structure_id": {"$in": ["Bi-Se-r0-0002", COPY]}}
    store.structures.update_many(copies, {"$set": {"duplicate_of": "mp-1"}})  # as in a VASP campaign with references
    after = [document["structure_id"] for document in relaxed_documents(store, name, 0.5)]
    lowest = min(store.structures.find(copies), key=lambda document: document["energy_above_hull"])["structure_id"]
    assert sorted(after) == sorted([*(set(before) - {salt}), lowest])


def test_export_to_one_file(run: Callable[..., str], tmp_path: Path, small_campaign: SmallCampaign) -> None:
    rows = json.loads(run("hull", "Bi-Se", "--within", "0.05", "--json"))["rows"]
    names = {row["structure_id"] for row in rows}
    relaxed = {
        item["structure_id"]: item for item in small_campaign.store.documents(small_campaign.campaign.campaign_id)
    }

    run("export", "Bi-Se", "--format", "entries", "--out", str(tmp_path / "entries.json"))
    entries = [ComputedStructureEntry.from_dict(item) for item in json.loads((tmp_path / "entries.json").read_text())]
    assert {entry.entry_id for entry in entries} == names
    for entry in entries:
        assert entry.energy_per_atom == pytest.approx(relaxed[entry.entry_id]["relaxation"]["energy_per_atom"])
        with pytest.raises(ValueError, match="has the run type None"):
            functional_of(entry)  # a potential's energy is not taken for a DFT one

    run("export", "Bi-Se", "--format", "ase", "--out", str(tmp_path / "hull.db"), "--new")
    with connect(tmp_path / "hull.db") as database:
        new = list(database.select("energy_above_hull<0.05"))
    assert {row.structure_id for row in new} == {row["structure_id"] for row in rows if row["is_new_phase"]}
    assert new[0].energy / new[0].natoms == pytest.approx(relaxed[new[0].structure_id]["relaxation"]["energy_per_atom"])

    run("export", "Bi-Se", "--format", "optimade", "--out", str(tmp_path / "optimade.json"), "--structure", COPY)
    (resource,) = json.loads((tmp_path / "optimade.json").read_text())["data"]
    attributes: dict[str, Any] = resource["attributes"]
    assert resource["id"].endswith(COPY)
    assert (attributes["chemical_formula_reduced"], attributes["chemical_formula_anonymous"]) == ("BiSe", "AB")
    assert (attributes["elements"], attributes["elements_ratios"]) == (["Bi", "Se"], [0.5, 0.5])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", attributes["last_modified"])
    species, sites = attributes["species_at_sites"], attributes["cartesian_site_positions"]
    back = Structure(attributes["lattice_vectors"], species, sites, coords_are_cartesian=True)
    assert structure_matcher().fit(back, Structure.from_dict(relaxed[COPY]["relaxation"]["structure"]))


@pytest.mark.parametrize("what", ["hull", "discovery", "parity"])
def test_plots_are_drawn(run: Callable[..., str], tmp_path: Path, what: str) -> None:
    run("plot", what, "Bi-Se", "--out", str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 500
    run("plot", what, "Bi-Se", "--out", str(tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert 'src="http' not in page


def test_a_look_at_another_database_leaves_the_config_folder_of_run(
    small_campaign: SmallCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCDCGAN_AL_HOME", str(tmp_path))
    name = small_campaign.campaign.campaign_id
    folder = write_config(tmp_path / "config", "mongodb://127.0.0.1:1/of_a_running_campaign")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for arguments in (["campaigns"], ["hull", "Bi-Se"], ["structures", "find"], ["harvest", str(tmp_path)]):
        done = CliRunner().invoke(app, [*arguments, "--mongo", small_campaign.uri], env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        assert name in done.output or arguments[0] == "harvest"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_only_campaigns_that_differ_in_the_random_seed_are_one_discovery_curve(
    fresh_mongo_uri: str, config_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_small_campaign(fresh_mongo_uri, config_folder) as small:
        store, first = small.store, small.campaign
    others = {"seed": replace(first, seed=8), "size": replace(first, per_round=9)}
    for other in others.values():
        store.add_campaign(other)
        for document in store.structures.find({"campaign_id": first.campaign_id, "round": 0}, {"_id": 0}):
            store.structures.insert_one({**document, "campaign_id": other.campaign_id})
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    plot = ["plot", "discovery", "Bi-Se", "-c", str(config_folder), "--out", str(tmp_path / "curves.png")]
    apart = others["size"].campaign_id
    for more in ([], ["--campaign", apart]):
        assert CliRunner().invoke(app, [*plot, *more]).exit_code == 0
    figure, alone = drawn
    labels = [str(line.get_label()) for line in figure.axes[0].lines]
    assert labels == [f"ccdcgan, as {first.campaign_id} (2 seeds)", f"ccdcgan, as {apart} (1 seed)"]
    assert figure.axes[0].get_title(loc="left") == "Discovery curves of Bi-Se, sevennet"
    assert [line.get_label() for line in alone.axes[0].lines] == ["ccdcgan (1 seed)"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hull", "Bi-Te"], "no campaign on Bi-Te in small_.*; systems with campaigns: Bi-Se"),
        (["hull", "Bi-Se", "--method", "vasp"], "no campaign on Bi-Se by 'vasp'; there are some by sevennet"),
        (["hull", "Bi-Se", "--campaign", "mine"], "no campaign 'mine' on Bi-Se; there are Bi-Se-ccdcgan-7"),
        (["hull", "Bi-Se", "--round", "9"], "no hull of .* after round 9; there are hulls after rounds 0, 1, 2"),
        (["hull", "Bi-Se", "--within", "0.5"], "holds what lies within 0.1 eV/atom"),
        (["hull", "Bi-Se", "--json", "--csv"], "give only one of them"),
        (["hull", "Bi-Se", "--changes", "--round", "1"], "do not give --round or --within"),
        (["structures", "show", "Bi-Se-r9-0000"], "no structure 'Bi-Se-r9-0000' in small_"),
        (["structures", "show", COPY, "--campaign", "mine"], "no structure .* in campaign mine"),
        (["structures", "find", "--state", "lost"], "unknown state 'lost': use one of generated"),
        (["structures", "find", "--formula", "Zz"], "'Zz' is no formula"),
        (["structures", "find", "--campaign", "mine"], "no campaign 'mine'"),
        (
            ["export", "Bi-Se", "--format", "xyz"],
            "unknown format 'xyz': use one of cif, poscar, ase, entries, optimade",
        ),
        (["export", "Bi-Se", "--structure", FAILS], f"not among the relaxed structures of .*: {FAILS}"),
        (["export", "Bi-Se", "--structure", COPY, "--new"], "got --new and --structure: give only one of them"),
        (["export", "Bi-Se", "--format", "ase", "--out", "."], r"\. is a folder; ase goes into a file"),
        (["plot", "energy", "Bi-Se"], "unknown plot 'energy': use one of hull, discovery, parity"),
        (["plot", "hull", "Bi-Se", "--within", "0.1"], "--within is only for `plot discovery`"),
        (
            ["plot", "hull", "Bi-Se", "--round", "9"],
            "no hull of .* after round 9; there are hulls after rounds 0, 1, 2",
        ),
        (["plot", "parity", "Bi-Se", "--round", "1"], "--round is only for `plot hull`"),
        (["plot", "hull", "Bi-Se", "--out", "a.svg"], "a.svg: give a file name that ends in .png or .html"),
    ],
)
def test_wrong_input_is_one_line(small_campaign: SmallCampaign, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, [*arguments, "-c", str(small_campaign.config)])
    assert done.exit_code == 1
    assert re.search(said, done.output), done.output
    assert done.output.count("\n") == 1
