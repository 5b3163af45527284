"""The flow of a round: relaxations that run in parallel, and the job that closes the round. This module chooses no structure."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job, Maker, OnMissing

from workflows.jobs import Relaxer, name_job
from workflows.relax import GuardedForceFieldRelaxMaker

if TYPE_CHECKING:
    from ccdcgan_al.types import Candidate

RELAXATION, TRAINING = "relaxation", "training"
"""Worker categories: the kind of node that runs a job (FireWorks ``_category``)."""


@dataclass
class RoundMaker(Maker):
    """Relax structures in parallel, then run the closing job.

    Attributes
    ----------
    name : str
        Name of the flow, shown by `lpad`. The uuids of its jobs follow from this name. So a flow that was only partly stored can be
        completed by another flow with the same name.
    relax_maker : Relaxer
        Maker that relaxes each structure.
    closing_job : callable
        jobflow job that takes ``relaxations``, a dict of structure_id to `RelaxationDocument`. If the Firework of a relaxation
        fizzled, its value is None, and the closing job still runs.
    closing_kwargs : dict of str to Any
        Other arguments of the closing job.
    metadata : dict of str to Any
        Metadata of every job, which are also in every Firework's spec.
    """

    name: str = "round"
    relax_maker: Relaxer = field(default_factory=GuardedForceFieldRelaxMaker)
    closing_job: Callable[..., Job] | None = None
    closing_kwargs: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def make(self, candidates: Sequence[Candidate]) -> Flow:
        """Create the flow.

        Parameters
        ----------
        candidates : sequence of Candidate
            Structures to relax, at least one.

        Returns
        -------
        Flow
            Flow whose output is the closing job's output. Without a closing job, the output is the documents by structure_id.
        """
        relaxations = {candidate.structure_id: self._relaxation(candidate) for candidate in candidates}
        outputs = {structure_id: job.output for structure_id, job in relaxations.items()}
        if self.closing_job is None:
            return Flow([*relaxations.values()], output=outputs, name=self.name)
        closing = self.closing_job(**self.closing_kwargs, relaxations=outputs)
        closing.set_uuid(_uuid(self.name, "close"))
        closing.name = f"close {self.name}"
        closing.config.on_missing_references = OnMissing.NONE
        closing.update_metadata({**self.metadata, "_category": TRAINING}, dynamic=False)
        return Flow([*relaxations.values(), closing], output=closing.output, name=self.name)

    def _relaxation(self, candidate: Candidate) -> Job:
        """Return the job that relaxes a candidate."""
        relaxation = name_job(self.relax_maker.make(candidate.structure), candidate.structure_id)
        relaxation.set_uuid(_uuid(self.name, candidate.structure_id))
        relaxation.update_metadata({**self.metadata, "_category": RELAXATION}, dynamic=False)
        return relaxation


def _uuid(*names: str) -> str:
    """Return the uuid of a job. The same names always give the same uuid."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(names)))
