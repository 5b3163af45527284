"""Harvest: finished results on disk reach the database once, and no file is trusted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.files import write_json
from ccdcgan_al.types import Candidate, Method, Relaxed
from launchpad.cli.main import app
from launchpad.database.store import CampaignStore
from launchpad.results.harvest import MOST_BYTES, harvest
from workflows.documents import failure_document, relaxation_document

BISE = Structure(Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
SEVENNET = Method("sevennet", "SevenNet 7net-0", "0.13.0")
RELAXED = Relaxed(BISE, -3.5, SEVENNET, 12, 0.01, converged=True)
CAMPAIGN = Campaign("Bi-Se", "sevennet", "random")
NAME = "Bi-Se-r0-0000"


@pytest.fixture
def store(fresh_mongo_uri: str) -> CampaignStore:
    store = CampaignStore(fresh_mongo_uri)
    store.add_campaign(CAMPAIGN)
    store.submit(
        CAMPAIGN.campaign_id, [Candidate(f"Bi-Se-r0-{i:04d}", BISE, "seed", 0, "prototype") for i in range(3)], {}
    )
    return store


def launch(folder: Path, document: dict[str, Any] | None = None, **spec: Any) -> Path:
    """Make a launch folder as a worker leaves it: FW.json and relaxation.json."""
    folder.mkdir(parents=True)
    spec = {"campaign_id": CAMPAIGN.campaign_id, "structure_id": NAME, "stage": "round 0", "_tasks": [], **spec}
    (folder / "FW.json").write_text(json.dumps({"fw_id": 1, "name": "relax", "spec": spec}))
    write_json(document or relaxation_document(NAME, RELAXED, seconds=3.0), folder / "relaxation.json")
    return folder / "relaxation.json"


def reasons(folder: Path, store: CampaignStore) -> list[tuple[str, str]]:
    return [(found.outcome, found.reason) for found in harvest(folder, store)]


def test_a_finished_relaxation_is_recorded_once(tmp_path: Path, store: CampaignStore) -> None:
    launch(tmp_path / "a" / "launcher_1")
    ((outcome, reason),) = reasons(tmp_path, store)
    assert (outcome, reason) == ("recorded", f"relaxed, campaign {CAMPAIGN.campaign_id}")
    assert [document["state"] for document in store.documents(CAMPAIGN.campaign_id)] == [
        "relaxed",
        "submitted",
        "submitted",
    ]
    assert store.phases(CAMPAIGN.campaign_id, 0)[0].energy_per_atom == -3.5
    before = list(store.structures.find({}))
    assert reasons(tmp_path, store) == [("left", "this relaxation is recorded already")]
    assert list(store.structures.find({})) == before


def test_a_failure_is_recorded_too_and_vasp_compresses_its_files(tmp_path: Path, store: CampaignStore) -> None:
    path = launch(tmp_path / "a", failure_document(NAME, "unphysical", "fell", SEVENNET))
    text = (path.parent / "FW.json").read_bytes()
    (path.parent / "FW.json").unlink()
    (path.parent / "FW.json.gz").write_bytes(gzip.compress(text))
    assert reasons(tmp_path, store)[0][0] == "recorded"
    (document,) = store.documents(CAMPAIGN.campaign_id, structure_id=NAME)
    assert (document["state"], document["reason"]) == ("failed", "unphysical")


def test_what_a_round_closed_without_is_recorded_late(tmp_path: Path, store: CampaignStore) -> None:
    store.record(CAMPAIGN.campaign_id, [failure_document(NAME, "lost", "its Firework fizzled", "sevennet")])
    store.open_round(CAMPAIGN.campaign_id, 0, {})
    store.close_round(CAMPAIGN.campaign_id, 0, {})
    launch(tmp_path / "a")
    ((outcome, reason),) = reasons(tmp_path, store)
    assert outcome == "recorded"
    assert "closed without it" in reason
    assert store.documents(CAMPAIGN.campaign_id, structure_id=NAME)[0]["state"] == "relaxed"


def test_what_is_recorded_stays(tmp_path: Path, store: CampaignStore) -> None:
    store.record(CAMPAIGN.campaign_id, [relaxation_document(NAME, replace(RELAXED, energy_per_atom=-3.6))])
    launch(tmp_path / "a")
    assert reasons(tmp_path, store) == [("left", "another relaxation is recorded, relaxed; it stays")]
    assert store.phases(CAMPAIGN.campaign_id, 0)[0].energy_per_atom == -3.6


def test_the_newest_of_two_is_taken(tmp_path: Path, store: CampaignStore) -> None:
    import os

    os.utime(launch(tmp_path / "old"), (1, 1))
    launch(tmp_path / "new", relaxation_document(NAME, replace(RELAXED, energy_per_atom=-3.6)))
    assert [outcome for outcome, _ in reasons(tmp_path, store)] == ["recorded", "left"]
    assert store.phases(CAMPAIGN.campaign_id, 0)[0].energy_per_atom == -3.6


def test_a_confirmation_is_recorded_as_one(tmp_path: Path, store: CampaignStore) -> None:
    method = Method(str(CAMPAIGN.confirming_method), "SevenNet 7net-l3i5", "0.13.0")
    launch(tmp_path / "a", relaxation_document(NAME, replace(RELAXED, method=method)), stage="confirmation")
    assert reasons(tmp_path, store)[0][0] == "recorded"
    document = store.documents(CAMPAIGN.campaign_id, structure_id=NAME)[0]
    assert (document["state"], "relaxation" in document, "confirmation" in document) == ("submitted", False, True)


def test_the_relaxation_of_a_distorted_phase_is_recorded_as_one(tmp_path: Path, store: CampaignStore) -> None:
    launch(tmp_path / "a", stage="distortion")
    assert reasons(tmp_path, store)[0][0] == "recorded"
    document = store.documents(CAMPAIGN.campaign_id, structure_id=NAME)[0]
    assert (document["state"], "relaxation" in document, "distortion" in document) == ("submitted", False, True)


def cut_short(path: Path) -> None:
    path.write_text(path.read_text()[:200])


def too_large(path: Path) -> None:
    path.write_text(" " * (MOST_BYTES + 1))


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def no_firework(path: Path) -> None:
    path.with_name("FW.json").unlink()


def a_linked_firework(path: Path) -> None:
    a_link(path.with_name("FW.json"))


def a_gzip_bomb(path: Path) -> None:
    no_firework(path)
    path.with_name("FW.json.gz").write_bytes(gzip.compress(b" " * 20_000_000))


def an_infinite_energy(path: Path) -> None:
    path.write_text(path.read_text().replace("-3.5", "-Infinity"))


def another_document(path: Path) -> None:
    path.write_text('{"state": "relaxed", "structure": {"@module": "os", "@class": "system"}}')


def deeply_nested(path: Path) -> None:
    path.write_text("[" * 200_000)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_short, "relaxation.json is no JSON, perhaps cut short"),
        (too_large, f"relaxation.json has more than {MOST_BYTES} bytes"),
        (a_link, "links are not followed"),
        (no_firework, "no FW.json beside it says which campaign it is of"),
        (a_linked_firework, "FW.json cannot be opened"),
        (a_gzip_bomb, "FW.json.gz has more than 16000000 bytes"),
        (an_infinite_energy, "no relaxation document: ValueError: energy_per_atom must be finite"),
        (another_document, "no relaxation document"),
        (deeply_nested, "is no JSON"),
    ],
)
def test_no_file_is_trusted(tmp_path: Path, store: CampaignStore, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(launch(tmp_path / "a"))
    before = list(store.structures.find({}))
    ((outcome, said),) = reasons(tmp_path, store)
    assert outcome == "refused"
    assert reason in said
    assert list(store.structures.find({})) == before


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"campaign_id": "Mn-Se-random-0-abc"}, "its campaign 'Mn-Se-random-0-abc' has no such structure"),
        ({"campaign_id": {"$ne": ""}}, "has no such structure"),
        ({"structure_id": "Bi-Se-r0-0001"}, "FW.json beside it is not of this structure"),
        ({"stage": "confirmation"}, "relaxed by 'sevennet', its campaign relaxes by 'sevennet-l3i5'"),
    ],
)
def test_what_is_not_this_databases_is_refused(
    tmp_path: Path, store: CampaignStore, spec: dict[str, Any], reason: str
) -> None:
    launch(tmp_path / "a", **spec)
    ((outcome, said),) = reasons(tmp_path, store)
    assert outcome == "refused"
    assert reason in said


@pytest.mark.parametrize(
    "change",
    [{"version": "0.12.1"}, {"functional": "r2SCAN"}, {"corrections": "MP2020"}, {"calculator": "SevenNet 7net-1"}],
)
@pytest.mark.parametrize("stage", ["round 0", "distortion"])
def test_another_version_of_the_same_method_is_refused(
    tmp_path: Path, store: CampaignStore, stage: str, change: dict[str, str]
) -> None:
    store.record(CAMPAIGN.campaign_id, [relaxation_document("Bi-Se-r0-0001", RELAXED)])
    other = replace(SEVENNET, **change)
    launch(tmp_path / "a", relaxation_document(NAME, replace(RELAXED, method=other)), stage=stage)
    said = f"it was relaxed by {other}, its campaign's energies are of {SEVENNET}: they share no hull"
    assert reasons(tmp_path, store) == [("refused", said)]
    assert [phase.method for phase in store.phases(CAMPAIGN.campaign_id, 0)] == [SEVENNET]


def test_a_confirmation_is_compared_with_confirmations(tmp_path: Path, store: CampaignStore) -> None:
    method = Method(str(CAMPAIGN.confirming_method), "SevenNet 7net-l3i5", "0.13.0")
    confirmed = replace(RELAXED, method=method)
    store.record(CAMPAIGN.campaign_id, [relaxation_document("Bi-Se-r0-0001", RELAXED)])
    store.record(CAMPAIGN.campaign_id, [relaxation_document("Bi-Se-r0-0001", confirmed)], as_field="confirmation")
    launch(tmp_path / "a", relaxation_document(NAME, confirmed), stage="confirmation")
    older = replace(confirmed, method=replace(method, version="0.12.1"))
    launch(
        tmp_path / "b", relaxation_document("Bi-Se-r0-0002", older), stage="confirmation", structure_id="Bi-Se-r0-0002"
    )
    (refused, said), recorded = sorted(reasons(tmp_path, store), reverse=True)
    assert (refused, recorded[0]) == ("refused", "recorded")
    assert "SevenNet 7net-l3i5 0.12.1" in said


def test_other_atoms_than_those_asked_for_are_refused(tmp_path: Path, store: CampaignStore) -> None:
    selenium = Structure(Lattice.cubic(3.0), ["Se", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    launch(tmp_path / "a", relaxation_document(NAME, replace(RELAXED, structure=selenium)))
    launch(tmp_path / "b", relaxation_document(NAME, replace(RELAXED, structure=BISE * (2, 1, 1))))
    failure = failure_document("Bi-Se-r0-0001", "inconsistent", "Bi1 Se1 went in", SEVENNET, selenium)
    assert sorted(reasons(tmp_path, store)) == [
        ("refused", "it holds Bi2 Se2, its campaign asked for Bi1 Se1"),
        ("refused", "it holds Se2, its campaign asked for Bi1 Se1"),
    ]
    launch(tmp_path / "c" / "d", failure, structure_id="Bi-Se-r0-0001")  # says so itself
    assert [found.outcome for found in harvest(tmp_path / "c", store)] == ["recorded"]
    assert store.phases(CAMPAIGN.campaign_id, 0) == []


def test_folders_and_links_to_folders_are_not_results(tmp_path: Path, store: CampaignStore) -> None:
    a_folder(launch(tmp_path / "there" / "a"))
    launch(tmp_path / "outside" / "b")
    (tmp_path / "there" / "link").symlink_to(tmp_path / "outside")
    assert harvest(tmp_path / "there", store) == []
    with pytest.raises(NotADirectoryError, match="is no folder"):
        harvest(tmp_path / "nothing", store)


@pytest.mark.usefixtures("store")
def test_the_command_says_what_it_did(tmp_path: Path, config_folder: Path) -> None:
    launch(tmp_path / "runs" / "a")
    cut_short(launch(tmp_path / "runs" / "b"))
    result = CliRunner().invoke(app, ["harvest", str(tmp_path / "runs"), "-c", str(config_folder)])
    assert result.exit_code == 0, result.output
    assert f"recorded {NAME}: a/relaxation.json" in result.output
    assert "refused: b/relaxation.json: relaxation.json is no JSON" in result.output
    assert "1 recorded, 0 already stored, 1 refused" in result.output
