"""The config folder of a campaign: FireWorks' and jobflow's own files, so that their own commands work with it.

This module writes files and opens the LaunchPad that they describe. It starts no process (see `launchpad.service.mongod` and
`launchpad.service.workers`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Literal

import yaml

from ccdcgan_al.errors import MongoError
from ccdcgan_al.files import write_atomically
from launchpad.service.fireworks_compat import break_stale_locks, initialise
from launchpad.uri import database_name, redact

if TYPE_CHECKING:
    from fireworks import LaunchPad

TEMPLATES = (
    "FW_config.yaml",
    "my_launchpad.yaml",
    "my_fworker.yaml",
    "my_fworker_relaxation.yaml",
    "my_fworker_training.yaml",
    "my_qadapter.yaml",
    "my_qadapter_relaxation.yaml",
    "my_qadapter_training.yaml",
    "jobflow.yaml",
    "environment.sh",
)
WITH_ADDRESS = ("my_launchpad.yaml", "jobflow.yaml", "environment.sh")
RECORD = ".written.json"
"""File in the folder that records the last written content, so that edited files are recognised."""

Queue = Literal["slurm", "pbs", "sge"]


def write_config(folder: Path, mongo_uri: str, *, queue: Queue | None = None, force: bool = False) -> Path:
    """Write the config files into `folder`, readable only by their owner, and return its absolute path.

    Afterwards ``lpad -c FOLDER get_wflows`` and ``rlaunch -c FOLDER rapidfire`` work (the second needs
    ``source FOLDER/environment.sh`` first, which tells jobflow where to store outputs). Files with the same content are not changed.
    A file that a user edited is not changed either (see `edited_files`).

    Parameters
    ----------
    folder : Path
        Config folder. It is created if it does not exist.
    mongo_uri : str
        Address that names its database, from `launchpad.service.mongod.ensure_mongo`.
    queue : Queue, optional
        Queue system of the qadapter files. None means the previous choice, or SLURM in a new folder.
    force : bool, default False
        Whether to write edited files again. The edited version is kept as ``NAME.bak``.

    Raises
    ------
    MongoError
        If the URI names no database, or an edited file names another database.
    """
    folder = folder.expanduser().resolve()
    values = {  # every JSON string is a valid YAML string
        "uri": json.dumps(mongo_uri),
        "database": json.dumps(database_name(mongo_uri)),
        "folder": json.dumps(str(folder)),
        "fw_config_file": shlex.quote(str(folder / "FW_config.yaml")),
        "jobflow_config_file": shlex.quote(str(folder / "jobflow.yaml")),
        "relaxed_folder": shlex.quote(str(folder / "relaxed")),
        "shell_uri": shlex.quote(mongo_uri),
        "shell_folder": shlex.quote(str(folder)),
        "shell_rlaunch": shlex.quote(str(Path(sys.executable).with_name("rlaunch"))),  # a queue's job has its own PATH
    }
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    edited, record = edited_files(folder), _record(folder)
    queue = queue or record.get("queue", "slurm")
    hashes = dict(record.get("sha256", {}))
    for name in TEMPLATES:
        source = name if queue == "slurm" or "qadapter" not in name else name.replace(".yaml", f"_{queue}.yaml")
        template = Template(resources.files("launchpad").joinpath("config", source).read_text(encoding="utf-8"))
        text, path = template.substitute(values), folder / name
        if path.is_file() and (name in edited or path.read_text(encoding="utf-8") == text):
            path.chmod(0o600)
            if name in edited and path.read_text(encoding="utf-8") != text:
                if not force:
                    _check_address(path, mongo_uri)
                    continue
                path.replace(path.with_name(f"{name}.bak"))
                write_atomically(path, text)
        else:
            write_atomically(path, text)
        hashes[name] = _sha256(text)
    if (new := {"queue": queue, "sha256": hashes}) != record:
        write_atomically(folder / RECORD, json.dumps(new) + "\n")
    return folder


def edited_files(folder: Path) -> list[str]:
    """Return the names of config files whose content differs from the content that `write_config` wrote."""
    hashes = _record(folder).get("sha256", {})
    paths = [folder / name for name in TEMPLATES]
    return [path.name for path in paths if path.is_file() and _sha256(path.read_bytes()) != hashes.get(path.name)]


def _record(folder: Path) -> dict[str, Any]:
    """Return the record of the last `write_config`: the queue, and the sha256 of each file. Empty if it cannot be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _check_address(path: Path, mongo_uri: str) -> None:
    """Raise an error if an edited file names another database than the given one."""
    text = path.read_text(encoding="utf-8")
    if path.name in WITH_ADDRESS and mongo_uri not in text and json.dumps(mongo_uri) not in text:
        raise MongoError(
            f"{path} was edited and does not name {redact(mongo_uri)}: correct it, or let "
            f"`ccdcgan-al init {path.parent} --force` write it anew (the edited one is kept as {path.name}.bak)"
        )


