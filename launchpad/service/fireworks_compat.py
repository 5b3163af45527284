"""Every patch of FireWorks, and every use of its private parts, in one place. The rest of the code uses FireWorks' public interface alone.

Written for FireWorks 2.1 (`VERSION`; read and tested with 2.1.4). `tests/service/test_fireworks_compat.py` checks that each
name is still there with the signature that is relied on, and that each patch does what it says. Two patches change a process
(`break_stale_locks`, `let_information_fail`); the other functions change nothing but the documents they are called for.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any

from launchpad.uri import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

    from fireworks import LaunchPad, Workflow

VERSION = "2.1"
"""The minor version of FireWorks whose private parts are used here."""

LOCK_EXPIRATION_SECONDS = 60
"""How long a process waits for a workflow's lock before it breaks it; workers: WFLOCK_EXPIRATION_SECS in FW_config.yaml."""

LAUNCHPAD_FILE = "fireworks/core/launchpad.py"
"""The file of FireWorks' LaunchPad (`writes_to_launchpad`)."""

UNLOCKED: dict[str, object] = {"locked": {"$exists": False}}
"""Filter on `workflows`: those that nobody holds locked (`locks` has the field's meaning)."""


# --- patches of a process ---------------------------------------------------------------------------------------------


def break_stale_locks(seconds: float = LOCK_EXPIRATION_SECONDS) -> None:
    """Let this process break a workflow's lock that a dead process left, after a wait.

    FireWorks 2.1: `WFLock.__init__` takes WFLOCK_EXPIRATION_SECS (300) and WFLOCK_EXPIRATION_KILL (False) as defaults when it is
    imported. The campaign's FW_config.yaml sets both, but this process imports FireWorks before it knows the folder. With
    FireWorks' own values a lock of a dead worker stays for good (https://github.com/materialsproject/fireworks/issues/490).

    Parameters
    ----------
    seconds : float
        How long to wait for a lock (s).
    """
    from fireworks.core.launchpad import WFLock

    WFLock.__init__.__defaults__ = (seconds, True)


def let_information_fail() -> None:
    """Let this process, a worker, go on where FireWorks cannot write what it writes for information alone.

    FireWorks 2.1: `Rocket.run` calls `LaunchPad.ping_launch` (a sign of life) and `Firework.to_file` (FW.json in the launch's
    folder) within the block whose exceptions mark the Firework FIZZLED, and the thread that pings ends at its first error. So a
    full disk, or a database that is away for a moment, would fail a Firework whose job is sound. With this patch the failure is
    one line on stderr.
    """
    from fireworks import Firework, LaunchPad
    from pymongo.errors import ConnectionFailure

    LaunchPad.ping_launch = _forgiving(LaunchPad.ping_launch, ConnectionFailure)
    Firework.to_file = _forgiving(Firework.to_file, OSError)


def _forgiving(method: Callable[..., None], errors: type[Exception]) -> Callable[..., None]:
    """Return a method whose failure is said and ends nothing."""

    @functools.wraps(method)
    def forgiving(*args: Any, **kwargs: Any) -> None:
        try:
            method(*args, **kwargs)
        except errors as error:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"{method.__name__} failed: {redact(error).split(', Timeout:')[0]}\n")

    return forgiving


# --- private parts ----------------------------------------------------------------------------------------------------


def initialise(launchpad: LaunchPad) -> None:
    """Give a LaunchPad that was never used its indexes and the counters of ids; one that was used stays as it is.

    FireWorks 2.1: `get_new_fw_id` asks for `lpad reset` where there is no document in `fw_id_assigner`, and `LaunchPad.reset` also
    wipes. The document here is what `LaunchPad._restart_ids` writes, with a fixed `_id`: two commands that start at the same
    moment write one.

    Parameters
    ----------
    launchpad : LaunchPad
        Of the database.
    """
    from pymongo.errors import DuplicateKeyError

    if launchpad.fw_id_assigner.find_one() is not None:
        return
    launchpad.tuneup()
    with contextlib.suppress(DuplicateKeyError):  # another command was a moment faster
        launchpad.fw_id_assigner.insert_one({"_id": -1, "next_fw_id": 1, "next_launch_id": 1})


