"""All patches of FireWorks, and all uses of its private parts, in one module. The rest of the code uses only FireWorks' public interface.

Written for FireWorks 2.1 (`VERSION`; read and tested with 2.1.4). `tests/service/test_fireworks_compat.py` checks that each
name still exists with the expected signature, and that each patch works. Two patches change a process
(`break_stale_locks`, `let_information_fail`). The other functions change only the documents that they are called for.
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
"""Minor version of FireWorks whose private parts are used here."""

LOCK_EXPIRATION_SECONDS = 60
"""How long a process waits for a workflow's lock before it breaks it. For workers: WFLOCK_EXPIRATION_SECS in FW_config.yaml."""

LAUNCHPAD_FILE = "fireworks/core/launchpad.py"
"""Source file of FireWorks' LaunchPad (`writes_to_launchpad`)."""

UNLOCKED: dict[str, object] = {"locked": {"$exists": False}}
"""Filter on `workflows` for workflows that are not locked (see `locks` for this field)."""


# --- patches of a process ---------------------------------------------------------------------------------------------


def break_stale_locks(seconds: float = LOCK_EXPIRATION_SECONDS) -> None:
    """Let this process break the lock of a workflow that a dead process left, after a wait.

    FireWorks 2.1: `WFLock.__init__` takes WFLOCK_EXPIRATION_SECS (300) and WFLOCK_EXPIRATION_KILL (False) as defaults at its
    import. The campaign's FW_config.yaml sets both, but this process imports FireWorks before it knows the folder. With
    FireWorks' own values the lock of a dead worker is never removed (https://github.com/materialsproject/fireworks/issues/490).

    Parameters
    ----------
    seconds : float
        Time to wait for a lock (s).
    """
    from fireworks.core.launchpad import WFLock

    WFLock.__init__.__defaults__ = (seconds, True)


def let_information_fail() -> None:
    """Let this process, a worker, continue if FireWorks cannot write data that are only for information.

    FireWorks 2.1: `Rocket.run` calls `LaunchPad.ping_launch` (a sign of life) and `Firework.to_file` (FW.json in the launch's
    folder) inside the block whose exceptions mark the Firework FIZZLED. The thread that pings also ends at its first error. So a
    full disk, or a short loss of the database, would fail a Firework whose job is fine. With this patch the failure is
    one line on stderr.
    """
    from fireworks import Firework, LaunchPad
    from pymongo.errors import ConnectionFailure

    LaunchPad.ping_launch = _forgiving(LaunchPad.ping_launch, ConnectionFailure)
    Firework.to_file = _forgiving(Firework.to_file, OSError)


def _forgiving(method: Callable[..., None], errors: type[Exception]) -> Callable[..., None]:
    """Return a method whose failure is only printed."""

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
    """Give a new LaunchPad its indexes and the counters of ids. A LaunchPad that was already used is not changed.

    FireWorks 2.1: `get_new_fw_id` asks for `lpad reset` if there is no document in `fw_id_assigner`, but `LaunchPad.reset` also
    deletes everything. The document here is the one of `LaunchPad._restart_ids`, with a fixed `_id`, so two commands that start
    at the same moment write only one.

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the database.
    """
    from pymongo.errors import DuplicateKeyError

    if launchpad.fw_id_assigner.find_one() is not None:
        return
    launchpad.tuneup()
    with contextlib.suppress(DuplicateKeyError):  # another command was faster
        launchpad.fw_id_assigner.insert_one({"_id": -1, "next_fw_id": 1, "next_launch_id": 1})


def number(workflow: Workflow, first: int) -> None:
    """Give the Fireworks of a new workflow consecutive ids in the flow's order, and make those without parents READY.

    FireWorks 2.1: `LaunchPad.bulk_add_wfs` does this, but also inserts in the same call. Then a batch that a killed process
    had stored in part could not be completed. `Workflow._reassign_ids` is private.

    Parameters
    ----------
    workflow : Workflow
        Workflow to change.
    first : int
        Lowest id.
    """
    for fw_id in workflow.root_fw_ids:
        workflow.id_fw[fw_id].state = workflow.fw_states[fw_id] = "READY"
    new = {old: first + i for i, old in enumerate(workflow.id_fw)}
    for firework in workflow.fws:
        firework.fw_id = new[firework.fw_id]
    workflow._reassign_ids(new)  # noqa: SLF001


