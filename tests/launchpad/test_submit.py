"""`init`, `submit`, `stop` and `campaigns` on a real mongod, and a campaign whose workers are plain `rlaunch` processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ccdcgan_al.campaign import Campaign
from launchpad.batches import relaxation_counts, workflows_of
from launchpad.cli.main import app
from launchpad.database.campaigns import ASKED_TO_STOP
from launchpad.database.store import CampaignStore
from launchpad.driver import stop_campaign, submit
from launchpad.service.configure import TEMPLATES, address_of, open_launchpad

SMALL = [
    "Bi-Se",
    "--strategy",
    "random",
    "--seed-count",
    "4",
    "--per-round",
    "2",
    "--rounds",
    "1",
    "--method",
    "chgnet",
]


def command(*arguments: str) -> str:
    """Output of a command that must succeed."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path, fresh_mongo_uri: str) -> Path:
    command("init", str(tmp_path / "group"), "--mongo", fresh_mongo_uri)
    return tmp_path / "group"


def test_init_writes_all_files_and_says_that_they_connect(tmp_path: Path, fresh_mongo_uri: str) -> None:
    said = command("init", str(tmp_path / "group"), "--mongo", fresh_mongo_uri)
    assert [name for name in TEMPLATES if f"{tmp_path}/group/{name}: written" not in said] == []
    assert " answers at mongodb://127.0.0.1" in said
    assert "LaunchPad: 0 workflows" in said
    assert "queue: SLURM" in said


def test_init_keeps_what_was_edited_unless_forced(folder: Path, fresh_mongo_uri: str) -> None:
    path = folder / "my_qadapter_relaxation.yaml"
    mine = path.read_text().replace("queue: null", "queue: cheap")
    path.write_text(mine)
    said = command("init", str(folder), "--mongo", fresh_mongo_uri)
    assert f"{path}: kept, because you edited it" in said
    assert path.read_text() == mine
    said = command("init", str(folder), "--mongo", fresh_mongo_uri, "--force")
    assert f"{path}: overwritten; your edited file is now my_qadapter_relaxation.yaml.bak" in said
    assert "queue: null" in path.read_text()
    assert (folder / "my_qadapter_relaxation.yaml.bak").read_text() == mine


def test_init_does_not_overwrite_a_groups_own_launchpad(tmp_path: Path, fresh_mongo_uri: str) -> None:
    theirs = tmp_path / "my_launchpad.yaml"
    theirs.write_text("host: db.example.org\nname: ours\n")
    result = CliRunner().invoke(app, ["init", str(tmp_path), "--mongo", fresh_mongo_uri])
    assert result.exit_code == 1
    assert "was edited and does not name mongodb://127.0.0.1" in result.output
    assert theirs.read_text() == "host: db.example.org\nname: ours\n"


@pytest.mark.parametrize("queue", ["pbs", "sge"])
def test_other_queues(tmp_path: Path, fresh_mongo_uri: str, queue: str) -> None:
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

    folder = tmp_path / "a b"
    assert f"queue: {queue.upper()}" in command("init", str(folder), "--mongo", fresh_mongo_uri, "--queue", queue)
    for kind, cores in (("", 4), ("_relaxation", 1), ("_training", 4)):
        script = CommonAdapter.from_dict(
            yaml.safe_load((folder / f"my_qadapter{kind}.yaml").read_text())
        ).get_script_str("/launch")
        assert "$$" not in script
        assert (f"nodes=1:ppn={cores}" if queue == "pbs" else f"#$ -pe smp {cores}") in script
        assert f"-w '{folder}'/my_fworker{kind}.yaml rapidfire" in script
        assert script.index("/environment.sh || exit 1") < script.index("rlaunch -c")
    command("init", str(folder), "--mongo", fresh_mongo_uri)  # without --queue it stays what it was
    assert f"_fw_q_type: {queue.upper()}" in (folder / "my_qadapter.yaml").read_text()


def test_init_refuses_an_unknown_queue_and_a_broken_file(folder: Path, fresh_mongo_uri: str) -> None:
    result = CliRunner().invoke(app, ["init", str(folder), "--mongo", fresh_mongo_uri, "--queue", "lsf"])
    assert "unknown queue 'lsf': use one of slurm, pbs, sge" in result.output
    (folder / "my_qadapter.yaml").write_text("_fw_name: [")
    result = CliRunner().invoke(app, ["init", str(folder), "--mongo", fresh_mongo_uri])
    assert result.exit_code == 1
    assert "my_qadapter.yaml cannot be read" in result.output
    assert "Traceback" not in result.output


