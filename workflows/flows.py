"""The flow of a round: relaxations that run in parallel, and the job that closes them. It chooses no structure."""

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
"""Worker categories: which kind of node runs a job (FireWorks ``_category``)."""


@dataclass
class RoundMaker(Maker):
    """Relax structures in parallel, then close.

    Attributes
    ----------
    name : str
        Name of the flow, shown by `lpad`. The uuids of its jobs follow from it, so that a flow which was stored in part can be
        completed by another of the same name.
    relax_maker : Relaxer
        Relaxes each structure.
    closing_job : callable
        The closing job: a jobflow job that takes ``relaxations``, a dict of structure_id to `RelaxationDocument`. One that never
        came, since its Firework fizzled, is None there: the close runs all the same.
    closing_kwargs : dict of str to Any
        Its other arguments.
    metadata : dict of str to Any
        Of every job, and so in every Firework's spec.
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
            Its output is the closing job's; without one, the relaxations' by structure_id.
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
    """Return the uuid of a job, always the same for the same names."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(names)))
