"""The loop end to end through the command line: a real mongod, FireWorks, local workers and CHGNet, a failing relaxation in it.

A structure of the user's own, two atoms in a cell sixteen times too large, is a relaxation that must fail. The campaign runs
twice, in two databases: undisturbed in one, interrupted by Ctrl-C and started again in the other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from launchpad.database.store import CampaignStore
from tests.faults.scene import ROOT, STARTUP

pytestmark = pytest.mark.slow

SEEDS, PER_ROUND = 9, 3
SIZE = ["--rounds", "1", "--per-round", str(PER_ROUND), "--seed-count", str(SEEDS), "--generated", "12", "--seed", "3"]
GAN_STEPS = "500"  # an eighth of what a campaign takes: what the GAN draws is not looked at here
TOO_LARGE = Structure(Lattice.cubic(9.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
BI2SE3 = Structure.from_spacegroup(
    "R-3m", Lattice.hexagonal(4.143, 28.636), ["Bi", "Se", "Se"], [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]]
).get_primitive_structure()  # tetradymite, Nakajima, J. Phys. Chem. Solids 24, 479 (1963)


@dataclass(frozen=True)
class Place:
    """A home folder and a database for one campaign."""

    home: Path
    uri: str

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `ccdcgan-al run Bi-Se`."""
        environment = {**os.environ, "CCDCGAN_AL_HOME": str(self.home)}
        environment |= {"PYTHONPATH": f"{STARTUP}{os.pathsep}{ROOT}", "FAULTS_GAN_STEPS": GAN_STEPS}
        line = [
            *(sys.executable, "-m", "launchpad.cli.main", "run", "Bi-Se", "--json", "--mongo", self.uri),
            *arguments,
        ]
        line += ["--method", "chgnet", "--workers", "2", "--out", str(self.home / "out")]
        return subprocess.Popen(
            line, env=environment, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a campaign to its end and return its report."""
        out, err = self.command(*arguments).communicate(timeout=900)
        assert out, err
        report: dict[str, Any] = json.loads(out)
        return report

    def store(self) -> CampaignStore:
        """Open the database."""
        return CampaignStore(self.uri)


@pytest.fixture(scope="module")
def places(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Place]]:
    """Three places on the session's mongod, dropped after the module."""
    names = [f"loop_{uuid.uuid4().hex[:12]}" for _ in range(3)]
    server = mongo_uri.rsplit("/", 1)[0]
    yield [Place(tmp_path_factory.mktemp(name), f"{server}/{name}") for name in names]
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(mongo_uri) as client:
        for name in names:
            client.drop_database(name)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that choose the small campaign with the structure that fails."""
    folder = tmp_path_factory.mktemp("own")
    TOO_LARGE.to(str(folder / "too-large.cif"))
    return [*SIZE, "--strategy", "random", "--seeds", str(folder)]


@pytest.fixture(scope="module")
def report(places: list[Place], own: list[str]) -> dict[str, Any]:
    """Report of the undisturbed campaign."""
    return places[0].run(*own)


def test_the_round_closes_and_the_failure_is_stored_with_its_reason(
    places: list[Place], report: dict[str, Any]
) -> None:
    assert report["state"] == "completed"
    (failed,) = places[0].store().documents(report["campaign_id"], source="too-large.cif")
    assert (failed["state"], failed["reason"]) == ("failed", "unphysical")
    assert "times the elements' own volume" in failed["message"]
    assert failed["relaxation"]["maker"]["method"] == "chgnet"
    assert failed["structure_id"] not in {entry["structure_id"] for entry in report["hull"]}
    assert report["rounds"][0]["failures"]["unphysical"] >= 1


def test_the_counts_of_the_report_are_those_of_the_database(places: list[Place], report: dict[str, Any]) -> None:
    assert [item["round"] for item in report["rounds"]] == [0, 1]
    assert [item["submitted"] for item in report["rounds"]] == [SEEDS, PER_ROUND]
    for item in report["rounds"]:
        documents = places[0].store().documents(report["campaign_id"], round=item["round"])
        assert len(documents) == item["submitted"]
        assert item["relaxed"] == sum(document["state"] == "relaxed" for document in documents)
        assert item["failed"] == sum(document["state"] == "failed" for document in documents)
        assert item["relaxed"] + item["failed"] == item["submitted"]
        assert item["seconds"] > 0
        assert item["stable"] <= item["within_50_mev"] <= item["within_100_mev"] <= item["relaxed"]
    generated = report["rounds"][1]
    assert generated["generated"] >= generated["decoded"] >= generated["valid"] >= generated["unique"]
    assert generated["unique"] >= generated["novel"] >= PER_ROUND


def test_the_report_has_what_it_promises(report: dict[str, Any]) -> None:
    assert {"chemical_system", "method", "strategy", "seed", "rounds", "hull", "new_phases", "provenance"} <= set(
        report
    )
    assert report["chemical_system"] == "Bi-Se"
    assert report["method"]["name"] == "chgnet"
    assert report["method"]["corrections"] == "none"
    assert report["provenance"]["own_seeds"] == ["too-large.cif"]
    assert {entry["formula"] for entry in report["hull"]} >= {"Bi", "Se"}
    assert any(entry["confirmed"] for entry in report["hull"])


def test_every_stage_is_a_completed_workflow(places: list[Place], report: dict[str, Any]) -> None:
    command = [str(Path(sys.executable).parent / "lpad"), "-c", str(places[0].home / "config"), "get_wflows"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=places[0].home)
    listed = json.loads(done.stdout)
    near = report["candidates"] or report["refuted"]
    stages = ("round 0", "round 1", *(["distortion"] if near else []), "confirmation")
    assert {item["name"].split("--")[0]: item["state"] for item in listed} == {
        f"{report['campaign_id']} {stage}": "COMPLETED" for stage in stages
    }


def test_the_files_are_written(places: list[Place], report: dict[str, Any]) -> None:
    out = places[0].home / "out"
    assert json.loads((out / "report.json").read_text()) == report
    assert (out / "hull.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (out / "hull.html").read_text()[:500]
    assert len(list((out / "structures").glob("*.cif"))) == len(report["candidates"])


def test_the_same_command_again_attaches_and_runs_nothing(
    places: list[Place], own: list[str], report: dict[str, Any]
) -> None:
    before = _written(places[0], report)
    assert places[0].run(*own) == report
    assert _written(places[0], report) == before


def test_after_ctrl_c_the_same_command_goes_on_and_ends_with_the_same_report(
    places: list[Place], own: list[str], report: dict[str, Any]
) -> None:
    place = places[1]
    process = place.command(*own)
    try:
        _wait_for_relaxations(place, 3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    store = place.store()
    assert store.state(report["campaign_id"])[0] == "running"
    again = place.run(*own)
    assert _without_times(again) == _without_times(report)
    chosen = {"campaign_id": report["campaign_id"], "state": {"$ne": "generated"}}
    for document in store.structures.find(chosen):
        kinds = [attempt["kind"] for attempt in document["attempts"]]
        assert kinds.count("relaxation") == 1, document["structure_id"]
        assert kinds.count("confirmation") <= 1, document["structure_id"]


def test_ccdcgan_learns_without_what_is_withheld(places: list[Place], tmp_path: Path) -> None:
    BI2SE3.to(str(tmp_path / "bi2se3.cif"))
    withhold = ["--withhold", str(tmp_path / "bi2se3.cif")]
    sizes = ["--rounds", "1", "--per-round", "2", "--seed-count", "14", "--generated", "200"]
    report = places[2].run("--strategy", "ccdcgan", *sizes, *withhold)
    assert report["state"] == "completed"
    assert set(report["provenance"]["models_sha256"]) == {"round 1 constraint", "round 1 generator"}
    assert report["rounds"][1]["constraint_mae_ev_per_atom"] > 0
    assert report["provenance"]["withheld"] == 1
    matcher = StructureMatcher()
    store = places[2].store()
    for document in store.documents(report["campaign_id"], round=0):
        assert not matcher.fit(Structure.from_dict(document["start"]), BI2SE3)
    for phase in store.phases(report["campaign_id"], 0):  # what the constraint and the GAN learn from
        assert not matcher.fit(phase.structure, BI2SE3), phase.structure_id


def _wait_for_relaxations(place: Place, count: int) -> None:
    """Wait until some relaxations have come back."""
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(place.uri) as client:
        outputs: Any = client.get_default_database()["jobflow_outputs"]
        deadline = time.monotonic() + 300
        while outputs.count_documents({}) < count:
            assert time.monotonic() < deadline, "no relaxation came back"
            time.sleep(0.2)


def _written(place: Place, report: dict[str, Any]) -> list[tuple[str, Any]]:
    """When each structure was last written."""
    documents = place.store().documents(report["campaign_id"])
    return [(document["structure_id"], document["last_updated"]) for document in documents]


def _without_times(report: dict[str, Any]) -> dict[str, Any]:
    """Report without its timings."""
    rounds = [{key: value for key, value in item.items() if key != "seconds"} for item in report["rounds"]]
    return {**report, "rounds": rounds}
