from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymongo
import pytest
import yaml

from ccdcgan_al.errors import MongoError
from launchpad.service.configure import (
    RECORD,
    TEMPLATES,
    open_launchpad,
    worker_environment,
    write_config,
)
from launchpad.uri import database_name

SECRET_URI = "mongodb://me:p%40ss'\"$x@127.0.0.1:27017,127.0.0.2:27017/d-b?authSource=admin"  # noqa: S105 - nobody's


def _connect(uri: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(uri)


def _add_firework(folder: Path) -> int:
    from fireworks import Firework, PyTask

    (fw_id,) = open_launchpad(folder).add_wf(Firework(PyTask(func="os.getpid"), name="Bi2Se3")).values()
    return int(fw_id)


def _run(folder: Path, *command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).parent / command[0]
    return subprocess.run(
        [str(script), *command[1:]],
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env=environment or dict(os.environ),
        check=True,
        timeout=60,
    )


def test_files_hold_what_was_asked_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "a b", SECRET_URI)
    assert {path.name for path in folder.iterdir()} == {*TEMPLATES, RECORD}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    launchpad = yaml.safe_load((folder / "my_launchpad.yaml").read_text())
    assert launchpad == {"host": SECRET_URI, "uri_mode": True, "name": "d-b", "strm_lvl": "WARNING"}
    store = yaml.safe_load((folder / "jobflow.yaml").read_text())["JOB_STORE"]["docs_store"]
    assert store == {
        "type": "MongoURIStore",
        "uri": SECRET_URI,
        "database": "d-b",
        "collection_name": "jobflow_outputs",
    }
    assert yaml.safe_load((folder / "FW_config.yaml").read_text())["CONFIG_FILE_DIR"] == str(folder)
    shell = subprocess.run(
        [
            "sh",
            "-c",
            f'. "{folder}/environment.sh"; printf %s "$CCDCGAN_AL_MONGO_URI"; cat "$FW_CONFIG_FILE" > /dev/null',
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == SECRET_URI


def test_a_lock_that_a_dead_worker_left_is_broken_by_the_service_as_by_its_workers(
    config_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fireworks.core.launchpad import WFLock

    monkeypatch.setattr(WFLock.__init__, "__defaults__", (300, False))  # FireWorks' own
    launchpad = open_launchpad(config_folder)
    settings = yaml.safe_load((config_folder / "FW_config.yaml").read_text())
    lock = WFLock(launchpad, 1)
    assert (lock.expire_secs, lock.kill) == (settings["WFLOCK_EXPIRATION_SECS"], settings["WFLOCK_EXPIRATION_KILL"])
    assert (lock.expire_secs, lock.kill) == (60, True)


def test_writing_again_changes_only_what_changed(tmp_path: Path) -> None:
    folder = write_config(tmp_path, "mongodb://127.0.0.1:1/x")
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    (folder / "my_launchpad.yaml").chmod(0o644)
    assert write_config(tmp_path, "mongodb://127.0.0.1:1/x") == folder
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before
    assert stat.S_IMODE((folder / "my_launchpad.yaml").stat().st_mode) == 0o600
    write_config(tmp_path, "mongodb://127.0.0.1:2/x")
    changed = {path.name for path in folder.iterdir() if path.stat().st_ino != before[path.name]}
    assert changed == {"my_launchpad.yaml", "jobflow.yaml", "environment.sh", RECORD}


def test_a_uri_without_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MongoError, match=r"mongodb://me:\*\*\*@h names no database"):
        write_config(tmp_path, "mongodb://me:secret@h")


def test_fireworks_reads_the_launchpad_and_the_workers(config_folder: Path, fresh_mongo_uri: str) -> None:
    from fireworks import FWorker, LaunchPad

    launchpad = LaunchPad.from_file(str(config_folder / "my_launchpad.yaml"))
    assert launchpad.db.name == database_name(fresh_mongo_uri)
    assert launchpad.db.command("ping")["ok"]
    assert FWorker.from_file(str(config_folder / "my_fworker.yaml")).category == ""
    for kind in ("relaxation", "training"):
        assert FWorker.from_file(str(config_folder / f"my_fworker_{kind}.yaml")).query["spec._category"] == kind


@pytest.mark.parametrize(("kind", "cores"), [("", 4), ("_relaxation", 1), ("_training", 4)])
def test_queue_scripts_start_this_environments_rlaunch_and_hold_no_password(
    tmp_path: Path, kind: str, cores: int
) -> None:
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

    folder = write_config(tmp_path / "a b", SECRET_URI)
    described = yaml.safe_load((folder / f"my_qadapter{kind}.yaml").read_text())
    script = CommonAdapter.from_dict(described).get_script_str("/launch")
    assert "$$" not in script
    assert "p%40ss" not in script
    directives, commands = script.split("unset SLURM_EXPORT_ENV")
    assert f"--cpus-per-task={cores}\n" in directives
    assert [
        line for line in directives.splitlines() if line and not line.startswith("#")
    ] == []  # sbatch reads them all
    assert "#SBATCH --export=NONE" in directives  # sbatch would store the submitter's environment, password included
    (launch,) = (line for line in commands.splitlines() if "rlaunch" in line)
    words = shlex.split(launch)
    assert words[0] == str(Path(sys.executable).with_name("rlaunch"))
    assert words[1:6] == ["-c", str(folder), "-w", str(folder / f"my_fworker{kind}.yaml"), "rapidfire"]
    assert commands.index("/environment.sh || exit 1") < commands.index("rlaunch")


def test_opening_initialises_once_and_never_wipes(config_folder: Path, fresh_mongo_uri: str) -> None:
    assert [_add_firework(config_folder), _add_firework(config_folder)] == [1, 2]
    with _connect(fresh_mongo_uri) as client:
        database = client.get_default_database()
        assert database.fw_id_assigner.count_documents({}) == 1
        assert "fw_id_1" in database.fireworks.index_information()


def test_opening_without_a_server_is_one_clear_line(tmp_path: Path) -> None:
    folder = write_config(tmp_path, "mongodb://me:secret@127.0.0.1:1/x?serverSelectionTimeoutMS=200")
    with pytest.raises(MongoError, match="cannot be opened") as error:
        open_launchpad(folder)
    assert "secret" not in str(error.value)


def test_plain_lpad_and_rlaunch_work(config_folder: Path) -> None:
    _add_firework(config_folder)
    assert '"state": "READY"' in _run(config_folder, "lpad", "-c", str(config_folder), "get_wflows").stdout
    _run(config_folder, "rlaunch", "-c", str(config_folder), "rapidfire")
    assert '"state": "COMPLETED"' in _run(config_folder, "lpad", "-c", str(config_folder), "get_wflows").stdout


def test_the_environment_alone_is_enough(config_folder: Path, fresh_mongo_uri: str) -> None:
    _add_firework(config_folder)
    environment = worker_environment(config_folder, fresh_mongo_uri)
    done = _run(config_folder, "rlaunch", "rapidfire", environment=environment)
    assert done.stdout == ""  # quiet, too
    assert '"state": "COMPLETED"' in _run(config_folder, "lpad", "get_wflows", environment=environment).stdout


def test_jobflow_stores_outputs_in_the_same_database(config_folder: Path, fresh_mongo_uri: str) -> None:
    code = (
        "from jobflow import SETTINGS; s = SETTINGS.JOB_STORE; s.connect();"
        "s.update({'uuid': 'a', 'index': 1, 'output': 3, 'metadata': {}, 'hosts': [], 'name': 'x'}); "
        "print(s.docs_store.collection_name)"
    )
    environment = worker_environment(config_folder, fresh_mongo_uri)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "jobflow_outputs"
    with _connect(fresh_mongo_uri) as client:
        document = client.get_default_database().jobflow_outputs.find_one({"uuid": "a"})
    assert document
    assert document["output"] == 3


def test_worker_environment_limits_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    environment = worker_environment(tmp_path, "mongodb://h/x", threads=3)
    assert {environment[f"{library}_NUM_THREADS"] for library in ("OMP", "OPENBLAS", "MKL")} == {"3"}
    assert environment["JOBFLOW_CONFIG_FILE"] == str(tmp_path / "jobflow.yaml")
    assert environment["PATH"] == os.environ["PATH"]
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        worker_environment(tmp_path, "mongodb://h/x", threads=0)