def test_submit_puts_a_campaign_there_once_and_returns(folder: Path) -> None:
    said = command("submit", *SMALL, "-c", str(folder))
    assert "submitted" in said
    assert f"rlaunch -c {folder} rapidfire" in said
    assert "there already, running" in command("submit", *SMALL, "-c", str(folder))
    store, launchpad = CampaignStore(address_of(folder)), open_launchpad(folder)
    (campaign_id,) = store.campaign_ids()
    (workflow,) = workflows_of(launchpad, campaign_id)
    assert (workflow["name"], workflow["state"], len(workflow["nodes"])) == (f"{campaign_id} round 0", "READY", 5)
    assert campaign_id in command("campaigns", "-c", str(folder))


@pytest.mark.slow
def test_submitting_imports_neither_tensorflow_nor_torch(folder: Path) -> None:
    code = (
        "import json, sys; from typer.testing import CliRunner; from launchpad.cli.main import app\n"
        f"result = CliRunner().invoke(app, ['submit', *{SMALL!r}, '-c', {str(folder)!r}]); assert result.exit_code == 0, result.output\n"
        "print(json.dumps(sorted({'tensorflow', 'keras', 'torch', 'sevenn', 'chgnet'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert json.loads(done.stdout) == []


def test_two_commands_that_submit_at_the_same_moment_make_one_campaign(folder: Path) -> None:
    campaign = Campaign("Bi-Se", strategy="random", seed_count=4, per_round=2, rounds=1)
    open_launchpad(folder)
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda _: submit(campaign, CampaignStore(address_of(folder))), range(4)))
    assert sorted(new) == [False, False, False, True]
    launchpad = open_launchpad(folder)
    assert len(workflows_of(launchpad, campaign.campaign_id)) == 1
    assert launchpad.fireworks.count_documents({}) == 5


def test_a_submission_that_was_killed_is_completed_by_the_next(folder: Path) -> None:
    command("submit", *SMALL, "-c", str(folder))
    launchpad = open_launchpad(folder)
    launchpad.fireworks.delete_many({"fw_id": {"$gt": 2}})
    command("submit", *SMALL, "-c", str(folder))
    assert launchpad.fireworks.count_documents({}) == 5


def test_stop_withdraws_what_was_not_begun(folder: Path) -> None:
    command("submit", *SMALL, "-c", str(folder))
    store = CampaignStore(address_of(folder))
    (campaign_id,) = store.campaign_ids()
    said = command("stop", campaign_id, "-c", str(folder))
    assert "4 relaxations that nobody had begun are withdrawn, 0 that run are recorded when they end" in said
    assert store.state(campaign_id) == ASKED_TO_STOP
    assert {document["state"] for document in store.documents(campaign_id)} == {"withdrawn"}
    launchpad = open_launchpad(folder)
    assert relaxation_counts(launchpad, campaign_id) == (0, 0)
    assert all(workflow["ended"] for workflow in workflows_of(launchpad, campaign_id))
    assert "is stopped already: asked to stop" in command("stop", campaign_id, "-c", str(folder))
    assert "there already, stopped: asked to stop" in command("submit", *SMALL, "-c", str(folder))
    assert "asked to stop" in command("campaigns", "-c", str(folder))


def test_stop_of_no_campaign_is_one_line(folder: Path) -> None:
    result = CliRunner().invoke(app, ["stop", "Bi-Se-nothing", "-c", str(folder)])
    assert result.exit_code == 1
    assert result.output.strip().startswith("error: no campaign 'Bi-Se-nothing'")


@pytest.mark.slow
def test_rlaunch_alone_runs_a_campaign_and_a_stop_records_what_had_begun(folder: Path) -> None:
    command("submit", *SMALL, "-c", str(folder))
    store, launchpad = CampaignStore(address_of(folder)), open_launchpad(folder)
    (campaign_id,) = store.campaign_ids()
    script = f"source {folder}/environment.sh && exec {Path(sys.executable).parent}/rlaunch -c {folder}"

    def rlaunch(arguments: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(["bash", "-c", f"{script} {arguments}"], cwd=folder, env=environment, check=True, timeout=600)

    rlaunch("singleshot")
    stop_campaign(store, launchpad, campaign_id)
    rlaunch("rapidfire --max_loops 1")
    states = [document["state"] for document in store.documents(campaign_id)]
    assert states == ["relaxed", "withdrawn", "withdrawn", "withdrawn"]
    assert store.state(campaign_id) == ASKED_TO_STOP
    assert [workflow["name"] for workflow in workflows_of(launchpad, campaign_id)] == [f"{campaign_id} round 0"]

    command("submit", *SMALL, "--budget", "5", "-c", str(folder))
    other = store.campaign_ids()[-1]
    rlaunch("rapidfire --max_loops 1")
    assert store.state(other) == ("completed", "1 round done")
    assert [item["submitted"] for item in store.round_documents(other)] == [4, 1]
    assert {workflow["state"] for workflow in workflows_of(launchpad, other)} == {"COMPLETED"}
