"""The relaxation job: call a relaxer, put out a document. No science and no database here.

jobflow stores a job under the module path of its Maker and function, so a path is data: moving one is a migration
(`launchpad.database.migrations`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import CURRENT_JOB, Maker, Response, job

from ccdcgan_al.types import DEFAULT_METHOD
from workflows.documents import relax_to_document
from workflows.result_cache import find_finished, keep_finished
from workflows.schemas import RelaxationDocument

if TYPE_CHECKING:
    from jobflow import Job
    from pymatgen.core import Structure

    from ccdcgan_al.types import Relaxed

RELAXATION_FILE = "relaxation.json"


def relaxation_job(method: Callable[..., Any]) -> Callable[..., Job]:
    """Decorate the ``make`` of a Maker of relaxations: its output is a `RelaxationDocument`, which jobflow checks.

    Parameters
    ----------
    method : callable
        A ``make``.

    Returns
    -------
    callable
        Makes the job.
    """
    decorated: Callable[..., Job] = job(method, output_schema=RelaxationDocument)
    return decorated


@dataclass
class Relaxer(Maker):
    """Base of the Makers that relax a crystal: a method and its choices.

    `workflows.relax.GuardedForceFieldRelaxMaker` and `workflows.vasp.GuardedVaspRelaxMaker` are the two kinds. Another one is a dataclass with
    a `relax` of its own.

    Attributes
    ----------
    name : str
        Job name.
    method : str
        Name of the method, as a user types it.
    """

    name: str = "relax"
    method: str = DEFAULT_METHOD

    @relaxation_job
    def make(self, structure: Structure, prev_dir: str | Path | None = None) -> dict[str, Any] | Response:
        """Relax a structure; whatever goes wrong is a document with state ``failed``, so that its round closes.

        The structure's id is the job's metadata ``structure_id`` (`name_job`). Without one the job names the structure by its content.

        A relaxation that was stopped before its batch job's end is no failure yet: it is put on the LaunchPad again, in place of this
        one, and goes on in another batch job. Ctrl-C and a worker's exit pass through: such a job is rerun. The document is in
        `relaxation.json` in the job's folder before it is returned, and a rerun takes a finished one from disk.

        Parameters
        ----------
        structure : Structure
            Unrelaxed structure.
        prev_dir : str or Path or None
            Not used; other Makers have it.

        Returns
        -------
        Job
            Its output is a `RelaxationDocument`.
        """
        del prev_dir
        structure_id = _running_structure_id() or name_of(structure)
        own = replace(self, name=self.name.removesuffix(f" {structure_id}"))  # jobflow names a Maker like its job
        return run_relaxation(own, structure, structure_id)

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        """Relax a structure here and now.

        Parameters
        ----------
        structure : Structure
            Unrelaxed structure.
        structure_id : str
            Its id, which seeds whatever is random.

        Returns
        -------
        Relaxed
            The converged result.

        Raises
        ------
        RelaxationError
            There is no usable energy; its reason says why.
        """
        raise NotImplementedError(f"{type(self).__name__} relaxes nothing")


def name_job(relaxation: Job, structure_id: str) -> Job:
    """Give a relaxation job the id of its structure: in its metadata, and so in its Firework's spec, and in its name.

    Parameters
    ----------
    relaxation : Job
        Of a Maker's ``make``; changed.
    structure_id : str
        Id of the structure.

    Returns
    -------
    Job
        The same.
    """
    relaxation.append_name(f" {structure_id}", dynamic=False)
    relaxation.update_metadata({"structure_id": structure_id}, dynamic=False)
    return relaxation


def name_of(structure: Structure) -> str:
    """Return an id for a structure that has none: its formula and 8 hex digits of its content, the same whenever it is relaxed."""
    as_dict = getattr(structure, "as_dict", None)
    content = repr(structure) if as_dict is None else json.dumps(as_dict(), sort_keys=True, default=str)
    formula = getattr(structure, "reduced_formula", type(structure).__name__)
    return f"{formula}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def run_relaxation(maker: Relaxer, structure: Structure, structure_id: str) -> dict[str, Any] | Response:
    """Do what a relaxation job does, in the working directory; see `Relaxer.make`."""
    document = find_finished(structure, structure_id, maker) or relax_to_document(structure, structure_id, maker)
    if document["reason"] == "walltime":
        again = name_job(maker.make(structure), structure_id)
        return Response(replace=again, stored_data={"stopped": document["message"]})
    keep_finished(document, structure, maker, Path.cwd() / RELAXATION_FILE)
    return document


def _running_structure_id() -> str | None:
    """Return the structure's id that the running job's metadata hold."""
    running = CURRENT_JOB.job
    return None if running is None else running.metadata.get("structure_id")


@job(output_schema=RelaxationDocument)
def relax(structure: Structure, structure_id: str, maker: Relaxer) -> dict[str, Any] | Response:
    """Relax as Fireworks say that were stored before schema version 4, where a worker takes one before the database is migrated."""
    return run_relaxation(maker, structure, structure_id)