def number(workflow: Workflow, first: int) -> None:
    """Give the Fireworks of a new workflow consecutive ids in the flow's order, and make those without parents READY.

    FireWorks 2.1: `LaunchPad.bulk_add_wfs` does this, and inserts in the same call, so that a batch could not be completed
    that a killed process put there in part. `Workflow._reassign_ids` is private.

    Parameters
    ----------
    workflow : Workflow
        It is changed.
    first : int
        The lowest id.
    """
    for fw_id in workflow.root_fw_ids:
        workflow.id_fw[fw_id].state = workflow.fw_states[fw_id] = "READY"
    new = {old: first + i for i, old in enumerate(workflow.id_fw)}
    for firework in workflow.fws:
        firework.fw_id = new[firework.fw_id]
    workflow._reassign_ids(new)  # noqa: SLF001


@contextlib.contextmanager
def locked_workflow(launchpad: LaunchPad, fw_id: int) -> Iterator[Workflow]:
    """Hold the lock of a Firework's workflow, and yield the workflow; no worker changes it meanwhile.

    FireWorks 2.1: `WFLock` is no part of what the package exports. What is changed in the workflow is stored by
    `save_workflow`, within this context.

    Parameters
    ----------
    launchpad : LaunchPad
        Of the database.
    fw_id : int
        A Firework of the workflow.

    Yields
    ------
    Workflow
        As it is stored. Its Fireworks are read when they are asked for.
    """
    from fireworks.core.launchpad import WFLock

    with WFLock(launchpad, fw_id):
        yield launchpad.get_wf_by_fw_id_lzyfw(fw_id)


def save_workflow(launchpad: LaunchPad, workflow: Workflow, changed: Iterable[int]) -> None:
    """Store a workflow whose links or states were changed under its lock (`locked_workflow`).

    FireWorks 2.1: `LaunchPad._update_wf`, as `LaunchPad.append_wf` calls it. There is no public function that cuts a link.

    Parameters
    ----------
    launchpad : LaunchPad
        Of the database.
    workflow : Workflow
        The workflow.
    changed : iterable of int
        Its Fireworks that were changed too.
    """
    launchpad._update_wf(workflow, sorted(changed))  # noqa: SLF001


def refresh(launchpad: LaunchPad, fw_id: int) -> None:
    """Bring the state of a Firework, and of its children, up to date with its launches and parents.

    FireWorks 2.1: `LaunchPad._refresh_wf`, as ``lpad admin refresh`` calls it. A worker that dies between its two writes leaves a
    workflow that says other than its Fireworks, and nothing in FireWorks mends it by itself.

    Parameters
    ----------
    launchpad : LaunchPad
        Of the database.
    fw_id : int
        The Firework.
    """
    launchpad._refresh_wf(fw_id)  # noqa: SLF001


def locks(launchpad: LaunchPad) -> dict[object, object]:
    """Return the workflows that are locked now, and when each was last changed.

    FireWorks 2.1: `WFLock` sets the field ``locked`` of the workflow's document, without a time or a holder
    (https://github.com/materialsproject/fireworks/issues/490).

    Parameters
    ----------
    launchpad : LaunchPad
        Of the database.

    Returns
    -------
    dict
        ``_id`` of the workflow's document -> ``updated_on``.
    """
    found = launchpad.workflows.find({"locked": True}, {"updated_on": 1})
    return {workflow["_id"]: workflow.get("updated_on") for workflow in found}


def unlock(launchpad: LaunchPad, key: object) -> None:
    """Take the lock from a workflow whose holder is dead.

    FireWorks 2.1: as `WFLock.__exit__` does. ``lpad admin unlock`` does the same, for one named workflow.

    Parameters
    ----------
    launchpad : LaunchPad
        Of the database.
    key : object
        ``_id`` of the workflow's document (`locks`).
    """
    launchpad.workflows.update_one({"_id": key}, {"$unset": {"locked": True}})


def not_locked(launchpad: LaunchPad) -> dict[str, object]:
    """Return a query for the Fireworks whose workflow nobody holds locked (`locks` has the field's meaning).

    Parameters
    ----------
    launchpad : LaunchPad
        Of the database.

    Returns
    -------
    dict
        A filter on `fireworks`.
    """
    return {"fw_id": {"$nin": launchpad.workflows.distinct("nodes", {"locked": True})}}


def writes_to_launchpad(frame: FrameType | None) -> bool:
    """Tell whether FireWorks' LaunchPad is on the stack: its updates span several documents and must not be torn.

    FireWorks 2.1: `LaunchPad.complete_launch`, `checkout_fw` and `_update_wf` write launch, Fireworks and workflow one after the
    other, with no transaction. They lie in one file, by whose name they are known.

    Parameters
    ----------
    frame : FrameType or None
        Where a signal interrupted the process.
    """
    while frame is not None:
        if frame.f_code.co_filename.endswith(LAUNCHPAD_FILE):
            return True
        frame = frame.f_back
    return False
