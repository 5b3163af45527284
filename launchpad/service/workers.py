"""Local workers: one process of FireWorks' own `rlaunch rapidfire` each. They are kept alive, and ended without loss of work.

``python -m launchpad.service.workers`` runs this module as such a worker. It calls FireWorks' `rlaunch` and adds three things.
It ends with the command that started it. At SIGTERM it ends at once, but not during a write to the LaunchPad. It also
survives a loss of the database (`launchpad.service.connection`).

SIGINT, which `rlaunch` handles, is not used. At SIGINT `rlaunch` marks the running Firework FIZZLED, starts its children if
they allow fizzled parents (so a round would close with an interrupted relaxation), and takes the next Firework.
If the worker is killed instead, its Firework stays RUNNING, and `recovery.recover_lost_runs` makes it ready again.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal, Self

from ccdcgan_al.errors import CcdcganError, MongoError
from launchpad.service import recovery
from launchpad.service.configure import open_launchpad, worker_environment
from launchpad.service.connection import NO_DATABASE, hold_on
from launchpad.service.fireworks_compat import writes_to_launchpad
from launchpad.uri import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import FrameType, TracebackType

    from fireworks import LaunchPad

WorkerKind = Literal["relaxation", "training"]

MAX_DEATHS, DEATH_WINDOW = 5, 600.0  # so many deaths of one worker in so many seconds are not a Firework's fault
PROBE_BYTES = 100_000  # a launch writes some ten kB
_LOG_FILE = "worker.log"
_PR_SET_PDEATHSIG = 1

logger = logging.getLogger("ccdcgan_al.workers")  # a logger named `launchpad` belongs to FireWorks, and prints


class WorkerError(CcdcganError, RuntimeError):
    """A local worker dies again and again. The message ends with the last lines of its log."""


@dataclass
class _Worker:
    name: str
    kind: WorkerKind
    folder: Path
    threads: int
    process: subprocess.Popen[bytes]
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_DEATHS))


class LocalWorkers:
    """Relaxation workers with one thread each, and one training worker. They run as long as the context.

    Call `check` about every second, from the thread that entered the context (Linux ends a worker when the *thread*
    that started it ends). Launch folders and logs are in ``folder/launches/<worker>/``.

    Parameters
    ----------
    folder : Path
        Config folder from `launchpad.service.configure.write_config`.
    mongo_uri : str
        Address that names its database.
    relaxation_workers : int
        Number of processes that relax.
    training_threads : int, optional
        Threads of the training worker. None means all cores.
    """

    def __init__(
        self, folder: Path, mongo_uri: str, relaxation_workers: int, training_threads: int | None = None
    ) -> None:
        if relaxation_workers < 1:
            raise ValueError(f"relaxation_workers must be at least 1, got {relaxation_workers}")
        self.folder = folder.expanduser().resolve()
        self.launches = self.folder / "launches"
        self._mongo_uri = mongo_uri
        self._relaxation_workers = relaxation_workers
        self._training_threads = training_threads or os.cpu_count() or 1
        self._workers: list[_Worker] = []
        self._launchpad: LaunchPad | None = None
        self._swept = 0.0
        self._locks: dict[object, object] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Return the process id of each worker, by the worker's name."""
        return {worker.name: worker.process.pid for worker in self._workers}

    def start(self) -> list[int]:
        """Make Fireworks ready that dead workers of earlier runs left RUNNING, start the workers, and return the Fireworks' ids."""
        if self._workers:
            raise RuntimeError("these workers run already; call stop() first")
        self.launches.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._launchpad = open_launchpad(self.folder)
        recovered = recovery.recover_lost_runs(
            self._launchpad, self.launches, reason="the run that started its worker ended"
        )
        recovered = sorted({*recovered, *recovery.recover_silent_runs(self._launchpad)})
        recovery.repair(self._launchpad, recovery.UNFINISHED)
        try:
            for _ in range(self._relaxation_workers):
                self._add("relaxation", threads=1)
            self._add("training", threads=self._training_threads)
        except BaseException:
            self.stop()
            raise
        return recovered

    def check(self) -> list[str]:
        """Restart dead workers, make their Fireworks ready again, and return the workers' names. Every minute do this for other machines, too.

        Raises
        ------
        WorkerError
            If a worker died `MAX_DEATHS` times within `DEATH_WINDOW` seconds, or its folder is not writable.
        MongoError
            If the database does not answer. Call `launchpad.service.mongod.ensure_mongo`, which starts a local one again (at its
            old port if it is free), and then call this again.
        """
        from pymongo.errors import PyMongoError

        dead = [worker for worker in self._workers if worker.process.poll() is not None]
        failed = [worker for worker in dead if worker.process.returncode != NO_DATABASE]
        for worker in failed:
            _check_writable(worker.folder)
        try:
            if dead:
                codes = ", ".join(f"{worker.name} with exit code {worker.process.returncode}" for worker in dead)
                recovery.recover_lost_runs(
                    self._pad, self.launches, reason=f"a local worker died: {codes}", count=bool(failed)
                )
            elif time.monotonic() - self._swept > recovery.TORN_SECONDS:
                self._swept = time.monotonic()
                self._locks = recovery.sweep(self._pad, self._locks)
        except PyMongoError as error:
            raise MongoError(f"MongoDB does not answer any more: {redact(error).split(', Timeout:')[0]}") from None
        for worker in failed:
            log = worker.folder / _LOG_FILE
            worker.deaths.append(time.monotonic())
            if len(worker.deaths) == MAX_DEATHS and worker.deaths[-1] - worker.deaths[0] < DEATH_WINDOW:
                raise WorkerError(
                    f"worker {worker.name} died {MAX_DEATHS} times within {DEATH_WINDOW:.0f} s, the last time with "
                    f"exit code {worker.process.returncode}; its log {log} ends:\n{_tail(log)}"
                )
        for worker in dead:
            with recovery.claimed(worker.folder) as lock:
                if lock is None:
                    raise WorkerError(
                        f"worker {worker.name} died, but a child of it still holds {worker.folder}; end it"
                    )
                worker.process = self._spawn(worker.folder, worker.kind, worker.threads, lock)
        return [worker.name for worker in dead]

    def stop(self, timeout: float = 15.0) -> list[int]:
        """End the workers, and make the Fireworks that they were running ready again. Return the ids of these Fireworks.

        A worker that has not ended after `timeout` seconds is killed. If the database does not answer, this is logged, and the
        next `start` recovers the Fireworks.
        """
        from pymongo.errors import PyMongoError

        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + timeout
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=max(0.0, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError, PermissionError):  # its group: also what a worker had started
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
        stopped, self._workers = bool(self._workers), []
        if not stopped or self._launchpad is None:
            return []
        try:
            return recovery.recover_lost_runs(self._launchpad, self.launches, reason="the run was interrupted")
        except PyMongoError as error:
            logger.warning("interrupted Fireworks are left for the next start: %s", redact(error))
            return []
        finally:
            self._launchpad.connection.close()
            self._launchpad = None

    @property
    def _pad(self) -> LaunchPad:
        if self._launchpad is None:
            raise RuntimeError("the workers do not run; call start() or enter the context first")
        return self._launchpad

    def _add(self, kind: WorkerKind, threads: int) -> None:
        """Start a worker in the first folder of its kind that no live worker uses."""
        token, number = _token(self.launches), 1
        while True:
            folder = self.launches / f"{kind}-{number}-{token}"
            folder.mkdir(exist_ok=True)
            with recovery.claimed(folder) as lock:
                if lock is not None:
                    process = self._spawn(folder, kind, threads, lock)
                    self._workers.append(_Worker(f"{kind}-{number}", kind, folder, threads, process))
                    return
            number += 1

    def _spawn(self, folder: Path, kind: WorkerKind, threads: int, lock: IO[str]) -> subprocess.Popen[bytes]:
        # its working directory is the config folder: an FW_config.yaml there has priority over one in ~/.fireworks
        command = [
            *(sys.executable, "-m", "launchpad.service.workers", str(os.getpid()), str(folder)),
            *("-c", str(self.folder), "-w", str(self.folder / f"my_fworker_{kind}.yaml"), "--loglvl", "WARNING"),
            *("rapidfire", "--nlaunches", "infinite", "--sleep", "1"),
        ]
        with (folder / _LOG_FILE).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, and paths of our own
                command,
                cwd=self.folder,
                env=worker_environment(self.folder, self._mongo_uri, threads),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the command handles Ctrl-C in the terminal, not its workers
                pass_fds=(lock.fileno(),),  # the worker holds its folder's lock until it is dead
            )
        lock.write(f"{process.pid}\n")
        lock.flush()
        return process


