"""The flows: which jobs run in parallel and what closes them; the closing job comes in as a function that makes it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job, OnMissing

from workflows.jobs import name_job

if TYPE_CHECKING:
    from ccdcgan_al.types import Candidate
    from workflows.jobs import Relaxer

RELAXATION, TRAINING = "relaxation", "training"
"""Worker categories: which kind of node runs a job (FireWorks ``_category``)."""


def relaxations_then(
    name: str,
    candidates: Sequence[Candidate],
    relax: Relaxer,
    close: Callable[[dict[str, Any]], Job],
    metadata: dict[str, Any] | None = None,
) -> Flow:
    """Relax structures in parallel, then close.

    Parameters
    ----------
    name : name of the flow, shown by `lpad`
    candidates : structures to relax, at least one
    relax : the relaxer
    close : makes the closing job from the relaxation documents by structure_id; one that never came (its Firework
        fizzled) arrives as None, so that the close runs all the same
    metadata : of every job, and so in every Firework's spec

    Returns
    -------
    Flow whose output is the closing job's. Its jobs' uuids follow from the name, so that a flow which was stored in part
    can be completed by another of the same name.
    """
    relaxations = {}
    for candidate in candidates:
        job = name_job(relax.make(candidate.structure), candidate.structure_id)
        job.set_uuid(_uuid(name, candidate.structure_id))
        relaxations[candidate.structure_id] = job
    closing = close({structure_id: job.output for structure_id, job in relaxations.items()})
    closing.set_uuid(_uuid(name, "close"))
    closing.name = f"close {name}"
    closing.config.on_missing_references = OnMissing.NONE
    for job in relaxations.values():
        job.update_metadata({**(metadata or {}), "_category": RELAXATION}, dynamic=False)
    closing.update_metadata({**(metadata or {}), "_category": TRAINING}, dynamic=False)
    return Flow([*relaxations.values(), closing], output=closing.output, name=name)


def _uuid(*names: str) -> str:
    """Return the uuid of a job, always the same for the same names."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(names)))
