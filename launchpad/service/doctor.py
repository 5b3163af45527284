"""What a campaign needs, looked at one by one: found or not, and what to do. It changes nothing and starts nothing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from ccdcgan_al import __version__
from ccdcgan_al.errors import CcdcganError, MongoError
from ccdcgan_al.settings import Settings
from ccdcgan_al.types import DFT
from launchpad.service.configure import address_of, database_name
from launchpad.service.mongod import find_mongod, mongo_status, redact, with_database

State = Literal["ok", "warning", "broken"]

PACKAGES = ("ccdcgan_al", "workflows", "launchpad")
DISTRIBUTION = "ccdcgan-al"
SHOWN_VERSIONS = ("fireworks", "jobflow", "atomate2", "pymatgen", "pymongo")
QUEUE_COMMANDS = {"SLURM": "sbatch", "PBS": "qsub", "SGE": "qsub"}
SKEW_WARNING, SKEW_BROKEN = 2.0, 60.0
"""Seconds between this clock and the server's: FireWorks compares times that different machines wrote."""
FREE_WARNING, FREE_BROKEN = 5e9, 5e8  # bytes
ANSWER_MS = 5000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : its name
    state : ``ok``; ``warning``, where something that may not be needed is missing; ``broken``, where no campaign can run
    found : in words, without passwords
    remedy : what to do; empty where nothing is
    """

    what: str
    state: State
    found: str
    remedy: str = ""


def examine(config: Path | None = None) -> list[Finding]:
    """Look at everything; a check that fails in an unforeseen way is broken, and the others go on.

    Parameters
    ----------
    config : config folder from `ccdcgan-al init`; None: the database that `run` uses
    """
    settings = Settings()
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", _versions),
        ("package names", _names),
        ("database", lambda: _database(settings, config)),
        ("queue", lambda: _queue(config)),
        ("methods", _methods),
        ("disk", lambda: _disk(settings)),
    ]
    findings: list[Finding] = []
    for what, check in checks:
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001 - a doctor that falls ill helps nobody
            reason = " ".join(f"{type(error).__name__}: {redact(error)}".split())[:300]
            findings.append(Finding(what, "broken", reason, "correct this, or report it with the line"))
    return findings


def _versions() -> Iterator[Finding]:
    found = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN_VERSIONS)
    yield Finding("versions", "ok", f"ccdcgan-al {__version__}, Python {sys.version.split()[0]}, {found}")


def _names() -> Iterator[Finding]:
    """Other distributions on the registry also install a package named `workflows` or `launchpad`."""
    owners = metadata.packages_distributions()
    home = Path(str(importlib.util.find_spec("ccdcgan_al").origin)).parents[1]  # type: ignore[union-attr]
    for name in PACKAGES:
        others = sorted(set(owners.get(name, [])) - {DISTRIBUTION})
        spec = importlib.util.find_spec(name)
        origin = Path(str(spec.origin)) if spec and spec.origin else None
        if origin is None or origin.parents[1] != home:
            found = f"{name} is imported from {origin}, ccdcgan_al from {home}"
        elif others:
            found = f"{', '.join(others)} installs a package {name} too"
        else:
            continue
        remedy = "install ccdcgan-al in a virtual environment of its own, and start it outside folders of that name"
        yield Finding("package names", "broken", found, remedy)
        return
    yield Finding("package names", "ok", f"{', '.join(PACKAGES)} are ccdcgan-al's own, in {home}")


def _database(settings: Settings, config: Path | None) -> Iterator[Finding]:
    """Look at the database of a config folder, the named one, or the local one."""
    if config is not None:
        try:
            uri = address_of(config)
        except MongoError as error:
            yield Finding("database", "broken", redact(error), f"`ccdcgan-al init {config}` writes what is missing")
            return
    elif settings.mongo_uri is not None:
        uri = with_database(settings.mongo_uri.get_secret_value(), settings.database)
    else:
        status = mongo_status(settings)
        if not status.running or status.uri is None:
            binary = find_mongod(settings)
            yield Finding("database", "ok", f"local, not started; `ccdcgan-al run` starts {binary}")
            return
        uri = status.uri
    yield from _server(uri)


def _server(uri: str) -> Iterator[Finding]:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError

    from launchpad.database.indexes import missing_indexes
    from launchpad.database.migrations import VERSION, schema_version, wrong_validators

    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=ANSWER_MS, tz_aware=True)
    with client:
        try:
            before = datetime.now(UTC)
            hello = client.admin.command("hello")
            after = datetime.now(UTC)
            database = client[database_name(uri)]
            version = schema_version(database)
            server = client.server_info()["version"]
        except PyMongoError as error:
            refused = isinstance(error, OperationFailure)
            reason = redact(error).split(", Timeout:")[0].split(", full error:")[0]
            remedy = "check user, password and authSource of the URI" if refused else "start it, or correct the address"
            yield Finding("database", "broken", f"{redact(uri)}: {reason}", remedy)
            return
        login = "with a password" if "@" in uri else "without a password"
        guarded = "@" in uri or client.address is None or client.address[0] in ("127.0.0.1", "localhost", "::1")
        remedy = "" if guarded else "anybody on the network may read and change it: turn authorization on"
        yield Finding("database", "ok" if guarded else "warning", f"MongoDB {server} at {redact(uri)}, {login}", remedy)
        if version > VERSION:
            found = f"version {version}, and this program knows up to {VERSION}"
            yield Finding("schema", "broken", found, "upgrade ccdcgan-al here, or use another database")
        elif version < VERSION:
            remedy = "`ccdcgan-al init FOLDER`, or the next `run`, brings it up to date"
            yield Finding("schema", "warning", f"version {version}, wanted {VERSION}", remedy)
        else:
            yield Finding("schema", "ok", f"version {version}")
            missing = [f"{index.collection}.{index.name}" for index in missing_indexes(database)]
            wrong = wrong_validators(database)
            remedy = "make them: `ccdcgan-al init FOLDER`"
            yield Finding(
                "indexes", *(("broken", f"missing: {', '.join(missing)}", remedy) if missing else ("ok", "all"))
            )
            yield Finding(
                "validators",
                *(("broken", f"not this version's: {', '.join(wrong)}", remedy) if wrong else ("ok", "all")),
            )
        skew = abs((hello["localTime"].replace(tzinfo=UTC) - (before + (after - before) / 2)).total_seconds())
        state: State = "ok" if skew < SKEW_WARNING else "warning" if skew < SKEW_BROKEN else "broken"
        remedy = (
            "" if state == "ok" else "set the clocks by NTP: lost runs are told by times that different machines write"
        )
        yield Finding("clocks", state, f"{skew:.1f} s from the database's", remedy)


def _queue(config: Path | None) -> Iterator[Finding]:
    import yaml

    kind = "SLURM"
    if config is not None:
        path = config.expanduser() / "my_qadapter.yaml"
        if not path.is_file():
            yield Finding("queue", "broken", f"{path} is not there", f"`ccdcgan-al init {config}` writes it")
            return
        adapter = yaml.safe_load(path.read_text(encoding="utf-8"))
        kind = str(adapter.get("_fw_q_type", kind))
    command = QUEUE_COMMANDS.get(kind, "sbatch")
    if program := shutil.which(command):
        yield Finding("queue", "ok", f"{kind}: {program}")
    else:
        remedy = "needed for qlaunch alone: run that on the cluster's login node; rlaunch and `run` work without"
        yield Finding("queue", "warning", f"{kind}: no {command} on PATH", remedy)


def _methods() -> Iterator[Finding]:
    """Which methods relax here; a potential that does not come with ccdcgan-al need not be there."""
    from ccdcgan_al.hull.element_references import OFF, deviations, potential_energies
    from workflows.methods import METHODS, check_method
    from workflows.potentials import OURS, POTENTIALS

    missing = {}
    for method in METHODS:
        try:
            check_method(method)
        except CcdcganError as error:
            missing[method] = " ".join(str(error).split())
    usable = [name for name in POTENTIALS if name not in missing]
    others = ", ".join(f"{name} (pip install {POTENTIALS[name].install})" for name in POTENTIALS if name in missing)
    lacking = any(POTENTIALS[name].install == OURS for name in missing if name != DFT)
    found = f"usable: {', '.join(usable) or 'none'}" + (f"; not installed: {others}" if others else "")
    yield Finding("potentials", "warning" if lacking else "ok", found, f"pip install {OURS}" if lacking else "")
    off = {
        name: [
            symbol
            for symbol, value in deviations(potential_energies(POTENTIALS[name].calculator)).items()
            if abs(value) > OFF
        ]
        for name in usable
    }
    counts = ", ".join(f"{name} {len(symbols)}" for name, symbols in off.items() if symbols)
    yield Finding(
        "elements",
        "ok",
        f"off by more than {1000 * OFF:g} meV/atom against the Materials Project: {counts or 'none known'}; a hull has the Materials "
        "Project's elements at its corners; docs/energies.md has the table",
    )
    if DFT in missing:
        yield Finding("VASP", "warning", "not usable here", missing[DFT])
    else:
        yield Finding("VASP", "ok", "command and POTCARs are there")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.home.expanduser().resolve()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        found = f"{folder} {'cannot be written to' if folder.is_dir() else 'is no folder'}"
        yield Finding("disk", "broken", found, "set CCDCGAN_AL_HOME to a folder that you own")
        return
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free > FREE_WARNING else "warning" if free > FREE_BROKEN else "broken"
    remedy = "" if state == "ok" else "make room, or set CCDCGAN_AL_HOME to a folder on another disk"
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free in {folder}", remedy)
