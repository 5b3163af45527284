from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad, PyTask, ScriptTask, Workflow

from ccdcgan_al.errors import MongoError
from ccdcgan_al.settings import Settings
from launchpad.service import recovery
from launchpad.service.configure import open_launchpad, write_config
from launchpad.service.mongod import ensure_mongo, mongo_status, stop_local_mongo
from launchpad.service.recovery import recover_lost_runs
from launchpad.service.workers import LocalWorkers, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = """
import os, signal, time
calls = 0

def count():
    global calls
    calls += 1
    return [os.getpid(), calls]

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.05)

def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of trivial tasks that the workers can import."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "worker_tasks.py").write_text(TASKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))


@pytest.fixture
def launchpad(config_folder: Path) -> LaunchPad:
    return open_launchpad(config_folder)


def _firework(function: str, *arguments: str, category: str = "relaxation", **options: Any) -> Firework:
    task = PyTask(func=f"worker_tasks.{function}", args=list(arguments), stored_data_varname="result")
    return Firework(task, spec={"_category": category, **options.pop("spec", {})}, **options)


def _add(launchpad: LaunchPad, *fireworks: Firework) -> list[int]:
    ids = launchpad.add_wf(Workflow(list(fireworks)))
    return [ids.get(firework.fw_id, firework.fw_id) for firework in fireworks]


def _state(launchpad: LaunchPad, fw_id: int) -> str:
    return str(launchpad.fireworks.find_one({"fw_id": fw_id})["state"])


def _wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_both_kinds_run_and_a_worker_keeps_its_modules_between_fireworks(
    config_folder: Path, launchpad: LaunchPad, fresh_mongo_uri: str
) -> None:
    relaxed = _add(launchpad, *[_firework("count") for _ in range(4)])
    trained = _add(launchpad, _firework("count", category="training"))
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1, training_threads=2) as local:
        pids = local.pids
        assert sorted(pids) == ["relaxation-1", "training-1"]
        _wait(lambda: all(_state(launchpad, fw_id) == "COMPLETED" for fw_id in relaxed + trained))
        assert local.check() == []
        environments = {name: psutil.Process(pid).environ() for name, pid in pids.items()}
        assert {os.getsid(pid) for pid in pids.values()} == set(pids.values())
    assert environments["relaxation-1"]["OMP_NUM_THREADS"] == "1"
    assert environments["training-1"]["OMP_NUM_THREADS"] == "2"
    results = [launchpad.get_fw_by_id(fw_id).launches[-1].action.stored_data["result"] for fw_id in relaxed]
    assert sorted(results) == [[pids["relaxation-1"], n] for n in (1, 2, 3, 4)]  # one process, one module state
    directories = {Path(launchpad.get_launchdir(fw_id)).parent.parent for fw_id in relaxed + trained}
    assert directories == {config_folder / "launches"}
    assert all(_gone(pid) for pid in pids.values())
    logs = "".join(path.read_text() for path in config_folder.glob("launches/*/worker.log"))
    assert logs == ""  # quiet


def test_stopping_makes_the_running_firework_ready_and_starts_no_child(
    config_folder: Path, launchpad: LaunchPad, fresh_mongo_uri: str, tmp_path: Path
) -> None:
    parent = _firework("wait_for", str(tmp_path / "go"))
    child = _firework("count", parents=[parent], spec={"_allow_fizzled_parents": True})
    parent_id, child_id = _add(launchpad, parent, child)
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1) as local:
        _wait(lambda: _state(launchpad, parent_id) == "RUNNING")
        assert local.stop() == [parent_id]
    assert [_state(launchpad, parent_id), _state(launchpad, child_id)] == ["READY", "WAITING"]
    assert launchpad.launches.count_documents({"state": "RUNNING"}) == 0
    assert (
        launchpad.launches.find_one({"fw_id": parent_id})["action"]["stored_data"]["_message"]
        == "the run was interrupted"
    )
    (tmp_path / "go").touch()
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1):
        _wait(lambda: _state(launchpad, child_id) == "COMPLETED")


def test_a_killed_worker_is_replaced_and_its_firework_runs_again(
    config_folder: Path, launchpad: LaunchPad, fresh_mongo_uri: str, tmp_path: Path
) -> None:
    (fw_id,) = _add(launchpad, _firework("wait_for", str(tmp_path / "go")))
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1) as local:
        _wait(lambda: _state(launchpad, fw_id) == "RUNNING")
        pid = local.pids["relaxation-1"]
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "go").touch()
        restarted: list[str] = []
        while not restarted:
            restarted = local.check()
            time.sleep(0.05)
        assert restarted == ["relaxation-1"]
        assert local.pids["relaxation-1"] != pid
        _wait(lambda: _state(launchpad, fw_id) == "COMPLETED")
    assert len(launchpad.get_fw_by_id(fw_id).archived_launches) == 1


def test_a_firework_that_kills_its_workers_becomes_a_stored_failure(
    config_folder: Path, launchpad: LaunchPad, fresh_mongo_uri: str
) -> None:
    deadly = _firework("die")
    child = _firework("count", parents=[deadly], spec={"_allow_fizzled_parents": True})
    deadly_id, child_id = _add(launchpad, deadly, child)
    deaths = 0
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1) as local:
        while _state(launchpad, child_id) != "COMPLETED":
            deaths += len(local.check())
            time.sleep(0.1)
    assert deaths == 3
    assert _state(launchpad, deadly_id) == "FIZZLED"
    reason = launchpad.get_fw_by_id(deadly_id).launches[-1].action.stored_data["_exception"]["_stacktrace"]
    assert "gave up after 3 lost workers: a local worker died: relaxation-1 with exit code -9" in reason


def test_workers_that_cannot_live_raise_with_their_log(config_folder: Path, fresh_mongo_uri: str) -> None:
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1) as local:
        (config_folder / "my_fworker_relaxation.yaml").unlink()
        os.kill(local.pids["relaxation-1"], signal.SIGKILL)

        def check_forever() -> None:
            while True:
                local.check()
                time.sleep(0.1)

        with pytest.raises(
            WorkerError, match=r"(?s)relaxation-1 died 5 times.*exit code 1.*my_fworker_relaxation.yaml' does not exist"
        ):
            check_forever()


PARENT = """
import sys, time
from pathlib import Path
from launchpad.service.workers import LocalWorkers
with LocalWorkers(Path(sys.argv[1]), sys.argv[2], relaxation_workers=1) as local:
    print(*local.pids.values(), flush=True)
    time.sleep(600)
