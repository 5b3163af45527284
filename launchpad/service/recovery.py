"""Recovery of Fireworks that dead workers left. They are made ready again. This module starts and ends no process.

A local worker is dead if it no longer holds the lock of its folder. Any worker is dead if it has given no sign of life for half an
hour. If a worker was killed during a write, the incomplete data are repaired, and the locks that it held are broken.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import re
import time
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

from launchpad.service.fireworks_compat import UNLOCKED, locks, not_locked, refresh, unlock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fireworks import LaunchPad

MAX_LOSSES = (
    3  # a Firework that killed so many workers (memory, a crash in native code) is the cause, and it fails itself
)
TORN_SECONDS = 60.0  # s; a write takes milliseconds: if a checkout or a lock is older, its worker died
SILENT_SECONDS = 1800.0  # s; a worker gives a sign of life every 300 s (PING_TIME_SECS in FW_config.yaml)
LOCK_SECONDS = 20.0  # s; FireWorks holds a workflow's lock for well under a second
UNFINISHED: dict[str, object] = {
    "metadata.campaign_id": {"$exists": True},
    "state": {"$in": ["READY", "RESERVED", "RUNNING"]},
    **UNLOCKED,
}
LOCK_FILE = "worker.lock"

logger = logging.getLogger("ccdcgan_al.workers")  # a logger named `launchpad` belongs to FireWorks, and prints


def recover_lost_runs(launchpad: LaunchPad, launches: Path, *, reason: str, count: bool = False) -> list[int]:
    """Make Fireworks that dead local workers left RUNNING ready again at once. Return their ids.

    A local worker is dead if it no longer holds the lock of its folder. Times and process ids are not used, and workers
    of other commands and machines are not touched. The function also repairs the effects of a worker killed during a write:
    locked workflows, checkouts without a launch, and launches that ended although their Firework is still RUNNING.

    Parameters
    ----------
    launches : Path
        Folder that contains the local workers' folders.
    reason : str
        Reason to store with the lost launch.
    count : bool, default False
        Whether the loss counts against the Firework. After `MAX_LOSSES` of these it is FIZZLED with the reason.
    """
    ready: list[int] = []
    with contextlib.ExitStack() as stack:
        folders = [path.parent for path in sorted(launches.glob(f"*/{LOCK_FILE}"))]
        dead = [folder for folder in folders if stack.enter_context(claimed(folder)) is not None]
        _break_stale_locks(launchpad)
        release_torn_checkouts(launchpad)
        if not dead:
            return ready
        within = {"$regex": f"^({'|'.join(re.escape(str(folder.resolve())) for folder in dead)})/"}
        lost = list(
            launchpad.launches.find(
                {"state": {"$in": ["RUNNING", "RESERVED"]}, "launch_dir": within}, {"launch_id": 1, "fw_id": 1}
            )
        )
        for launch in lost:
            ready += _give_back(launchpad, launch["launch_id"], launch["fw_id"], reason, count=count)
        running = [firework["fw_id"] for firework in launchpad.fireworks.find({"state": "RUNNING"}, {"fw_id": 1})]
        if running:
            launchpad.detect_lostruns(expiration_secs=10**9, refresh=True, query={"fw_id": {"$in": running}})
    return sorted(set(ready))


def sweep(launchpad: LaunchPad, held: dict[object, object]) -> dict[object, object]:
    """Repair the effects of dead workers on any machine. Return the present locks for the next sweep.

    A lock that may belong to a live worker is kept, and its workflow is left for the next sweep. Nothing here waits for it.

    Parameters
    ----------
    held : dict
        Result of the last sweep, at least `TORN_SECONDS` ago. A lock is broken if it is still held and its workflow has
        not changed.
    """
    now = locks(launchpad)
    _break(launchpad, [key for key, updated in now.items() if held.get(key, key) == updated])
    release_torn_checkouts(launchpad)
    recover_silent_runs(launchpad)
    repair(launchpad, UNFINISHED)
    return now


def recover_silent_runs(launchpad: LaunchPad, silent: float = SILENT_SECONDS) -> list[int]:
    """Make Fireworks ready again whose worker, on any machine, has given no sign of life for `silent` seconds. Return their ids.

    This is like `lpad detect_lostruns --rerun --refresh`, but only for campaigns. No Firework is FIZZLED for a moment, in which the
    closing of its round could start without it. The refresh updates a Firework whose launch ended while its worker was killed before the
    update. A Firework that is still RESERVED while its launch is RUNNING is lost too, although `lpad` does not see it: its worker died
    between the two writes. (A Firework that is RESERVED with a RESERVED launch waits in the queue of a cluster.)
    """
    ours = {**not_locked(launchpad), "spec.campaign_id": {"$exists": True}, "state": {"$in": ["RUNNING", "RESERVED"]}}
    launch_ids, fw_ids, _ = launchpad.detect_lostruns(expiration_secs=silent, query=ours, refresh=True)
    torn = launchpad.fireworks.distinct("fw_id", {**ours, "state": "RESERVED"})
    launches = launchpad.launches.find({"launch_id": {"$in": launch_ids}, "fw_id": {"$in": [*fw_ids, *torn]}})
    reason = f"its worker has given no sign of life for {silent:.0f} s"
    ready = [_give_back(launchpad, launch["launch_id"], launch["fw_id"], reason) for launch in launches]
    return sorted({fw_id for given in ready for fw_id in given})


def _give_back(launchpad: LaunchPad, launch_id: int, fw_id: int, reason: str, *, count: bool = False) -> list[int]:
    """Make the Firework of a lost launch ready, unless it was lost too often, and mark the launch. Return the ids that are ready."""
    from fireworks import FWAction

    ready: list[int] = []
    firework = launchpad.fireworks.find_one({"fw_id": fw_id}, {"state": 1, "launches": 1, "archived_launches": 1})
    verdict = reason
    archived = firework and launch_id in firework.get("archived_launches", [])
    current = firework and not archived and (not firework["launches"] or launch_id in firework["launches"])
    if current and firework["state"] in ("RUNNING", "RESERVED"):
        if not (count and _losses(launchpad, firework) + 1 >= MAX_LOSSES):
            # done before the launch is marked: a Firework that is FIZZLED for a moment would start its children
            ready += launchpad.rerun_fw(fw_id)
        else:
            verdict = f"gave up after {MAX_LOSSES} lost workers: {reason}"
    stored = {"_message": verdict, "_lost": count, "_exception": {"_stacktrace": verdict, "_details": None}}
    launchpad.complete_launch(launch_id, FWAction(stored_data=stored, exit=True), "FIZZLED")
    return ready


def _losses(launchpad: LaunchPad, firework: dict) -> int:
    """Return the number of workers that died while they ran this Firework."""
    earlier = {"launch_id": {"$in": firework.get("archived_launches", [])}, "action.stored_data._lost": True}
    return int(launchpad.launches.count_documents(earlier))


def release_torn_checkouts(launchpad: LaunchPad) -> None:
    """Make Fireworks ready whose worker died after it reserved them and before it wrote the launch."""
    before = datetime.now(UTC) - timedelta(seconds=TORN_SECONDS)
    torn = {**not_locked(launchpad), "state": "RESERVED", "launches": [], "updated_on": {"$lt": before}}
    for firework in launchpad.fireworks.find(torn, {"fw_id": 1}):
        if not launchpad.launches.find_one({"fw_id": firework["fw_id"], "state": {"$in": ["RESERVED", "RUNNING"]}}):
            launchpad.rerun_fw(firework["fw_id"])


def _break_stale_locks(launchpad: LaunchPad) -> None:
    """Unlock and refresh workflows that stay locked and unchanged for `LOCK_SECONDS`."""
    stale, deadline = locks(launchpad), time.monotonic() + LOCK_SECONDS
    while stale and time.monotonic() < deadline:
        time.sleep(0.5)
        now = locks(launchpad)
        stale = {key: updated for key, updated in stale.items() if now.get(key, key) == updated}
    _break(launchpad, list(stale))


def _break(launchpad: LaunchPad, stale: list[object]) -> None:
    """Unlock and refresh workflows."""
    for key in stale:
        logger.warning("a workflow was left locked by a worker that died; unlocked")
        unlock(launchpad, key)
        repair(launchpad, {"_id": key})


def repair(launchpad: LaunchPad, which: dict[str, object]) -> None:
    """Refresh workflows whose states differ from their Fireworks': a worker died between the two writes, or a write came too late.

    A refresh updates a Firework's children only if it changes the Firework itself, so waiting Fireworks are also refreshed.
    A Firework that is RESERVED without a launch is not touched: a worker may be checking it out at this moment. A refresh would
    make it READY, and two workers would run it. If its worker died, `release_torn_checkouts` finds it.
    """
    for workflow in launchpad.workflows.find(which, {"fw_states": 1}):
        known = workflow["fw_states"]
        settled = {
            "fw_id": {"$in": [int(fw_id) for fw_id in known]},
            "$nor": [{"state": "RESERVED", "launches": []}],
        }
        states = {item["fw_id"]: item["state"] for item in launchpad.fireworks.find(settled, {"fw_id": 1, "state": 1})}
        wrong = [fw_id for fw_id, state in states.items() if state != known[str(fw_id)]]
        waiting = [fw_id for fw_id, state in states.items() if state == "WAITING"]
        for fw_id in [*wrong, *(waiting if wrong else [])]:
            refresh(launchpad, fw_id)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[IO[str] | None]:
    """Yield the locked lock file of a worker's folder. Yield None if a live worker holds it."""
    with (folder / LOCK_FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file
