"""A small campaign run by the service itself, with the stand-in relaxation, and somebody who disturbs it meanwhile."""

from __future__ import annotations

import _thread
import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from operator import attrgetter
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
from pydantic import SecretStr
from rich.console import Console

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.settings import Settings
from launchpad.database.store import CampaignStore
from launchpad.driver import run_campaign
from launchpad.service.configure import open_launchpad, worker_environment
from tests.faults.stand_in import METHOD

ROOT = Path(__file__).resolve().parents[2]
STARTUP = Path(__file__).resolve().parent / "startup"

SMALL = Campaign("Bi-Se", METHOD, "random", seed=7, rounds=1, per_round=3, seed_count=8)

Recorded = dict[str, tuple[Any, ...]]


@dataclass
class Scene:
    """A home folder, a database and the environment of the workers.

    Attributes
    ----------
    folder : the home, and what the stand-in writes
    uri : database of its own; None: the home's own mongod
    environment : sets a variable of this process, which workers inherit
    campaign : what is run
    proxied : the address by which workers and command reach that database, where it is another
    """

    folder: Path
    uri: str | None
    environment: pytest.MonkeyPatch
    campaign: Campaign = SMALL
    proxied: str | None = None
    console: Console = field(default_factory=lambda: Console(file=StringIO(), width=200))

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.log = self.folder / "relaxed.log"
        self._launchpad: Any = None
        path = os.pathsep.join([str(STARTUP), str(ROOT)])
        self.environment.setenv("PYTHONPATH", path)
        self.environment.setenv("FAULTS_LOG", str(self.log))

    @property
    def settings(self) -> Settings:
        """Two relaxation workers."""
        uri = self.proxied or self.uri
        return Settings(home=self.home, mongo_uri=None if uri is None else SecretStr(uri), workers=2)

    def run(self, disturb: Callable[[], None] | None = None) -> dict[str, Any]:
        """Run the campaign to its end in this thread while `disturb` runs in another, and return its report."""
        raised: list[BaseException] = []

        def disturbed() -> None:
            try:
                if disturb is not None:
                    disturb()
            except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
                raised.append(error)
                _thread.interrupt_main()  # a campaign that nobody disturbs to the end may wait for ever

        thread = threading.Thread(target=disturbed, daemon=True)
        thread.start()
        try:
            report = run_campaign(self.campaign, self.settings, self.console)[0].as_dict()
            thread.join(timeout=400)
        except KeyboardInterrupt:
            if not raised:
                raise
        if raised:
            raise raised[0]
        assert not thread.is_alive(), "the campaign ended before it was disturbed"
        return report

    def die_at(self, *points: str) -> Path:
        """Let workers die at points (see `tests.faults.stand_in`), which must exist; return the folder of their marks."""
        for point in points:
            module, target = point.split("|")[1].split(":")[:2]
            attrgetter(target)(importlib.import_module(module))
        marks = self.folder / "marks"
        marks.mkdir()
        self.environment.setenv("FAULTS_MARKS", str(marks))
        self.environment.setenv("FAULTS_DIE_AT", ";".join(points))
        return marks

    # what is there

    @property
    def store(self) -> CampaignStore:
        """The database."""
        return CampaignStore(self.mongo_uri)

    @property
    def mongo_uri(self) -> str:
        """Address of the database, with which the workers were started."""
        if self.uri is not None:
            return self.uri
        port = json.loads((self.home / "mongo" / "mongod.json").read_text())["port"]
        return f"mongodb://127.0.0.1:{port}/ccdcgan_al"

    @property
    def config(self) -> Path:
        """Folder of FireWorks' config files."""
        return self.home / "config"

    def launchpad(self) -> Any:
        """Return the LaunchPad."""
        self._launchpad = self._launchpad or open_launchpad(self.config)
        return self._launchpad

    def lpad(self, *arguments: str) -> str:
        """Run FireWorks' own command on the campaign and return what it prints."""
        command = [str(Path(sys.executable).parent / "lpad"), "-c", str(self.config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=self.folder)
        return done.stdout

    def rlaunch(self, kind: str) -> subprocess.Popen[bytes]:
        """Start a plain `rlaunch rapidfire`, as a user would on another node: not one of the service's own workers."""
        folder = self.folder / f"elsewhere-{kind}"
        folder.mkdir()
        return subprocess.Popen(
            [
                *(str(Path(sys.executable).parent / "rlaunch"), "-c", str(self.config)),
                *("-w", str(self.config / f"my_fworker_{kind}.yaml"), "rapidfire"),
                *("--nlaunches", "infinite", "--sleep", "1"),
            ],
            env=worker_environment(self.config, self.mongo_uri),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def launches(self, **query: Any) -> list[dict[str, Any]]:
        """Launches of the campaign's Fireworks."""
        return list(self.launchpad().launches.find(query).sort("launch_id", 1))

    def state_of_closing(self, stage: str) -> str | None:
        """State of the Firework that closes a stage, None before there is one."""
        found = self.launchpad().fireworks.find_one({"spec._category": "training", "spec.stage": stage}, {"state": 1})
        return None if found is None else str(found["state"])

    def closing(self, stage: str) -> int:
        """Id of the Firework that closes a stage."""
        found = self.launchpad().fireworks.find_one({"spec._category": "training", "spec.stage": stage})
        return int(found["fw_id"])

    def recorded(self) -> Recorded:
        """Each structure's round, outcome and figures; one that is recorded twice has two attempts."""
        found: Recorded = {}
        for document in self.store.structures.find({"campaign_id": self.campaign.campaign_id}):
            assert document["structure_id"] not in found
            relaxation = document.get("relaxation") or {}
            attempts: dict[str, set[str]] = {}
            for attempt in document.get("attempts", []):  # none: generated, and not chosen
                attempts.setdefault(attempt["kind"], set()).add(
                    _digest(attempt["structure"], attempt["energy_per_atom"])
                )
            found[document["structure_id"]] = (
                document["round"],
                document["state"],
                document["reason"] if document["state"] == "failed" else None,
                _digest(document["start"]),
                _digest(relaxation.get("structure"), relaxation.get("energy_per_atom")),
                _digest((document.get("confirmation") or {}).get("energy_per_atom")),
                {kind: len(results) for kind, results in attempts.items()},
            )
        return dict(sorted(found.items()))

    def counts(self) -> list[dict[str, Any]]:
        """Counts of each round, timings aside."""
        times = {"opened", "closed", "last_updated"}
        rounds = self.store.round_documents(self.campaign.campaign_id)
        return [{key: value for key, value in item.items() if key not in times} for item in rounds]

    def relaxed(self) -> list[str]:
        """Ids of the relaxations that ran to their end, in order of time; one that ran twice is there twice."""
        return self.log.read_text().split() if self.log.is_file() else []

    # mischief

    def wait_for(self, condition: Callable[[], object], seconds: float = 400.0) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not self._holds(condition):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.1)

    def _holds(self, condition: Callable[[], object]) -> bool:
        """Whether something is so; it is not while there is no LaunchPad yet."""
        return (self.config / "my_launchpad.yaml").is_file() and bool(condition())

    def wait_for_relaxations(self, count: int) -> None:
        """Wait until so many relaxations have ended."""
        self.wait_for(lambda: len(self.relaxed()) >= count)

    def wait_for_closing(self, stage: str) -> None:
        """Wait until the closing of a stage has begun; on a fast machine it may have ended before anybody looked."""
        self.wait_for(lambda: self.state_of_closing(stage) in ("RUNNING", "COMPLETED"))

    def known(self, fw_id: int, state: str) -> bool:
        """Whether a Firework's workflow knows of its state, and nobody is within a write that a kill would tear."""
        launchpad = self.launchpad()
        torn = launchpad.fireworks.find_one({"state": "RESERVED"}) or launchpad.workflows.find_one({"locked": True})
        return torn is None and launchpad.workflows.find_one({f"fw_states.{fw_id}": state}) is not None

    def workers(self, kind: str) -> list[psutil.Process]:
        """Processes of this command's workers of a kind."""
        found = []
        for process in psutil.Process().children():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if "launchpad.service.workers" in line and f"my_fworker_{kind}.yaml" in line:
                found.append(process)
        return found

    def kill_worker(self, kind: str, choose: random.Random) -> int:
        """End a worker of a kind by SIGKILL; return its process id."""
        self.wait_for(lambda: self.workers(kind))
        victim = choose.choice(self.workers(kind))
        victim.send_signal(signal.SIGKILL)
        return int(victim.pid)


def _digest(*values: Any) -> str:
    """Return a short fingerprint of JSON values; floats count to ten digits."""

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.10g}")
        if isinstance(value, dict):
            return {key: rounded(item) for key, item in value.items()}
        return [rounded(item) for item in value] if isinstance(value, list) else value

    return hashlib.sha256(json.dumps(rounded(list(values)), sort_keys=True).encode()).hexdigest()[:12]


def drop(uri: str) -> None:
    """Drop a scene's database."""
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(uri) as client:
        client.drop_database(client.get_default_database().name)