@contextlib.contextmanager
def locked_workflow(launchpad: LaunchPad, fw_id: int) -> Iterator[Workflow]:
    """Hold the lock of a Firework's workflow, and yield the workflow. Meanwhile no worker changes it.

    FireWorks 2.1: the package does not export `WFLock`. Use `save_workflow` inside this context to store changes of the
    workflow.

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the database.
    fw_id : int
        Id of one Firework of the workflow.

    Yields
    ------
    Workflow
        Stored workflow. Its Fireworks are read when they are used.
    """
    from fireworks.core.launchpad import WFLock

    with WFLock(launchpad, fw_id):
        yield launchpad.get_wf_by_fw_id_lzyfw(fw_id)


def save_workflow(launchpad: LaunchPad, workflow: Workflow, changed: Iterable[int]) -> None:
    """Store a workflow whose links or states were changed under its lock (`locked_workflow`).

    FireWorks 2.1: `LaunchPad._update_wf`, as `LaunchPad.append_wf` calls it. There is no public function that removes a link.

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the database.
    workflow : Workflow
        Changed workflow.
    changed : iterable of int
        Ids of its Fireworks that were also changed.
    """
    launchpad._update_wf(workflow, sorted(changed))  # noqa: SLF001


def refresh(launchpad: LaunchPad, fw_id: int) -> None:
    """Update the state of a Firework, and of its children, from its launches and parents.

    FireWorks 2.1: `LaunchPad._refresh_wf`, as ``lpad admin refresh`` calls it. If a worker dies between its two writes, the
    workflow and its Fireworks have different states, and FireWorks does not repair this by itself.

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the database.
    fw_id : int
        Id of the Firework.
    """
    launchpad._refresh_wf(fw_id)  # noqa: SLF001


def locks(launchpad: LaunchPad) -> dict[object, object]:
    """Return the workflows that are locked now, with the time of their last change.

    FireWorks 2.1: `WFLock` sets the field ``locked`` of the workflow's document, without a time or a holder
    (https://github.com/materialsproject/fireworks/issues/490).

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the database.

    Returns
    -------
    dict
        ``_id`` of the workflow's document -> ``updated_on``.
    """
    found = launchpad.workflows.find({"locked": True}, {"updated_on": 1})
    return {workflow["_id"]: workflow.get("updated_on") for workflow in found}


def unlock(launchpad: LaunchPad, key: object) -> None:
    """Remove the lock of a workflow whose holder is dead.

    FireWorks 2.1: as `WFLock.__exit__` does. ``lpad admin unlock`` does the same for one named workflow.

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the database.
    key : object
        ``_id`` of the workflow's document (`locks`).
    """
    launchpad.workflows.update_one({"_id": key}, {"$unset": {"locked": True}})


def not_locked(launchpad: LaunchPad) -> dict[str, object]:
    """Return a query for the Fireworks whose workflow is not locked (see `locks` for this field).

    Parameters
    ----------
    launchpad : LaunchPad
        LaunchPad of the database.

    Returns
    -------
    dict
        Filter on `fireworks`.
    """
    return {"fw_id": {"$nin": launchpad.workflows.distinct("nodes", {"locked": True})}}


def writes_to_launchpad(frame: FrameType | None) -> bool:
    """Return whether FireWorks' LaunchPad is on the stack. Its updates span several documents and must not be interrupted.

    FireWorks 2.1: `LaunchPad.complete_launch`, `checkout_fw` and `_update_wf` write launch, Fireworks and workflow one after the
    other, without a transaction. They are all in one file, and its name identifies them.

    Parameters
    ----------
    frame : FrameType or None
        Frame at which a signal interrupted the process.
    """
    while frame is not None:
        if frame.f_code.co_filename.endswith(LAUNCHPAD_FILE):
            return True
        frame = frame.f_back
    return False
