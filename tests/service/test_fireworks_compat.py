"""FireWorks' private parts: each is there as it is relied on, each patch does what it says, and no other module reaches for them."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import fireworks
import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad, ScriptTask, Workflow
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core import rocket
from fireworks.core.launchpad import WFLock
from pymongo.errors import AutoReconnect, OperationFailure

from launchpad.service import fireworks_compat as compat
from launchpad.service.configure import launchpad_at, open_launchpad

ROOT = Path(__file__).resolve().parents[2]
OWNER = Path("launchpad/service/fireworks_compat.py")


@pytest.fixture
def launchpad(config_folder: Path) -> LaunchPad:
    return open_launchpad(config_folder)


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def chain(*names: str) -> Workflow:
    """Make a workflow whose Fireworks follow one another."""
    fws: list[Firework] = []
    for name in names:
        fws.append(Firework([ScriptTask.from_str("true")], name=name, parents=fws[-1:]))
    return Workflow(fws)


def states(launchpad: LaunchPad) -> dict[int, str]:
    return {firework["fw_id"]: firework["state"] for firework in launchpad.fireworks.find().sort("fw_id", 1)}


# the names and signatures


def test_this_is_the_version_that_the_module_is_for() -> None:
    assert fireworks.__version__.startswith(f"{compat.VERSION}.")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (WFLock.__init__, ["self", "lp", "fw_id", "expire_secs", "kill"]),
        (LaunchPad.ping_launch, ["self", "launch_id", "ptime", "checkpoint"]),
        (Firework.to_file, ["self", "filename", "f_format", "kwargs"]),
        (LaunchPad._refresh_wf, ["self", "fw_id"]),
        (LaunchPad._update_wf, ["self", "wf", "updated_ids"]),
        (LaunchPad._restart_ids, ["self", "next_fw_id", "next_launch_id"]),
        (LaunchPad.tuneup, ["self", "bkground"]),
        (LaunchPad.get_wf_by_fw_id_lzyfw, ["self", "fw_id"]),
        (Workflow._reassign_ids, ["self", "old_new"]),
        (Workflow.refresh, ["self", "fw_id", "updated_ids"]),
    ],
    ids=lambda item: getattr(item, "__qualname__", ""),
)
def test_what_is_relied_on_is_there(function: Callable[..., Any], expected: list[str]) -> None:
    assert parameters(function) == expected


def test_the_locks_defaults_are_the_last_two_parameters() -> None:
    defaults = WFLock.__init__.__defaults__
    assert len(defaults) == 2
    assert [type(value) for value in defaults] in ([int, bool], [float, bool])


def test_a_workflow_has_the_parts_that_are_changed() -> None:
    workflow = chain("a", "b")
    first, last = workflow.id_fw
    assert workflow.root_fw_ids == [first]
    assert dict(workflow.links) == {first: [last], last: []}
    assert workflow.links.parent_links == {last: [first]}
    assert set(workflow.fw_states) == {first, last}


def test_the_writes_to_the_launchpad_lie_in_one_file() -> None:
    for method in (LaunchPad.complete_launch, LaunchPad.checkout_fw, LaunchPad._update_wf):
        assert inspect.getsourcefile(method) == fireworks_launchpad.__file__
    assert str(fireworks_launchpad.__file__).endswith(compat.LAUNCHPAD_FILE)


def test_a_rocket_pings_and_writes_its_file_where_a_failure_would_fail_the_firework() -> None:
    assert "launchpad.ping_launch(launch_id)" in inspect.getsource(rocket.do_ping)
    assert 'm_fw.to_file("FW.json"' in inspect.getsource(rocket.Rocket.run)


# the patches of a process


def test_a_lock_is_broken_after_the_wait(launchpad: LaunchPad, monkeypatch: pytest.MonkeyPatch) -> None:
    launchpad.add_wf(chain("a"))
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    monkeypatch.setattr(WFLock.__init__, "__defaults__", (0.3, False))  # FireWorks' own, but for the time
    with pytest.raises(fireworks_launchpad.LockedWorkflowError), WFLock(launchpad, 1):
        pass
    compat.break_stale_locks(0.3)
    with WFLock(launchpad, 1):
        pass
    assert compat.locks(launchpad) == {}


def test_what_is_written_for_information_may_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def lost(*_: Any) -> None:
        raise AutoReconnect("mongodb://me:secret@h is away")

    monkeypatch.setattr(LaunchPad, "ping_launch", lost)
    monkeypatch.setattr(Firework, "to_file", Firework.to_file)  # to be put back
    compat.let_information_fail()
    LaunchPad.ping_launch(None, 1)
    Firework([]).to_file(str(tmp_path / "nowhere" / "FW.json"))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "lost failed: mongodb://me:***@h is away"
    assert second.startswith("to_file failed: ")
    Firework([], name="written").to_file(str(tmp_path / "FW.json"))
    assert "written" in (tmp_path / "FW.json").read_text()


def test_another_failure_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OperationFailure("not authorised")

    monkeypatch.setattr(LaunchPad, "ping_launch", refused)
    monkeypatch.setattr(Firework, "to_file", Firework.to_file)
    compat.let_information_fail()
    with pytest.raises(OperationFailure):
        LaunchPad.ping_launch(None, 1)


# private parts


def test_a_new_launchpad_gets_counters_and_indexes_and_a_used_one_keeps_its_own(fresh_mongo_uri: str) -> None:
    new = launchpad_at(fresh_mongo_uri)
    with pytest.raises(ValueError, match="lpad reset"):
        new.get_new_fw_id()
    compat.initialise(new)
    assert (new.get_new_fw_id(), new.get_new_launch_id()) == (1, 1)
    assert "fw_id_1" in new.fireworks.index_information()
    new.add_wf(chain("a"))
    compat.initialise(new)
    assert new.fw_id_assigner.count_documents({}) == 1
    assert new.get_new_fw_id() > 1
    assert len(states(new)) == 1


def test_two_commands_that_begin_at_the_same_moment_make_one_counter(
    fresh_mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = launchpad_at(fresh_mongo_uri), launchpad_at(fresh_mongo_uri)
    monkeypatch.setattr(one, "tuneup", lambda: compat.initialise(other))  # the other is faster
    compat.initialise(one)
    assert one.fw_id_assigner.count_documents({}) == 1
    assert (one.get_new_fw_id(), other.get_new_fw_id()) == (1, 2)


def test_fireworks_are_numbered_in_order_and_roots_are_ready() -> None:
    workflow = chain("a", "b", "c")
    compat.number(workflow, 7)
    assert [(firework.fw_id, firework.name) for firework in workflow.fws] == [(7, "a"), (8, "b"), (9, "c")]
    assert dict(workflow.links) == {7: [8], 8: [9], 9: []}
    assert workflow.fw_states == {7: "READY", 8: "WAITING", 9: "WAITING"}
    assert workflow.id_fw[7].state == "READY"
    compat.number(workflow, 20)
    assert list(workflow.id_fw) == [20, 21, 22]


def test_a_link_that_is_cut_under_the_lock_stays_cut(launchpad: LaunchPad) -> None:
    launchpad.bulk_add_wfs([chain("a", "b")])
    with compat.locked_workflow(launchpad, 1) as workflow:
        assert len(compat.locks(launchpad)) == 1
        workflow.links[1] = []
        compat.save_workflow(launchpad, workflow, workflow.refresh(2))
    assert compat.locks(launchpad) == {}
    assert dict(launchpad.get_wf_by_fw_id(1).links) == {1: [], 2: []}
    assert states(launchpad) == {1: "READY", 2: "READY"}


def test_a_refresh_tells_a_child_that_its_parent_is_done(launchpad: LaunchPad) -> None:
    launchpad.bulk_add_wfs([chain("a", "b")])
    _, launch = launchpad.checkout_fw(FWorker(), "/nowhere", fw_id=1)
    done = {"state": "COMPLETED", "action": FWAction().to_dict()}
    launchpad.launches.update_one({"launch_id": launch}, {"$set": done})  # and its worker died
    assert states(launchpad) == {1: "RUNNING", 2: "WAITING"}
    compat.refresh(launchpad, 1)
    assert states(launchpad) == {1: "COMPLETED", 2: "READY"}


def test_locks_are_seen_and_taken_away(launchpad: LaunchPad) -> None:
    launchpad.bulk_add_wfs([chain("a"), chain("b")])
    with WFLock(launchpad, 1):
        ((key, updated),) = compat.locks(launchpad).items()
        assert datetime.now(UTC) - datetime.fromisoformat(str(updated)).replace(tzinfo=UTC) < timedelta(minutes=5)
        assert [item["fw_id"] for item in launchpad.fireworks.find(compat.not_locked(launchpad))] == [2]
        assert [item["nodes"] for item in launchpad.workflows.find(compat.UNLOCKED)] == [[2]]
        compat.unlock(launchpad, key)
        assert compat.locks(launchpad) == {}
        assert launchpad.fireworks.count_documents(compat.not_locked(launchpad)) == 2


def test_a_write_to_the_launchpad_is_known_by_its_file(launchpad: LaunchPad, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[FrameType] = []

    def interrupted(_: int) -> None:
        seen.append(sys._getframe())
        raise KeyboardInterrupt

    monkeypatch.setattr(launchpad, "get_launch_by_id", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launchpad.complete_launch(1)
    assert compat.writes_to_launchpad(seen[0])
    assert not compat.writes_to_launchpad(sys._getframe())
    assert not compat.writes_to_launchpad(None)


# nobody else


PRIVATE = {"_refresh_wf", "_update_wf", "_restart_ids", "_reassign_ids", "_upsert_fws", "WFLock", "fw_id_assigner"}


@pytest.mark.parametrize(
    "path",
    [path.relative_to(ROOT) for name in ("launchpad", "workflows") for path in sorted((ROOT / name).rglob("*.py"))],
    ids=str,
)
def test_no_other_module_reaches_into_fireworks(path: Path) -> None:
    """No private name of FireWorks, no document's lock, and nothing assigned to a class of its."""
    if path == OWNER:
        return
    found = []
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        names = {getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "name", None)} & PRIVATE
        names |= {"locked"} & {getattr(node, "value", None) if isinstance(node, ast.Constant) else None}
        targets = node.targets if isinstance(node, ast.Assign) else []
        names |= {
            ast.unparse(target) for target in targets if ast.unparse(target).startswith(("LaunchPad.", "Firework."))
        }
        found += [f"{path}:{getattr(node, 'lineno', 0)} {name}" for name in names]
    allowed = {"launchpad/service/mongod.py": "fw_id_assigner"}  # read once, to see that this user may read
    assert [item for item in found if not item.endswith(allowed.get(str(path), "\n"))] == []
