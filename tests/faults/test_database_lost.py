"""A database that goes away while workers run: mongod killed, the network cut, the login refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
from pymongo.errors import PyMongoError

from ccdcgan_al.settings import Settings
from launchpad.service.mongod import find_mongod, stop_local_mongo
from tests.faults.conftest import Undisturbed
from tests.faults.network import Cut, Proxy
from tests.faults.scene import Scene

pytestmark = pytest.mark.slow


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Scene with a mongod of its own."""
    scene = Scene(tmp_path, None, monkeypatch)
    yield scene
    stop_local_mongo(scene.settings)


@pytest.mark.parametrize("moment", range(2))
def test_mongod_killed_at_random_moments(own_server: Scene, undisturbed: Undisturbed, moment: int) -> None:
    scene, choose = own_server, random.Random(200 + moment)
    scene.environment.setenv("FAULTS_SECONDS", "0.3")

    def disturb() -> None:
        for relaxations in (2 + moment, 9 + moment):
            scene.wait_for_relaxations(relaxations)
            time.sleep(choose.uniform(0, 1.5))
            server = psutil.Process(json.loads((scene.home / "mongo" / "mongod.json").read_text())["pid"])
            server.send_signal(signal.SIGKILL)
            time.sleep(choose.uniform(0, 1.5))

    scene.run(disturb)
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts


@pytest.mark.parametrize(("how", "seconds"), [("refused", 10), ("silent", 60)])
def test_network_cut_and_restored(scene: Scene, undisturbed: Undisturbed, how: Cut, seconds: float) -> None:
    assert scene.uri is not None
    direct = pymongo.uri_parser.parse_uri(scene.uri)
    choose = random.Random(how)
    scene.environment.setenv("FAULTS_SECONDS", "0.4")
    with Proxy(direct["nodelist"][0][1]) as network:
        scene.proxied = f"mongodb://127.0.0.1:{network.port}/{direct['database']}"

        def disturb() -> None:
            scene.wait_for_relaxations(choose.randrange(2, 7))
            time.sleep(choose.uniform(0, 0.5))
            network.cut(how)
            time.sleep(seconds)
            network.restore()

        scene.run(disturb)
        assert scene.recorded() == undisturbed.recorded
        assert scene.counts() == undisturbed.counts
        assert sorted(scene.relaxed()) == sorted(undisturbed.relaxed)  # a finished one waited for the network


def test_a_login_that_is_refused_is_said_in_one_line(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mongo_uri=None)
    (tmp_path / "data").mkdir()
    command = [str(find_mongod(settings)), "--auth", "--dbpath", str(tmp_path / "data"), "--port", "0"]
    command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--logpath", str(tmp_path / "log")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        port = _port(server.pid)
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(port=port) as client:
            client.admin.command("createUser", "ann", pwd="right", roles=["root"])  # noqa: S106 - nobody's
        line = [sys.executable, "-m", "launchpad.cli.main", "run", "Bi-Se", "--strategy", "random"]
        done = subprocess.run(
            [*line, "--mongo", f"mongodb://ann:swordfish@127.0.0.1:{port}/campaigns?authSource=admin"],
            env={**os.environ, "CCDCGAN_AL_HOME": str(tmp_path / "home")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode != 0
        assert "Authentication failed" in done.stderr
        assert "Traceback" not in done.stderr
        assert "swordfish" not in done.stdout + done.stderr
        assert not (tmp_path / "home" / "config").exists()
    finally:
        server.kill()
        server.wait()


def _port(pid: int) -> int:
    """Wait until a server listens, and return its port."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for connection in psutil.Process(pid).net_connections():
            if connection.status == psutil.CONN_LISTEN:
                client: pymongo.MongoClient[dict[str, Any]]
                with pymongo.MongoClient(port=connection.laddr.port) as client:
                    try:
                        client.admin.command("ping")
                    except PyMongoError:
                        continue
                return int(connection.laddr.port)
        time.sleep(0.1)
    raise AssertionError("mongod does not listen")