def _check_writable(folder: Path) -> None:
    """Raise an error if a worker's folder is not writable. In that case the worker's log cannot state it."""
    probe = folder / ".writable"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise WorkerError(
            f"a worker died, and its folder {folder} cannot be written to: {error.strerror}. Make room or correct its "
            "permissions, then give the same command again: it goes on from there"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _token(launches: Path) -> str:
    """Return a few random letters for this folder. On another machine with the same database and path, they are different."""
    path = launches / ".token"
    with contextlib.suppress(FileExistsError), path.open("x") as file:
        file.write(secrets.token_hex(3))
    return path.read_text().strip()


def _tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log without passwords."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        return redact("\n".join(file.read().decode(errors="replace").splitlines()[-lines:]))


# --- within the worker process ----------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Run as a worker: ``PARENT_PID FOLDER RLAUNCH_ARGUMENT...``. It ends when its parent ends."""
    parent, folder, *rlaunch_arguments = arguments
    give_up = float("inf")

    def leave(signum: int, frame: FrameType | None) -> None:
        nonlocal give_up
        if signum == signal.SIGTERM:
            give_up = min(give_up, time.monotonic() + 10.0)
        if writes_to_launchpad(frame) and time.monotonic() < give_up:
            signal.setitimer(signal.ITIMER_REAL, 0.05)  # try again after a moment
            return
        sys.stdout.flush()
        sys.stderr.flush()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # with all processes that it started, VASP included
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGALRM, leave)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):  # the parent died before prctl
        return 1
    from fireworks.scripts.rlaunch_run import rlaunch

    hold_on()
    os.chdir(folder)
    return rlaunch(rlaunch_arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