def address_of(folder: Path) -> str:
    """Return the MongoDB URI, with its database, that the workers of a config folder use.

    Raises
    ------
    MongoError
        If `environment.sh` does not exist or names no URI.
    """
    path = folder.expanduser().resolve() / "environment.sh"
    if not path.is_file():
        raise MongoError(f"{path} is not there: make the folder with `ccdcgan-al init {folder}`")
    variable = "CCDCGAN_AL_MONGO_URI="
    for word in shlex.split(path.read_text(encoding="utf-8"), comments=True):
        if word.startswith(variable):
            database_name(uri := word.removeprefix(variable))
            return uri
    raise MongoError(f"{path} does not set CCDCGAN_AL_MONGO_URI: add it, or write the file anew with `ccdcgan-al init`")


def check_config(folder: Path) -> list[str]:
    """Read the config files as FireWorks and jobflow do, connect to their databases, and return the results as lines.

    Raises
    ------
    MongoError
        If a file has wrong content, a database does not answer, or two files name different databases.
    """
    from fireworks import FWorker
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
    from jobflow import JobStore
    from pymongo.errors import PyMongoError

    folder, uri = folder.expanduser().resolve(), address_of(folder)
    launchpad = open_launchpad(folder)
    name = "jobflow.yaml"
    try:
        spec = yaml.safe_load((folder / name).read_text(encoding="utf-8"))["JOB_STORE"]
        store = JobStore.from_dict_spec(spec)
        store.connect()
        outputs = store.docs_store._collection.database  # noqa: SLF001 - maggma has no public name for it
        outputs.command("ping")
        for name in ("my_fworker.yaml", "my_fworker_relaxation.yaml", "my_fworker_training.yaml"):
            FWorker.from_file(str(folder / name))
        for name in ("my_qadapter.yaml", "my_qadapter_relaxation.yaml", "my_qadapter_training.yaml"):
            adapter = CommonAdapter.from_dict(yaml.safe_load((folder / name).read_text(encoding="utf-8")))
            adapter.get_script_str(str(folder))
    except PyMongoError as error:
        raise MongoError(
            f"the database of {folder / name} cannot be used: {redact(error).split(', Timeout:')[0]}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise MongoError(
            f"{folder / name} cannot be read: {redact(error)}; correct it, or see `init --force`"
        ) from None
    used = {launchpad.db.name, outputs.name, database_name(uri)}
    if len(used) > 1:
        raise MongoError(
            f"my_launchpad.yaml names the database {launchpad.db.name!r}, jobflow.yaml {outputs.name!r} and environment.sh "
            f"{database_name(uri)!r}: a campaign needs one, the same for all"
        )
    version = launchpad.db.client.server_info()["version"]
    return [
        f"MongoDB {version} answers at {redact(uri)}",
        f"LaunchPad: {launchpad.workflows.count_documents({})} workflows; outputs: {outputs.name}.{store.docs_store.collection_name}",
        f"queue: {adapter.q_type}",
    ]


def open_launchpad(folder: Path) -> LaunchPad:
    """Return the LaunchPad of a config folder. A new LaunchPad first gets its counters and indexes.

    From then on this process breaks locks that a dead worker left (`launchpad.service.fireworks_compat`).
    """
    from fireworks import LaunchPad
    from pymongo.errors import PyMongoError

    break_stale_locks()
    try:
        launchpad = LaunchPad.from_file(str(folder / "my_launchpad.yaml"))
        initialise(launchpad)
    except PyMongoError as error:
        raise MongoError(
            f"the LaunchPad of {folder} cannot be opened: {redact(error).split(', Timeout:')[0]}"
        ) from None
    return launchpad


def launchpad_at(mongo_uri: str) -> LaunchPad:
    """Return the LaunchPad of a database without a config folder. `open_launchpad` must have opened it before.

    Parameters
    ----------
    mongo_uri : str
        Address that names its database.
    """
    from fireworks import LaunchPad

    return LaunchPad(host=mongo_uri, uri_mode=True, name=database_name(mongo_uri), strm_lvl="WARNING")


def worker_environment(folder: Path, mongo_uri: str, threads: int = 1) -> dict[str, str]:
    """Return the environment of a worker: this process's environment, the config folder's files, and the number of threads.

    The hash seed is fixed, so that the order of a set of strings, and everything that follows from it, is always the same.

    Parameters
    ----------
    folder : Path
        Config folder from `write_config`.
    mongo_uri : str
        Address that names its database.
    threads : int, default 1
        Number of threads of every numerical library. A relaxation uses one. With more, the small matrices of a cell filter
        keep all cores busy, because the threads wait for each other.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    folder = folder.expanduser().resolve()
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {
        **os.environ,
        "FW_CONFIG_FILE": str(folder / "FW_config.yaml"),
        "JOBFLOW_CONFIG_FILE": str(folder / "jobflow.yaml"),
        "CCDCGAN_AL_MONGO_URI": mongo_uri,
        "CCDCGAN_AL_RELAXED_FOLDER": str(folder / "relaxed"),
        **dict.fromkeys(limits, str(threads)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }
