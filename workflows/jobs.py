"""The relaxation job, a thin function: call a relaxer, return a document. No science and no database here.

jobflow stores a job under its module path (`workflows.jobs.relax`), so a path is data: moving a job is a migration.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Maker, Response, job

from ccdcgan_al.types import DEFAULT_METHOD
from workflows.documents import relax_to_document
from workflows.result_cache import find_finished, keep_finished
from workflows.schemas import RelaxationDocument

if TYPE_CHECKING:
    from jobflow import Job
    from pymatgen.core import Structure

    from ccdcgan_al.types import Relaxed

RELAXATION_FILE = "relaxation.json"


@dataclass
class Relaxer(Maker):
    """What relaxes a crystal: a method and its choices; `workflows.relax.RelaxMaker` and `workflows.vasp.VaspMaker` are the two kinds.

    Parameters
    ----------
    name : job name
    method : name of the method, as a user types it
    """

    name: str = "relax"
    method: str = DEFAULT_METHOD

    def make(self, structure: Structure, structure_id: str) -> Job:
        """Return the job that relaxes a structure; its output is a document, also where the relaxation fails."""
        job = relax(structure, structure_id, self)
        job.name = f"{self.name} {structure_id}"
        job.update_metadata({"structure_id": structure_id}, dynamic=False)
        return job

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        """Relax a structure here and now, or raise a RelaxationError."""
        raise NotImplementedError(f"{type(self).__name__} relaxes nothing")


@job(output_schema=RelaxationDocument)
def relax(structure: Structure, structure_id: str, maker: Relaxer) -> dict[str, Any] | Response:
    """Relax a structure; whatever goes wrong is a returned document with state ``failed``, so that its round closes.

    A relaxation that was stopped before its batch job's end is no failure yet: it is put on the LaunchPad again, in
    place of this one, and goes on in another batch job.

    The maker travels as an argument and so is stored with the job; it is anything with `relax(structure,
    structure_id)` and a `method`. Ctrl-C and a worker's exit pass through: such a job is rerun. The document is in
    `relaxation.json` in the job's folder before it is returned, and a rerun takes a finished one from disk.

    Parameters
    ----------
    structure : unrelaxed structure
    structure_id : id in the campaign
    maker : the relaxer with its scientific choices
    """
    document = find_finished(structure, structure_id, maker) or relax_to_document(structure, structure_id, maker)
    if document["reason"] == "walltime":
        return Response(replace=maker.make(structure, structure_id), stored_data={"stopped": document["message"]})
    keep_finished(document, structure, maker, Path.cwd() / RELAXATION_FILE)
    return document
