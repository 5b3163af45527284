"""A real SLURM of one machine in a folder of its own: munged, slurmctld, and a slurmd for each node.

It reads and writes nothing in /etc or /var, listens on free ports, and is gone after the test. Its three nodes are of two
kinds, each kind a partition: `training` (node `train`), `relaxation` (nodes `relax1` and `relax2`).
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

BINARIES = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
NODES = {"train": "training", "relax1": "relaxation", "relax2": "relaxation"}
START_SECONDS, END_SECONDS = 60.0, 60.0
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
KillWait=5
EnforcePartLimits=ALL
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
SchedulerParameters=batch_sched_delay=0,sched_interval=2
NodeName=train NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=relax1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
NodeName=relax2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} CPUs=1
PartitionName=training Nodes=train MaxTime=INFINITE State=UP
PartitionName=relaxation Nodes=relax[1-2] MaxTime=INFINITE State=UP
"""


def missing_binaries() -> list[str]:
    """Programs of SLURM and munge that this machine lacks."""
    return [name for name in BINARIES if shutil.which(name, path=SEARCH_PATH) is None]


@dataclass(frozen=True)
class Job:
    """A job that has ended, as SLURM's own completion log tells it."""

    job_id: int
    partition: str
    nodes: str
    folder: Path
    state: str
    started: datetime


class SlurmCluster:
    """A cluster for as long as the context; `environment` is what a user's shell has."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.folder.chmod(0o755)  # munge refuses a socket that others could not reach
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))},
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": SEARCH_PATH,
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.SubprocessError, OSError):  # else jobs would outlive their cluster
            self.run("scancel", "--user", getpass.getuser())
            deadline = time.monotonic() + END_SECONDS
            while self.run("squeue", "--noheader").strip() and time.monotonic() < deadline:
                time.sleep(0.5)
        for name in ("slurmctld", *(f"slurmd-{node}" for node in NODES), "munged"):
            _end(self.folder / f"{name}.pid")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str) -> str:
        """Run a command of SLURM and return what it prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=True, cwd=self.folder
        )
        return done.stdout

    def ended_jobs(self) -> dict[int, Job]:
        """Return the jobs that have ended, by id."""
        log = self.folder / "jobs.txt"
        jobs = {}
        for line in log.read_text().splitlines() if log.exists() else []:
            entry = dict(word.split("=", 1) for word in line.split() if "=" in word)
            job_id = int(entry["JobId"])
            started = datetime.fromisoformat(entry["StartTime"]).astimezone()
            words = entry["Partition"], entry["NodeList"], Path(entry["WorkDir"]), entry["JobState"]
            jobs[job_id] = Job(job_id, *words, started)
        return jobs

    def log(self) -> str:
        """Return the last lines of every daemon's log."""
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    def _start(self) -> None:
        folder, host = self.folder, socket.gethostname().split(".")[0]
        with_ports = CONFIG.format(folder=folder, host=host, user=getpass.getuser(), ports=_free_ports(1 + len(NODES)))
        (folder / "slurm.conf").write_text(with_ports)
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        self.run("munged", "--num-threads=2", *(f"--{name}={folder / file}" for name, file in files.items()))
        self.run("slurmctld")
        for node in NODES:
            self.run("slurmd", "-N", node)
        deadline = time.monotonic() + START_SECONDS
        while self.run("sinfo", "--noheader", "--Node", "-o", "%T").split().count("idle") < len(NODES):
            if time.monotonic() > deadline:
                raise TimeoutError(f"SLURM's nodes do not become idle: {self.run('sinfo')}\n{self.log()}")
            time.sleep(0.3)


def _end(pid_file: Path) -> None:
    """End the daemon of a pid file, and wait until it has left."""
    import psutil

    try:
        process = psutil.Process(int(pid_file.read_text()))
        process.terminate()
        try:
            process.wait(timeout=20)
        except psutil.TimeoutExpired:
            process.kill()
    except (OSError, ValueError, psutil.NoSuchProcess):
        return


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
