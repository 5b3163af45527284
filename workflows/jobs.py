"""The relaxation job: it calls a relaxer and returns a document. This module has no science and no database.

jobflow stores a job with the module path of its Maker and function. So a path is data, and moving a module requires a
migration (`launchpad.database.migrations`).
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
    """Decorate the ``make`` of a relaxation Maker. jobflow checks that its output is a `RelaxationDocument`.

    Parameters
    ----------
    method : callable
        The ``make`` method of a Maker.

    Returns
    -------
    callable
        Function that makes the job.
    """
    decorated: Callable[..., Job] = job(method, output_schema=RelaxationDocument)
    return decorated


@dataclass
class Relaxer(Maker):
    """Base class of the Makers that relax a crystal. It has a method and its choices.

    There are two kinds: `workflows.relax.GuardedForceFieldRelaxMaker` and `workflows.vasp.GuardedVaspRelaxMaker`. A further one is a dataclass with
    its own `relax`.

    Attributes
    ----------
    name : str
        Name of the job.
    method : str
        Name of the method that a user types.
    """

    name: str = "relax"
    method: str = DEFAULT_METHOD

    @relaxation_job
    def make(self, structure: Structure, prev_dir: str | Path | None = None) -> dict[str, Any] | Response:
        """Relax a structure. An error gives a document with state ``failed``, so that the round closes.

        The structure's id is ``structure_id`` in the job's metadata (`name_job`). Without it the job derives an id from the structure's content.

        A relaxation that was stopped before the end of its batch job is no failure yet. A new job on the LaunchPad replaces this
        one, and continues in another batch job. Ctrl-C and a worker's exit are not caught: such a job is rerun. The document is written
        to `relaxation.json` in the job's folder before it is returned, and a rerun reads a finished document from disk.

        Parameters
        ----------
        structure : Structure
            Unrelaxed structure.
        prev_dir : str or Path or None
            Not used. Other Makers use it.

        Returns
        -------
        Job
            Job whose output is a `RelaxationDocument`.
        """
        del prev_dir
        structure_id = _running_structure_id() or name_of(structure)
        own = replace(self, name=self.name.removesuffix(f" {structure_id}"))  # jobflow names a Maker like its job
        return run_relaxation(own, structure, structure_id)

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        """Relax a structure in this process.

        Parameters
        ----------
        structure : Structure
            Unrelaxed structure.
        structure_id : str
            Id of the structure, the seed of all random numbers.

        Returns
        -------
        Relaxed
            Converged result.

        Raises
        ------
        RelaxationError
            If there is no usable energy. The error's reason states why.
        """
        raise NotImplementedError(f"{type(self).__name__} relaxes nothing")


def name_job(relaxation: Job, structure_id: str) -> Job:
    """Give a relaxation job its structure's id: in its name and in its metadata, which are also in its Firework's spec.

    Parameters
    ----------
    relaxation : Job
        Job from a Maker's ``make``. It is changed.
    structure_id : str
        Id of the structure.

    Returns
    -------
    Job
        The same job.
    """
    relaxation.append_name(f" {structure_id}", dynamic=False)
    relaxation.update_metadata({"structure_id": structure_id}, dynamic=False)
    return relaxation


def name_of(structure: Structure) -> str:
    """Return an id for a structure without one: its formula and 8 hex digits of a hash of its content. It is the same at every relaxation."""
    as_dict = getattr(structure, "as_dict", None)
    content = repr(structure) if as_dict is None else json.dumps(as_dict(), sort_keys=True, default=str)
    formula = getattr(structure, "reduced_formula", type(structure).__name__)
    return f"{formula}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def run_relaxation(maker: Relaxer, structure: Structure, structure_id: str) -> dict[str, Any] | Response:
    """Run the work of a relaxation job in the working directory, see `Relaxer.make`."""
    document = find_finished(structure, structure_id, maker) or relax_to_document(structure, structure_id, maker)
    if document["reason"] == "walltime":
        again = name_job(maker.make(structure), structure_id)
        return Response(replace=again, stored_data={"stopped": document["message"]})
    keep_finished(document, structure, maker, Path.cwd() / RELAXATION_FILE)
    return document


def _running_structure_id() -> str | None:
    """Return the structure's id from the metadata of the running job."""
    running = CURRENT_JOB.job
    return None if running is None else running.metadata.get("structure_id")


@job(output_schema=RelaxationDocument)
def relax(structure: Structure, structure_id: str, maker: Relaxer) -> dict[str, Any] | Response:
    """Relax for Fireworks that versions before November 2026 stored. They run as they are.

    They are not rewritten: a worker of the older version may still run, and could not load the new form.
    """
    return run_relaxation(maker, structure, structure_id)
