"""Batches on the LaunchPad: each once, however often and by whomever it is put there; and what a stop takes back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fireworks import FWAction, FWorker, LaunchPad
from jobflow import Flow, job
from pymatgen.core import Lattice, Structure

from ccdcgan_al.errors import MongoError
from ccdcgan_al.types import Candidate
from launchpad.batches import failure_reason, put, relaxation_counts, split, withdraw, workflows_of
from launchpad.service.configure import open_launchpad
from workflows.flows import RoundMaker

BISE = Structure(Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
METADATA = {"campaign_id": "c", "stage": "round 0"}


@pytest.fixture
def launchpad(config_folder: Path) -> LaunchPad:
    return open_launchpad(config_folder)


@job
def count_documents(relaxations: dict[str, Any]) -> int:
    return len(relaxations)


def flow(count: int = 3) -> Flow:
    candidates = [Candidate(f"Bi-Se-r0-{i:04d}", BISE, "seed", 0, "") for i in range(count)]
    return RoundMaker("c round 0", closing_job=count_documents, metadata=METADATA).make(candidates)


def states(launchpad: LaunchPad) -> dict[str, str]:
    """State of each Firework, by name."""
    return {firework["name"]: firework["state"] for firework in launchpad.fireworks.find({}).sort("fw_id", 1)}


def begin(launchpad: LaunchPad) -> int:
    """Take the first relaxation, as a worker does, and return its launch."""
    _, launch_id = launchpad.checkout_fw(FWorker(category="relaxation"), "/tmp/launch", fw_id=1)  # noqa: S108 - never written
    return int(launch_id)


@pytest.mark.parametrize(("count", "lengths"), [(0, []), (1, [1]), (64, [64]), (65, [32, 33]), (150, [50, 50, 50])])
def test_few_and_equal_batches(count: int, lengths: list[int]) -> None:
    batches = split(range(count))
    assert [len(batch) for batch in batches] == lengths
    assert [item for batch in batches for item in batch] == list(range(count))


def test_a_batch_is_put_once(launchpad: LaunchPad) -> None:
    assert put(launchpad, "c round 0", flow, METADATA)
    before = list(launchpad.fireworks.find({}))
    assert not put(launchpad, "c round 0", flow, METADATA)
    assert list(launchpad.fireworks.find({})) == before
    assert [(item["name"], item["state"]) for item in workflows_of(launchpad, "c")] == [("c round 0", "READY")]
    assert states(launchpad) == {
        "relax Bi-Se-r0-0000": "READY",
        "relax Bi-Se-r0-0001": "READY",
        "relax Bi-Se-r0-0002": "READY",
        "close c round 0": "WAITING",
    }
    assert relaxation_counts(launchpad, "c") == (0, 3)


def test_a_batch_is_put_once_by_many_at_the_same_moment(launchpad: LaunchPad) -> None:
    with ThreadPoolExecutor(6) as pool:
        put_it: Callable[[int], bool] = lambda _: put(launchpad, "c round 0", flow, METADATA)  # noqa: E731
        list(pool.map(put_it, range(6)))
    (workflow,) = workflows_of(launchpad, "c")
    assert sorted(workflow["nodes"]) == launchpad.get_fw_ids(sort=[("fw_id", 1)])
    assert len(states(launchpad)) == len(workflow["nodes"]) == 4


@pytest.mark.parametrize("survivors", [0, 1, 3])
def test_a_batch_that_was_put_in_part_is_completed(launchpad: LaunchPad, survivors: int) -> None:
    """A worker that was killed after it wrote the workflow, and some of its Fireworks."""
    put(launchpad, "c round 0", flow, METADATA)
    whole = states(launchpad)
    ids = launchpad.get_fw_ids(sort=[("fw_id", 1)])
    launchpad.fireworks.delete_many({"fw_id": {"$in": ids[survivors:]}})
    assert put(launchpad, "c round 0", flow, METADATA)
    assert states(launchpad) == whole
    assert launchpad.get_fw_ids(sort=[("fw_id", 1)]) == ids
    workflow = launchpad.get_wf_by_fw_id(ids[0])
    assert {workflow.id_fw[parent].name for parent in workflow.links.parent_links[ids[3]]} == set(list(whole)[:3])


def test_a_damaged_batch_that_cannot_be_completed_is_named(launchpad: LaunchPad) -> None:
    put(launchpad, "c round 0", flow, METADATA)
    launchpad.fireworks.delete_one({"fw_id": 1})
    with pytest.raises(
        MongoError, match=r"with 4 Fireworks, of which 1 are lost, and has 3 now; .* delete_wflows -i 1"
    ):
        put(launchpad, "c round 0", lambda: flow(2), METADATA)


def test_another_batch_is_another_workflow(launchpad: LaunchPad) -> None:
    for name in ("c round 0, batch 1 of 2", "c round 0, batch 2 of 2"):
        put(launchpad, name, flow, METADATA)
    assert len(workflows_of(launchpad, "c")) == 2
    assert workflows_of(launchpad, "another") == []


def test_what_nobody_has_begun_is_taken_back_and_the_close_waits_for_what_runs(launchpad: LaunchPad) -> None:
    put(launchpad, "c round 0", flow, METADATA)
    launch = begin(launchpad)
    assert withdraw(launchpad, "c") == ["Bi-Se-r0-0001", "Bi-Se-r0-0002"]
    assert list(states(launchpad).values()) == ["RUNNING", "DEFUSED", "DEFUSED", "WAITING"]
    launchpad.complete_launch(launch, FWAction(), "COMPLETED")
    assert list(states(launchpad).values()) == ["COMPLETED", "DEFUSED", "DEFUSED", "READY"]
    assert withdraw(launchpad, "c") == []


def test_what_was_finished_before_a_stop_is_closed_at_once(launchpad: LaunchPad) -> None:
    put(launchpad, "c round 0", flow, METADATA)
    launchpad.complete_launch(begin(launchpad), FWAction(), "COMPLETED")
    assert withdraw(launchpad, "c") == ["Bi-Se-r0-0001", "Bi-Se-r0-0002"]
    assert list(states(launchpad).values()) == ["COMPLETED", "DEFUSED", "DEFUSED", "READY"]


def test_a_close_waits_for_what_somebody_defused_until_it_is_reignited_or_taken_back(launchpad: LaunchPad) -> None:
    for name in ("c round 0", "c round 1"):
        put(launchpad, name, flow, METADATA)
    closing = []
    for workflow in workflows_of(launchpad, "c"):
        *relaxations, close = sorted(workflow["nodes"])
        closing.append(close)
        launchpad.defuse_fw(relaxations[0])
        for fw_id, state in zip(relaxations[1:], ("COMPLETED", "FIZZLED"), strict=True):
            _, launch = launchpad.checkout_fw(FWorker(), "/nowhere", fw_id=fw_id)
            launchpad.complete_launch(launch, FWAction(), state)
    assert [(found["ended"], found["waits"]) for found in workflows_of(launchpad, "c")] == [(True, True)] * 2
    nodes = launchpad.get_fw_ids()
    assert "Fireworks 1,5 are DEFUSED" in (said := failure_reason(launchpad, nodes, "c"))
    assert "lpad reignite_fws -i 1,5 and" in said
    assert "ccdcgan-al stop c ends" in said
    launchpad.reignite_fw(1)
    assert launchpad.fireworks.find_one({"fw_id": 1})["state"] == "READY"
    _, launch = launchpad.checkout_fw(FWorker(), "/nowhere", fw_id=1)
    launchpad.complete_launch(launch, FWAction(), "COMPLETED")
    assert launchpad.fireworks.find_one({"fw_id": closing[0]})["state"] == "READY"
    assert withdraw(launchpad, "c") == ["Bi-Se-r0-0000"]
    assert launchpad.fireworks.find_one({"fw_id": closing[1]})["state"] == "READY"


def test_a_batch_that_nobody_has_begun_is_taken_back_whole(launchpad: LaunchPad) -> None:
    put(launchpad, "c round 0", flow, METADATA)
    put(launchpad, "other round 0", flow, {"campaign_id": "other"})
    assert len(withdraw(launchpad, "c")) == 3

    assert workflows_of(launchpad, "c")[0]["state"] == "DEFUSED"
    assert workflows_of(launchpad, "other")[0]["state"] == "READY"


def test_a_relaxation_that_waits_in_a_queue_is_taken_back(launchpad: LaunchPad) -> None:
    put(launchpad, "c round 0", flow, METADATA)
    launchpad.reserve_fw(FWorker(category="relaxation"), "/tmp/launch")  # noqa: S108 - never written
    assert len(withdraw(launchpad, "c")) == 3
    assert set(states(launchpad).values()) == {"DEFUSED"}
