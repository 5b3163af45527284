"""Flows: what is put on the LaunchPad, by which kind of worker it is run, and what a missing relaxation does."""

from typing import Any

from jobflow import Job, job
from jobflow.managers.fireworks import flow_to_workflow
from pymatgen.core import Lattice, Structure

from ccdcgan_al.types import Candidate
from workflows.flows import relaxations_then
from workflows.relax import GuardedForceFieldRelaxMaker

BISE = Structure(Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@job
def count_documents(documents: dict[str, Any]) -> int:
    return len(documents)


def workflow(name: str = "round 0") -> Any:
    candidates = [Candidate(f"Bi-Se-r0-{i:04d}", BISE, "seed", 0, "") for i in range(3)]

    def close(outputs: dict[str, Any]) -> Job:
        closing: Job = count_documents(outputs)
        return closing

    return flow_to_workflow(
        relaxations_then(name, candidates, GuardedForceFieldRelaxMaker(), close, {"campaign_id": "c"})
    )


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
