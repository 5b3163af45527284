"""Relaxations on the LaunchPad: workflows of bounded size, each put there exactly once, and taken back when a campaign is stopped.

Why not one workflow a campaign: FireWorks reads and writes a workflow's whole document twice for each Firework that
runs in it, under one lock, so that a Firework of a large workflow costs as much as the workflow is long.
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
"""Most relaxations of one workflow (measured in docs/architecture.md); a default campaign's rounds are one batch each."""

ENDED = ("COMPLETED", "FIZZLED", "DEFUSED", "ARCHIVED")
"""States in which a workflow does nothing more by itself."""

T = TypeVar("T")


def split(items: Sequence[T], size: int = BATCH_SIZE) -> list[Sequence[T]]:
    """Split into as few batches as `size` allows, in order, their lengths equal to within one."""
    count = -(-len(items) // size)
    edges = [len(items) * i // count for i in range(count + 1)] if count else []
    return [items[a:b] for a, b in pairwise(edges)]


def put(launchpad: LaunchPad, batch_id: str, make: Callable[[], Flow], metadata: dict[str, Any]) -> bool:
    """Put a batch on the LaunchPad, or complete one that was put there in part; False where it is there already.

    However often it is called, by whomever, one workflow of this `batch_id` is there in the end, with its Fireworks once.
    The workflow comes before its Fireworks, so that none can be taken before its workflow is known.

    Parameters
    ----------
    batch_id : str
        The batch's own name, the same whenever the same batch is meant.
    make : callable
        Makes its jobs; called only where the LaunchPad does not hold them yet.
    metadata : dict
        Of the workflow, beside the batch_id.

    Raises
    ------
    MongoError
        A part of the batch is there, and its flow has another number of jobs than the rest of it.
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
    except BulkWriteError as error:  # another process put them there in between; fw_id is unique
        if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
            raise
    return True


def _missing(launchpad: LaunchPad, batch_id: str) -> list[int] | None:
    """Fireworks of a batch that its workflow names and that are not there; None where there is no such workflow."""
    workflow = launchpad.workflows.find_one({"metadata.batch_id": batch_id}, {"nodes": 1})
    if workflow is None:
        return None
    found = launchpad.fireworks.find({"fw_id": {"$in": workflow["nodes"]}}, {"fw_id": 1})
    return sorted(set(workflow["nodes"]) - {firework["fw_id"] for firework in found})


def workflows_of(launchpad: LaunchPad, campaign_id: str) -> list[dict[str, Any]]:
    """Return name, state, Fireworks, whether they have ended and whether one of them waits, of a campaign's workflows, oldest first.

    A workflow of which something was withdrawn is DEFUSED for FireWorks while the rest of it still runs.
    """
    shown = {"name": 1, "state": 1, "nodes": 1, "fw_states": 1}
    found = list(launchpad.workflows.find({"metadata.campaign_id": campaign_id}, shown).sort("_id", 1))
    for workflow in found:
        states = set(workflow.pop("fw_states").values())
        workflow["waits"] = "WAITING" in states
        workflow["ended"] = workflow["state"] in ENDED and not states & {"READY", "RESERVED", "RUNNING"}
    return found


def relaxation_counts(launchpad: LaunchPad, campaign_id: str) -> tuple[int, int]:
    """How many relaxations of a campaign have ended, and how many have not."""
    query = {"spec.campaign_id": campaign_id, "spec._category": "relaxation"}
    ended = launchpad.fireworks.count_documents({**query, "state": {"$in": ["COMPLETED", "FIZZLED", "ARCHIVED"]}})
    return ended, launchpad.fireworks.count_documents({**query, "state": {"$nin": list(ENDED)}})


def failure_reason(launchpad: LaunchPad, nodes: Sequence[int], campaign_id: str) -> str:
    """Return why workflows ended without ending their campaign: what is defused, or the last line of the newest Firework that fizzled.

    A closing Firework takes a relaxation that fizzled, and waits for one that somebody defused.

    Parameters
    ----------
    launchpad : LaunchPad
        Of the campaign.
    nodes : sequence of int
        The Fireworks of the workflows.
    campaign_id : str
        The campaign.

    Returns
    -------
    str
        The reason, and the command that helps.
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
    """Take back the relaxations of a campaign that nobody has begun, and return the ids of their structures.

    Their Fireworks are DEFUSED and cut from their batch's closing one, which so runs, and records, as soon as those
    that had begun are back; a batch of which nothing had begun is DEFUSED as a whole. So is cut, and closed, what has ended
    but for relaxations that somebody defused. May be repeated.
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
    """Defuse a relaxation that nobody has begun, one that waits in a cluster's queue too; None where somebody has."""
    unbegun = {"fw_id": fw_id, "state": {"$in": ["READY", "PAUSED", "DEFUSED"]}}
    queued = {"fw_id": fw_id, "state": "RESERVED", "launches": {"$ne": []}}  # taken by a worker: no launch yet
    document = launchpad.fireworks.find_one_and_update({"$or": [unbegun, queued]}, {"$set": {"state": "DEFUSED"}})
    return None if document is None else str(document["spec"]["structure_id"])