"""


def test_workers_die_with_a_killed_command_and_the_next_run_recovers(
    config_folder: Path, launchpad: LaunchPad, fresh_mongo_uri: str, tmp_path: Path
) -> None:
    script = ScriptTask.from_str(f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.1; done")
    fw_id = next(iter(launchpad.add_wf(Firework(script, spec={"_category": "relaxation"})).values()))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(config_folder), fresh_mongo_uri], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    _wait(lambda: _state(launchpad, fw_id) == "RUNNING")
    _wait(lambda: psutil.Process(pids[0]).children())
    children = [child.pid for child in psutil.Process(pids[0]).children(recursive=True)]
    # a live worker of another command is left alone
    assert recover_lost_runs(launchpad, config_folder / "launches", reason="none") == []
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1) as second:
        assert sorted(second.pids) == ["relaxation-2", "training-2"]
    assert _state(launchpad, fw_id) == "RUNNING"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _wait(lambda: all(_gone(pid) for pid in pids + children))
    assert _state(launchpad, fw_id) == "RUNNING"
    (tmp_path / "go").touch()
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1):
        _wait(lambda: _state(launchpad, fw_id) == "COMPLETED")


def test_what_a_torn_write_leaves_is_repaired(
    config_folder: Path, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fireworks import FWAction, FWorker

    monkeypatch.setattr(recovery, "LOCK_SECONDS", 1.0)
    folder = config_folder / "launches" / "relaxation-1-abcdef"
    folder.mkdir(parents=True)
    (folder / "worker.lock").touch()
    reserved, ended, locked, elsewhere = (_add(launchpad, _firework("count"))[0] for _ in range(4))
    launchpad.fireworks.update_one(
        {"fw_id": reserved}, {"$set": {"state": "RESERVED", "updated_on": datetime.now(UTC) - timedelta(minutes=2)}}
    )
    _, launch_id = launchpad.checkout_fw(FWorker(), str(folder / "launcher_1"), fw_id=ended)
    launchpad.launches.update_one(
        {"launch_id": launch_id}, {"$set": {"state": "COMPLETED", "action": FWAction().to_dict()}}
    )
    launchpad.checkout_fw(FWorker(), str(folder / "launcher_2"), fw_id=locked)
    launchpad.workflows.update_one({"nodes": locked}, {"$set": {"locked": True}})
    launchpad.checkout_fw(FWorker(), str(tmp_path / "launcher_3"), fw_id=elsewhere)
    assert recover_lost_runs(launchpad, config_folder / "launches", reason="killed") == [locked]
    assert [_state(launchpad, fw_id) for fw_id in (reserved, ended, locked, elsewhere)] == [
        "READY",
        "COMPLETED",
        "READY",
        "RUNNING",
    ]
    assert launchpad.workflows.count_documents({"locked": True}) == 0


def test_a_lock_that_a_worker_elsewhere_left_is_broken(
    config_folder: Path, launchpad: LaunchPad, fresh_mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "TORN_SECONDS", 1.0)
    (fw_id,) = _add(launchpad, _firework("count", category="elsewhere", spec={"campaign_id": "c"}))
    _, launch_id = launchpad.checkout_fw(FWorker(), "/elsewhere", fw_id=fw_id)
    with LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1) as local:
        done = {"state": "COMPLETED", "action": FWAction().to_dict()}
        launchpad.workflows.update_one({"nodes": fw_id}, {"$set": {"locked": True}})
        launchpad.launches.update_one({"launch_id": launch_id}, {"$set": done})
        local.check()
        assert launchpad.workflows.count_documents({"locked": True}) == 1  # it may be a live worker's
        _wait(lambda: local.check() == [] and _state(launchpad, fw_id) == "COMPLETED", seconds=40)
    assert launchpad.workflows.count_documents({"locked": True}) == 0


def test_a_lock_is_broken_only_where_it_was_held_before_and_nothing_changed(launchpad: LaunchPad) -> None:
    stale, live, new = (_add(launchpad, _firework("count"))[0] for _ in range(3))
    launchpad.workflows.update_many({"nodes": {"$in": [stale, live]}}, {"$set": {"locked": True}})
    held = recovery.sweep(launchpad, {})
    assert len(held) == 2
    launchpad.workflows.update_one({"nodes": live}, {"$set": {"updated_on": datetime.now(UTC)}})
    launchpad.workflows.update_one({"nodes": new}, {"$set": {"locked": True}})
    recovery.sweep(launchpad, held)
    locked = launchpad.workflows.find({"locked": True}, {"nodes": 1})
    assert sorted(workflow["nodes"] for workflow in locked) == [[live], [new]]


def test_a_silent_checkout_that_was_torn_is_made_ready_and_a_job_that_waits_is_left_alone(launchpad: LaunchPad) -> None:
    torn, queued, begun = (_add(launchpad, _firework("count", spec={"campaign_id": "c"}))[0] for _ in range(3))
    for fw_id in (queued, begun):
        launchpad.reserve_fw(FWorker(), "/queue", fw_id=fw_id)
    before = {fw_id: launchpad.fireworks.find_one({"fw_id": fw_id}) for fw_id in (torn, begun)}
    for fw_id, firework in before.items():
        launchpad.checkout_fw(FWorker(), "/elsewhere", fw_id=fw_id)
        # as if its worker had died when the launch was written, and not yet that the Firework runs
        launchpad.fireworks.replace_one({"fw_id": fw_id}, {**firework, "state": "RESERVED"})
    assert recovery.recover_silent_runs(launchpad) == []
    assert recovery.recover_silent_runs(launchpad, silent=-60) == [torn, begun]
    assert [_state(launchpad, fw_id) for fw_id in (torn, queued, begun)] == ["READY", "RESERVED", "READY"]
    states = {launch["fw_id"]: launch["state"] for launch in launchpad.launches.find()}
    assert states == {torn: "FIZZLED", queued: "RESERVED", begun: "FIZZLED"}


def test_sigterm_waits_for_a_write_to_the_launchpad(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys, threading, time
from launchpad.service import workers
from fireworks.core import launchpad
lines = ["def complete_launch():", " print('ready', flush=True)", " time.sleep(1.0)", " print('written', flush=True)"]
source = compile(chr(10).join(lines), launchpad.__file__, "exec")
space = {{"time": time}}
exec(source, space)
import fireworks.scripts.rlaunch_run as run
def rlaunch(arguments):
    space['complete_launch']()
    time.sleep(600)
run.rlaunch = rlaunch
workers.main([str(os.getppid()), {str(tmp_path)!r}])
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.communicate(timeout=60)[0] == "written\n"
    assert process.returncode == -signal.SIGKILL


def test_wrong_numbers_and_double_starts_are_refused(config_folder: Path, fresh_mongo_uri: str) -> None:
    with pytest.raises(ValueError, match="relaxation_workers must be at least 1, got 0"):
        LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=0)
    local = LocalWorkers(config_folder, fresh_mongo_uri, relaxation_workers=1)
    with pytest.raises(RuntimeError, match="do not run"):
        local.check()
    with local, pytest.raises(RuntimeError, match="run already"):
        local.start()


def test_a_database_that_dies_is_named_and_the_workers_go_on_when_it_is_back(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", mongo_uri=None)
    uri = f"{ensure_mongo(settings)}&serverSelectionTimeoutMS=5000"
    folder = write_config(tmp_path / "config", uri)
    try:
        with LocalWorkers(folder, uri, relaxation_workers=1) as local:
            server = psutil.Process(mongo_status(settings).pid)
            server.kill()
            server.wait(timeout=10)

            def check_until_noticed() -> None:
                while True:
                    local.check()
                    time.sleep(0.1)

            with pytest.raises(MongoError, match="MongoDB does not answer any more"):
                check_until_noticed()
            assert uri.startswith(ensure_mongo(settings))
            launchpad = open_launchpad(folder)
            (fw_id,) = _add(launchpad, _firework("count"))
            local.check()
            _wait(lambda: local.check() is not None and _state(launchpad, fw_id) == "COMPLETED")
    finally:
        stop_local_mongo(settings)


def test_a_workflow_that_says_other_than_its_fireworks_is_repaired(launchpad: LaunchPad) -> None:
    parent = _firework("count")
    child = _firework("count", parents=[parent], spec={"_allow_fizzled_parents": True})
    ids = launchpad.add_wf(Workflow([parent, child], metadata={"campaign_id": "c"}))
    parent_id, child_id = (ids.get(firework.fw_id, firework.fw_id) for firework in (parent, child))
    _, launch_id = launchpad.checkout_fw(FWorker(), "/nowhere", fw_id=parent_id)
    before = launchpad.workflows.find_one({"nodes": parent_id})
    launchpad.complete_launch(launch_id, FWAction(), "COMPLETED")
    launchpad.workflows.replace_one({"_id": before["_id"]}, before)  # as if its worker had died between the writes
    launchpad.fireworks.update_one({"fw_id": child_id}, {"$set": {"state": "WAITING"}})
    recovery.repair(launchpad, recovery.UNFINISHED)
    assert [_state(launchpad, parent_id), _state(launchpad, child_id)] == ["COMPLETED", "READY"]


def test_a_firework_that_is_being_checked_out_is_left_alone(launchpad: LaunchPad) -> None:
    (fw_id,) = _add(launchpad, _firework("count", spec={"campaign_id": "c"}))
    write_launch = launchpad.get_new_launch_id

    def swept_meanwhile() -> int:
        assert _state(launchpad, fw_id) == "RESERVED"  # and no launch yet
        recovery.sweep(launchpad, {})
        recovery.repair(launchpad, {})
        assert launchpad.checkout_fw(FWorker(), "/another") == (None, None)
        return int(write_launch())

    launchpad.get_new_launch_id = swept_meanwhile
    launchpad.checkout_fw(FWorker(), "/one", fw_id=fw_id)
    assert _state(launchpad, fw_id) == "RUNNING"
    assert launchpad.launches.count_documents({"fw_id": fw_id}) == 1


def test_a_run_without_a_sign_of_life_is_made_ready_and_starts_no_child(launchpad: LaunchPad) -> None:
    parent = _firework("count", spec={"campaign_id": "c"})
    child = _firework("count", parents=[parent], spec={"campaign_id": "c", "_allow_fizzled_parents": True})
    parent_id, child_id = _add(launchpad, parent, child)
    launchpad.checkout_fw(FWorker(), "/elsewhere", fw_id=parent_id)
    assert recovery.recover_silent_runs(launchpad) == []
    assert recovery.recover_silent_runs(launchpad, silent=-60) == [parent_id]
    assert [_state(launchpad, parent_id), _state(launchpad, child_id)] == ["READY", "WAITING"]
    (launch,) = launchpad.launches.find({"fw_id": parent_id})
    assert launch["state"] == "FIZZLED"
    assert "no sign of life" in launch["action"]["stored_data"]["_message"]
