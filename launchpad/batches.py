"""Relaxations on the LaunchPad, in workflows of limited size. Each is added exactly once, and withdrawn when a campaign is stopped.

There is not one workflow per campaign, for this reason: FireWorks reads and writes a workflow's whole document twice for each
Firework that runs in it, under one lock. So the cost of each Firework grows with the length of its workflow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from jobflow.managers.fireworks import flow_to_workflow

from ccdcgan_al.errors import MongoError
from launchpad.database.indexes import DUPLICATE_KEY
from launchpad.service.fireworks_compat import locked_workflow, number, save_workflow

if TYPE_CHECKING:
    from fireworks import LaunchPad
    from jobflow import Flow

BATCH_SIZE = 64
"""Maximum number of relaxations of one workflow (measured in docs/architecture.md). A default campaign's rounds are one batch each."""

ENDED = ("COMPLETED", "FIZZLED", "DEFUSED", "ARCHIVED")
"""States of a workflow that does nothing more by itself."""

T = TypeVar("T")


def split(items: Sequence[T], size: int = BATCH_SIZE) -> list[Sequence[T]]:
    """Split into the smallest number of batches of at most `size`, in order. Their lengths differ by at most one."""
    count = -(-len(items) // size)
    edges = [len(items) * i // count for i in range(count + 1)] if count else []
    return [items[a:b] for a, b in pairwise(edges)]


def put(launchpad: LaunchPad, batch_id: str, make: Callable[[], Flow], metadata: dict[str, Any]) -> bool:
    """Put a batch on the LaunchPad, or complete a batch that is partly there. Return False if it is already complete.

    It can be called many times and by several processes. In the end there is one workflow of this `batch_id`, with each Firework
    once. The workflow is stored before its Fireworks, so no worker can take a Firework of an unknown workflow.

    Parameters
    ----------
    batch_id : str
        Name of the batch. It is always the same for the same batch.
    make : callable
        Function that makes the batch's flow of jobs. It is called only if the LaunchPad does not have all of them.
    metadata : dict
        Metadata of the workflow, in addition to the batch_id.

    Raises
    ------
    MongoError
        If a part of the batch is there, and its number of jobs differs from the present flow's.
    """
    from pymongo.errors import BulkWriteError, DuplicateKeyError

    key = "metadata.batch_id"
    launchpad.workflows.create_index(key, unique=True, partialFilterExpression={key: {"$exists": True}})
    launchpad.workflows.create_index("metadata.campaign_id")
    launchpad.fireworks.create_index([("spec.campaign_id", 1), ("spec.structure_id", 1)])
    if _missing(launchpad, batch_id) == []:
        return False
    workflow = flow_to_workflow(make(), name=batch_id, metadata={**metadata, "batch_id": batch_id})
    number(workflow, launchpad.get_new_fw_id(quantity=len(workflow)))
    with contextlib.suppress(DuplicateKeyError):
        launchpad.workflows.insert_one(workflow.to_db_dict())
    missing = _missing(launchpad, batch_id) or []
    there = launchpad.workflows.find_one({key: batch_id}, {"nodes": 1})["nodes"]
    if len(there) != len(workflow):
        raise MongoError(
            f"batch {batch_id!r} is on the LaunchPad with {len(there)} Fireworks, of which {len(missing)} are lost, "
            f"and has {len(workflow)} now; remove it with lpad delete_wflows -i {min(there)}"
        )
    number(workflow, min(there))
    if not missing:
        return False
    try:
        launchpad.fireworks.insert_many([workflow.id_fw[fw_id].to_db_dict() for fw_id in missing], ordered=False)
    except BulkWriteError as error:  # another process inserted them in the meantime; fw_id is unique
        if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
            raise
    return True


def _missing(launchpad: LaunchPad, batch_id: str) -> list[int] | None:
    """Return the Fireworks that a batch's workflow names but that do not exist. Return None if there is no such workflow."""
    workflow = launchpad.workflows.find_one({"metadata.batch_id": batch_id}, {"nodes": 1})
    if workflow is None:
        return None
    found = launchpad.fireworks.find({"fw_id": {"$in": workflow["nodes"]}}, {"fw_id": 1})
    return sorted(set(workflow["nodes"]) - {firework["fw_id"] for firework in found})


def workflows_of(launchpad: LaunchPad, campaign_id: str) -> list[dict[str, Any]]:
    """Return a campaign's workflows, oldest first: name, state, Fireworks, whether they have ended, and whether one Firework waits.

    If a Firework of a workflow was withdrawn, FireWorks calls the workflow DEFUSED although the rest of it still runs.
    """
    shown = {"name": 1, "state": 1, "nodes": 1, "fw_states": 1}
    found = list(launchpad.workflows.find({"metadata.campaign_id": campaign_id}, shown).sort("_id", 1))
    for workflow in found:
        states = set(workflow.pop("fw_states").values())
        workflow["waits"] = "WAITING" in states
        workflow["ended"] = workflow["state"] in ENDED and not states & {"READY", "RESERVED", "RUNNING"}
    return found


def relaxation_counts(launchpad: LaunchPad, campaign_id: str) -> tuple[int, int]:
    """Return the number of a campaign's relaxations that have ended, and the number that have not."""
    query = {"spec.campaign_id": campaign_id, "spec._category": "relaxation"}
    ended = launchpad.fireworks.count_documents({**query, "state": {"$in": ["COMPLETED", "FIZZLED", "ARCHIVED"]}})
    return ended, launchpad.fireworks.count_documents({**query, "state": {"$nin": list(ENDED)}})


def failure_reason(launchpad: LaunchPad, nodes: Sequence[int], campaign_id: str) -> str:
    """Return why workflows ended before their campaign: the defused Fireworks, or the last line of the newest Firework that fizzled.

    A closing Firework runs after a fizzled relaxation, but it waits for a defused one.

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the campaign.
    nodes : sequence of int
        fw_ids of the workflows' Fireworks.
    campaign_id : str
        Id of the campaign.

    Returns
    -------
    str
        Reason, and the command that helps.
    """
    defused = launchpad.fireworks.find({"fw_id": {"$in": list(nodes)}, "state": "DEFUSED"}, {"fw_id": 1}).sort(
        "fw_id", 1
    )
    if ids := ",".join(str(document["fw_id"]) for document in defused):
        return (
            f"Fireworks {ids} are DEFUSED, and their round waits for them: lpad reignite_fws -i {ids} and the same command again "
            f"relax them, ccdcgan-al stop {campaign_id} ends the campaign without them"
        )
    for document in launchpad.fireworks.find({"fw_id": {"$in": list(nodes)}, "state": "FIZZLED"}).sort("fw_id", -1):
        for launch_id in reversed(document["launches"]):
            launch = launchpad.launches.find_one({"launch_id": launch_id}) or {}
            stored = ((launch.get("action") or {}).get("stored_data") or {}).get("_exception") or {}
            lines = str(stored.get("_stacktrace", "")).strip().splitlines()
            if lines:
                return f"Firework {document['fw_id']} ({document['name']}) fizzled: {lines[-1]}; lpad rerun_fws -i {document['fw_id']}"
    return "the workflow ended before its campaign did, and no Firework says why"


def withdraw(launchpad: LaunchPad, campaign_id: str) -> list[str]:
    """Withdraw the relaxations of a campaign that have not started. Return the ids of their structures.

    Their Fireworks are DEFUSED and removed from the parents of the batch's closing Firework. So the closing Firework runs and records
    as soon as the started relaxations are back. If no relaxation of a batch had started, the whole batch is DEFUSED. A workflow that
    only waits for relaxations that a user defused is treated in the same way. The function can be repeated.
    """
    taken: list[str] = []
    for found in workflows_of(launchpad, campaign_id):
        if found["ended"] and not found["waits"]:
            continue
        with locked_workflow(launchpad, found["nodes"][0]) as workflow:
            cut = {}
            for fw_id in sorted(fw_id for fw_id, children in workflow.links.items() if children):
                if (structure_id := _defuse(launchpad, fw_id)) is not None:
                    taken.append(structure_id)
                    cut[fw_id], workflow.links[fw_id] = workflow.links[fw_id], []
                    workflow.fw_states[fw_id] = "DEFUSED"
            updated: set[int] = set()
            for fw_id in {child for children in cut.values() for child in children}:
                if fw_id in workflow.links.parent_links:
                    updated |= workflow.refresh(fw_id, updated)
                else:
                    launchpad.fireworks.update_one({"fw_id": fw_id}, {"$set": {"state": "DEFUSED"}})
                    workflow.fw_states[fw_id] = "DEFUSED"
            if cut:
                save_workflow(launchpad, workflow, updated)
    return taken


def _defuse(launchpad: LaunchPad, fw_id: int) -> str | None:
    """Defuse a relaxation that has not started, even if it waits in a cluster's queue. Return None if it has started."""
    unbegun = {"fw_id": fw_id, "state": {"$in": ["READY", "PAUSED", "DEFUSED"]}}
    queued = {"fw_id": fw_id, "state": "RESERVED", "launches": {"$ne": []}}  # reserved, but not launched
    document = launchpad.fireworks.find_one_and_update({"$or": [unbegun, queued]}, {"$set": {"state": "DEFUSED"}})
    return None if document is None else str(document["spec"]["structure_id"])
