"""Flows: what is put on the LaunchPad, by which kind of worker it is run, and what a missing relaxation does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobflow import job, run_locally
from jobflow.managers.fireworks import flow_to_workflow
from monty.json import MontyEncoder
from pymatgen.core import Lattice, Structure

from ccdcgan_al.types import Candidate
from workflows.flows import RoundMaker
from workflows.relax import GuardedForceFieldRelaxMaker

BISE = Structure(Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@job
def count_documents(relaxations: dict[str, Any]) -> int:
    return len(relaxations)


def round_maker(name: str = "round 0") -> RoundMaker:
    return RoundMaker(name, closing_job=count_documents, metadata={"campaign_id": "c"})


def candidates() -> list[Candidate]:
    return [Candidate(f"Bi-Se-r0-{i:04d}", BISE, "seed", 0, "") for i in range(3)]


def workflow(name: str = "round 0") -> Any:
    return flow_to_workflow(round_maker(name).make(candidates()))


def test_a_round_maker_survives_its_storage() -> None:
    stored = json.loads(json.dumps(round_maker().as_dict(), cls=MontyEncoder))
    assert RoundMaker.from_dict(stored) == round_maker()


def test_choices_of_the_relaxer_reach_every_job() -> None:
    maker = round_maker().update_kwargs({"fmax": 0.01}, class_filter=GuardedForceFieldRelaxMaker)
    *relaxations, _ = maker.make(candidates()).jobs
    assert {job.maker.fmax for job in relaxations} == {0.01}


def test_a_round_runs_without_a_launchpad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    maker = replace(round_maker(), relax_maker=GuardedForceFieldRelaxMaker(method="no such method"))
    for flow, count in ((maker.make(candidates()), 3), (replace(maker, closing_job=None).make(candidates()), None)):
        outputs = run_locally(flow, ensure_success=True, log=False)
        documents = [outputs[uuid][1].output for uuid in list(flow.job_uuids)[:3]]
        assert [item.structure_id for item in documents] == [item.structure_id for item in candidates()]
        assert {item.state for item in documents} == {"failed"}
        assert count is None or outputs[flow.job_uuids[-1]][1].output == count


def test_relaxations_and_the_close_go_to_their_workers() -> None:
    category = {firework.name: firework.spec["_category"] for firework in workflow().fws}
    assert category == {
        "relax Bi-Se-r0-0000": "relaxation",
        "relax Bi-Se-r0-0001": "relaxation",
        "relax Bi-Se-r0-0002": "relaxation",
        "close round 0": "training",
    }


def test_every_firework_says_whose_it_is() -> None:
    assert {firework.spec["campaign_id"] for firework in workflow().fws} == {"c"}
    assert {firework.spec.get("structure_id") for firework in workflow().fws} == {
        "Bi-Se-r0-0000",
        "Bi-Se-r0-0001",
        "Bi-Se-r0-0002",
        None,
    }


def test_what_a_close_adds_does_not_inherit_its_category() -> None:
    (closing,) = [firework for firework in workflow().fws if firework.name == "close round 0"]
    assert closing.tasks[0]["job"].metadata_updates == []


def test_close_waits_for_all_and_runs_though_one_fizzles() -> None:
    made = workflow()
    (closing,) = [firework for firework in made.fws if firework.name == "close round 0"]
    assert closing.spec["_allow_fizzled_parents"]
    relaxations = [firework.fw_id for firework in made.fws if firework is not closing]
    assert all(made.links[fw_id] == [closing.fw_id] for fw_id in relaxations)


def test_no_password_or_store_is_in_a_firework() -> None:
    for firework in workflow().fws:
        assert firework.tasks[0].get("store") is None


def test_a_flow_of_the_same_name_has_the_same_jobs() -> None:
    def jobs(made: Any) -> set[str]:
        return {firework.tasks[0]["job"].uuid for firework in made.fws}

    assert jobs(workflow()) == jobs(workflow())
    assert len(jobs(workflow()) | jobs(workflow("round 1"))) == 2 * len(jobs(workflow())) == 8
