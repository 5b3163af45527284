"""Check everything that a campaign needs, and say what to do. It changes nothing and starts nothing."""

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
from launchpad.service.configure import address_of
from launchpad.service.mongod import find_mongod, mongo_status, with_database
from launchpad.uri import database_name, redact

State = Literal["ok", "warning", "broken"]

PACKAGES = ("ccdcgan_al", "workflows", "launchpad")
DISTRIBUTION = "ccdcgan-al"
SHOWN_VERSIONS = ("fireworks", "jobflow", "atomate2", "pymatgen", "pymongo")
QUEUE_COMMANDS = {"SLURM": "sbatch", "PBS": "qsub", "SGE": "qsub"}
SKEW_WARNING, SKEW_BROKEN = 2.0, 60.0
"""Thresholds (s) of the difference between this clock and the server's. FireWorks compares times of different machines."""
FREE_WARNING, FREE_BROKEN = 5e9, 5e8  # bytes
ANSWER_MS = 5000


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes
    ----------
    what : str
        Name of the check.
    state : State
        ``ok``, ``warning`` (something is missing that may not be needed) or ``broken`` (no campaign can run).
    found : str
        Description without passwords.
    remedy : str, default ""
        What to do. Empty if there is nothing to do.
    """

    what: str
    state: State
    found: str
    remedy: str = ""


def examine(config: Path | None = None) -> list[Finding]:
    """Make all checks. A check that fails unexpectedly is reported as broken, and the others continue.

    Parameters
    ----------
    config : Path, optional
        Config folder from `ccdcgan-al init`. None means the database that `run` uses.

    Returns
    -------
    list of Finding
        Results of the checks.
    """
    settings = Settings()
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", _versions),
        ("package names", _names),
        ("database", lambda: _database(settings, config)),
        ("queue", lambda: _queue(config)),
        ("methods", methods),
        ("disk", lambda: _disk(settings)),
    ]
    findings: list[Finding] = []
    for what, check in checks:
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001 - one failed check must not hide the others
            reason = " ".join(f"{type(error).__name__}: {redact(error)}".split())[:300]
            findings.append(Finding(what, "broken", reason, "correct this, or report it with this line"))
    return findings


def _versions() -> Iterator[Finding]:
    found = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN_VERSIONS)
    yield Finding("versions", "ok", f"ccdcgan-al {__version__}, Python {sys.version.split()[0]}, {found}")


def _names() -> Iterator[Finding]:
    """Check the owners of the packages. Other distributions also install packages named `workflows` or `launchpad`.

    Yields
    ------
    Finding
        One result.
    """
    owners = metadata.packages_distributions()
    home = Path(str(importlib.util.find_spec("ccdcgan_al").origin)).parents[1]  # type: ignore[union-attr]
    for name in PACKAGES:
        others = sorted(set(owners.get(name, [])) - {DISTRIBUTION})
        spec = importlib.util.find_spec(name)
        origin = Path(str(spec.origin)) if spec and spec.origin else None
        if origin is None or origin.parents[1] != home:
            found = f"{name} is imported from {origin}, ccdcgan_al from {home}"
        elif others:
            found = f"{', '.join(others)} also installs a package {name}"
        else:
            continue
        remedy = "install ccdcgan-al in its own virtual environment, and start it outside folders with that name"
        yield Finding("package names", "broken", found, remedy)
        return
    yield Finding("package names", "ok", f"{', '.join(PACKAGES)} belong to ccdcgan-al, in {home}")


def _database(settings: Settings, config: Path | None) -> Iterator[Finding]:
    """Check the database of a config folder, the database of the settings, or the local one."""
    if config is not None:
        try:
            uri = address_of(config)
        except MongoError as error:
            yield Finding(
                "database", "broken", redact(error), f"run `ccdcgan-al init {config}` to write the missing files"
            )
            return
    elif settings.mongo_uri is not None:
        uri = with_database(settings.mongo_uri.get_secret_value(), settings.database)
    else:
        status = mongo_status(settings)
        if not status.running or status.uri is None:
            binary = find_mongod(settings)
            yield Finding("database", "ok", f"local MongoDB, not started; `ccdcgan-al run` starts {binary}")
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
            remedy = (
                "check user, password and authSource of the URI" if refused else "start MongoDB, or correct the address"
            )
            yield Finding("database", "broken", f"{redact(uri)}: {reason}", remedy)
            return
        login = "with a password" if "@" in uri else "without a password"
        guarded = "@" in uri or client.address is None or client.address[0] in ("127.0.0.1", "localhost", "::1")
        remedy = "" if guarded else "everyone on the network can read and change it: turn on authorization"
        yield Finding("database", "ok" if guarded else "warning", f"MongoDB {server} at {redact(uri)}, {login}", remedy)
        if version > VERSION:
            found = f"version {version}, but this program knows versions up to {VERSION}"
            yield Finding("schema", "broken", found, "upgrade ccdcgan-al here, or use another database")
        elif version < VERSION:
            remedy = "run `ccdcgan-al init FOLDER` to update it, or let the next `run` do it"
            yield Finding("schema", "warning", f"version {version}, expected {VERSION}", remedy)
        else:
            yield Finding("schema", "ok", f"version {version}")
            missing = [f"{index.collection}.{index.name}" for index in missing_indexes(database)]
            wrong = wrong_validators(database)
            remedy = "run `ccdcgan-al init FOLDER` to create them"
            yield Finding(
                "indexes", *(("broken", f"missing: {', '.join(missing)}", remedy) if missing else ("ok", "all"))
            )
            yield Finding(
                "validators",
                *(("broken", f"of another version: {', '.join(wrong)}", remedy) if wrong else ("ok", "all")),
            )
        skew = abs((hello["localTime"].replace(tzinfo=UTC) - (before + (after - before) / 2)).total_seconds())
        state: State = "ok" if skew < SKEW_WARNING else "warning" if skew < SKEW_BROKEN else "broken"
        remedy = (
            ""
            if state == "ok"
            else "synchronise the clocks with NTP: FireWorks detects lost runs by the times of different machines"
        )
        yield Finding("clocks", state, f"{skew:.1f} s difference to the clock of the database", remedy)


def _queue(config: Path | None) -> Iterator[Finding]:
    import yaml

    kind = "SLURM"
    if config is not None:
        path = config.expanduser() / "my_qadapter.yaml"
        if not path.is_file():
            yield Finding("queue", "broken", f"{path} is not there", f"run `ccdcgan-al init {config}` to write it")
            return
        adapter = yaml.safe_load(path.read_text(encoding="utf-8"))
        kind = str(adapter.get("_fw_q_type", kind))
    command = QUEUE_COMMANDS.get(kind, "sbatch")
    if program := shutil.which(command):
        yield Finding("queue", "ok", f"{kind}: {program}")
    else:
        remedy = "only qlaunch needs it: start qlaunch on the cluster's login node; rlaunch and `run` do not need it"
        yield Finding("queue", "warning", f"{kind}: no {command} on PATH", remedy)


def methods() -> Iterator[Finding]:
    """Check which methods can relax here. Potentials that are not part of ccdcgan-al may be missing.

    Yields
    ------
    Finding
        Results for potentials, elements and VASP.
    """
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
        f"number of elements that differ by more than {1000 * OFF:g} meV/atom from the Materials Project: {counts or 'none known'}; a hull "
        "uses the Materials Project's elements; docs/energies.md has the table",
    )
    if DFT in missing:
        yield Finding("VASP", "warning", "not usable here", missing[DFT])
    else:
        yield Finding("VASP", "ok", "command and POTCARs found")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.home.expanduser().resolve()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        found = f"{folder} {'cannot be written to' if folder.is_dir() else 'is not a folder'}"
        yield Finding("disk", "broken", found, "set CCDCGAN_AL_HOME to a folder that you own")
        return
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free > FREE_WARNING else "warning" if free > FREE_BROKEN else "broken"
    remedy = "" if state == "ok" else "free some space, or set CCDCGAN_AL_HOME to a folder on another disk"
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free in {folder}", remedy)
