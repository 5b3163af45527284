"""A campaign that older code has under way: its stored relaxation jobs load and run as they are."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from bson import json_util
from fireworks import LaunchPad
from jobflow import Job, JobStore
from maggma.stores import MemoryStore
from monty.json import MontyDecoder
from pymongo import MongoClient
from pymongo.database import Database

from launchpad.database.migrations import prepare
from launchpad.database.store import CampaignStore
from launchpad.returned import record
from launchpad.service.configure import database_name, open_launchpad
from workflows import relax
from workflows.relax import GuardedForceFieldRelaxMaker
from workflows.result_cache import job_key
from workflows.schemas import RelaxationDocument, plain
from workflows.vasp import GuardedVaspRelaxMaker

UNDER_WAY = Path(__file__).resolve().parents[1] / "data" / "version2.json.gz"


@pytest.fixture
def database(fresh_mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Database of a campaign in the middle of a round, as the code of schema version 2 left it."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(fresh_mongo_uri, tz_aware=True) as client:
        database: Database[dict[str, Any]] = client[database_name(fresh_mongo_uri)]
        for name, documents in json_util.loads(gzip.decompress(UNDER_WAY.read_bytes()).decode()).items():
            if documents and name != "indexes":
                database[name].insert_many(documents)
        yield database


@pytest.fixture
def launchpad(database: Database[dict[str, Any]], config_folder: Path) -> LaunchPad:
    assert database.name
    return open_launchpad(config_folder)


class Flat(Calculator):
    """A potential without forces: -4 eV/atom."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = None) -> None:
        super().calculate(atoms, properties, system_changes)
        energy = -4.0 * len(atoms)
        forces = np.zeros((len(atoms), 3))
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": np.zeros(6)}


def jobs(launchpad: LaunchPad, **where: Any) -> list[Job]:
    """Relaxation jobs of Fireworks, as a worker loads them."""
    found = launchpad.get_fw_ids({"spec._category": "relaxation", **where}, sort=[("fw_id", 1)])
    return [launchpad.get_fw_by_id(fw_id).tasks[0]["job"] for fw_id in found]


def run(job: Job) -> RelaxationDocument | dict[str, Any]:
    store = JobStore(MemoryStore())
    store.connect()
    output: RelaxationDocument | dict[str, Any] = job.run(store).output
    return output


def old_task(database: Database[dict[str, Any]]) -> dict[str, Any]:
    """Task of a Firework that waits, as it was stored."""
    task: dict[str, Any] = database["fireworks"].find_one({"state": "READY"})["spec"]["_tasks"][0]  # type: ignore[index]
    return task


def test_every_relaxation_of_a_campaign_under_way_loads(
    database: Database[dict[str, Any]], launchpad: LaunchPad
) -> None:
    stored = list(database["fireworks"].find().sort("fw_id", 1))
    prepare(database)
    assert list(database["fireworks"].find().sort("fw_id", 1)) == stored  # a worker of the older code may still run
    made = jobs(launchpad)
    assert len(made) == database["fireworks"].count_documents({"spec._category": "relaxation"}) > 10
    for job in made:
        _, structure_id, maker = job.function_args
        assert isinstance(maker, GuardedForceFieldRelaxMaker)
        assert job.name == f"relax {structure_id}"
    (closing,) = (
        launchpad.get_fw_by_id(fw_id).tasks[0]["job"]
        for fw_id in launchpad.get_fw_ids({"spec._category": "training", "state": "WAITING"})
    )
    assert {reference.uuid for reference in closing.function_args[-1].values()} <= {job.uuid for job in made}


def test_a_waiting_relaxation_runs_and_is_recorded_beside_what_came_before(
    database: Database[dict[str, Any]],
    launchpad: LaunchPad,
    fresh_mongo_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(relax, "load_calculator", lambda _: Flat())
    before = database["structures"].count_documents({"relaxation.state": "relaxed"})
    store = CampaignStore(fresh_mongo_uri)
    waiting, *_ = jobs(launchpad, state="READY")
    document = RelaxationDocument(**plain(run(waiting)))
    assert (document.state, document.structure_id) == ("relaxed", waiting.function_args[1])
    assert (document.maker or {})["name"] == "relax"
    (campaign_id,) = store.campaign_ids()
    old = database["jobflow_outputs"].find_one({"output.state": "relaxed"})
    assert old is not None
    earlier = MontyDecoder().process_decoded(old["output"])
    came = {
        earlier["structure_id"]: earlier,
        document.structure_id: RelaxationDocument(**document.model_dump() | {"method": earlier["method"]}),
    }
    record(store, store.campaign(campaign_id), came)
    assert database["structures"].count_documents({"relaxation.state": "relaxed"}) == before + 1
    (stored,) = database["structures"].find({"structure_id": document.structure_id})
    assert stored["relaxation"]["energy_per_atom"] == pytest.approx(-4)
    assert isinstance(stored["relaxation"]["structure"], dict)


def test_a_result_on_disk_is_found_by_the_older_job(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(relax, "load_calculator", lambda _: Flat())
    monkeypatch.setenv("CCDCGAN_AL_RELAXED_FOLDER", str(tmp_path / "relaxed"))
    waiting, *_ = jobs(launchpad, state="READY")
    structure, structure_id, maker = waiting.function_args
    first = plain(run(waiting))
    assert (tmp_path / "relaxed" / f"{job_key(structure, structure_id, maker)}.json").is_file()

    def again(*_: object) -> None:
        raise AssertionError("relaxed a second time")

    monkeypatch.setattr(GuardedForceFieldRelaxMaker, "relax", again)
    (after,) = jobs(launchpad, **{"spec.structure_id": structure_id})
    assert json.loads(json.dumps(plain(run(after)))) == json.loads(json.dumps(first))


def test_a_relaxation_by_vasp_of_older_code_loads(database: Database[dict[str, Any]]) -> None:
    job = old_task(database)["job"]
    vasp = {"@module": "workflows.vasp", "@class": "VaspMaker", "name": "relax", "static": True}
    loaded = MontyDecoder().process_decoded({**job, "function_args": [*job["function_args"][:2], vasp]})
    maker = loaded.function_args[2]
    assert isinstance(maker, GuardedVaspRelaxMaker)
    assert maker.static
