"""What is done twice: submission, the closing of a round, a record, a rerun Firework."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from launchpad.batches import workflows_of
from launchpad.database.store import CampaignStore
from launchpad.driver import submit
from launchpad.service.configure import write_config
from launchpad.service.workers import LocalWorkers
from tests.faults.conftest import Undisturbed
from tests.faults.scene import SMALL, Scene


def test_two_commands_that_submit_at_once_make_one_campaign(scene: Scene) -> None:
    write_config(scene.config, scene.mongo_uri)
    scene.launchpad()
    commands = 3
    together, raised = threading.Barrier(commands), []
    added: list[bool] = []

    def command() -> None:
        store = CampaignStore(scene.mongo_uri)
        together.wait()
        try:
            added.append(submit(SMALL, store))
        except BaseException as error:  # noqa: BLE001 - asserted in the test's thread
            raised.append(error)

    threads = [threading.Thread(target=command) for _ in range(commands)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert sorted(added) == [False] * (commands - 1) + [True]
    launchpad = scene.launchpad()
    (workflow,) = workflows_of(launchpad, SMALL.campaign_id)
    fireworks = list(launchpad.fireworks.find({}, {"fw_id": 1, "spec": 1}))
    assert sorted(firework["fw_id"] for firework in fireworks) == sorted(workflow["nodes"])
    assert len(fireworks) == SMALL.seed_count + 1
    assert scene.store.campaigns.count_documents({}) == 1
    assert scene.store.structures.count_documents({}) == SMALL.seed_count
    jobs = {firework["fw_id"]: firework["spec"]["_tasks"][0]["job"] for firework in fireworks}
    closing = next(job for job in jobs.values() if job["name"].startswith("close"))
    wanted = {reference["uuid"] for reference in closing["function_kwargs"]["relaxations"].values()}
    assert wanted == {job["uuid"] for job in jobs.values()} - {closing["uuid"]}  # whoever put it there


@pytest.mark.slow
def test_two_workers_close_the_same_round_at_once(scene: Scene, undisturbed: Undisturbed) -> None:
    scene.environment.setenv("FAULTS_SLOW", "launchpad.database.store:CampaignStore.save_hull:4")

    def disturb() -> None:
        scene.wait_for_closing("round 0")
        other = scene.rlaunch("training")
        closing = scene.closing("round 0")
        scene.lpad("rerun_fws", "-i", str(closing))  # while it runs
        scene.wait_for(lambda: len(scene.launches(fw_id=closing)) == 2)
        scene.wait_for(lambda: all(launch["state"] == "COMPLETED" for launch in scene.launches(fw_id=closing)))
        scene.wait_for(lambda: scene.known(closing, "COMPLETED"))
        other.send_signal(signal.SIGKILL)
        other.wait()
        time.sleep(2)  # it may have begun to close the next round
        for lost in scene.launches(state="RUNNING", launch_dir={"$regex": "/elsewhere-training/"}):
            scene.lpad("detect_lostruns", "--time", "1", "--rerun", "-q", f'{{"fw_id": {lost["fw_id"]}}}')

    scene.run(disturb)
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts


@pytest.mark.slow
def test_a_closing_that_is_fizzled_and_rerun_seconds_later_does_not_end_the_command(
    scene: Scene, undisturbed: Undisturbed
) -> None:
    scene.environment.setenv("FAULTS_SLOW", "launchpad.database.store:CampaignStore.save_hull:10")

    def disturb() -> None:
        scene.wait_for(lambda: scene.state_of_closing("round 0") == "RUNNING")
        closing = scene.closing("round 0")
        (launch,) = scene.launches(fw_id=closing)
        scene.launchpad().mark_fizzled(launch["launch_id"])  # what `lpad detect_lostruns --rerun` does first
        assert all(found["ended"] for found in workflows_of(scene.launchpad(), SMALL.campaign_id))
        time.sleep(3)  # several looks of the command, which sees nothing that would go on
        scene.lpad("rerun_fws", "-i", str(closing))

    scene.run(disturb)
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts


@pytest.mark.slow
def test_fireworks_that_are_run_again_after_the_end_change_nothing(scene: Scene, undisturbed: Undisturbed) -> None:
    scene.run()
    launchpad = scene.launchpad()
    relaxation = launchpad.fireworks.find_one({"spec.structure_id": "Bi-Se-r1-0001", "spec.stage": "round 1"})["fw_id"]
    for fw_id in (scene.closing("round 0"), relaxation, scene.closing("confirmation")):
        scene.lpad("rerun_fws", "-i", str(fw_id))
    with LocalWorkers(scene.config, scene.mongo_uri, relaxation_workers=1) as local:
        deadline = time.monotonic() + 120
        while not all(found["ended"] for found in workflows_of(launchpad, SMALL.campaign_id)):
            local.check()
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts
    assert scene.store.state(SMALL.campaign_id)[0] == "completed"
    assert launchpad.fireworks.count_documents({}) == sum(
        len(found["nodes"]) for found in workflows_of(launchpad, SMALL.campaign_id)
    )


@pytest.mark.slow
def test_a_run_lost_elsewhere_is_found_and_rerun_by_lpad(scene: Scene, undisturbed: Undisturbed) -> None:
    scene.environment.setenv("FAULTS_SECONDS", "3")  # so that something is left for a worker that takes long to start

    def disturb() -> None:
        scene.wait_for(lambda: scene.workers("relaxation"))
        other = scene.rlaunch("relaxation")
        elsewhere = {"state": "RUNNING", "launch_dir": {"$regex": "/elsewhere-relaxation/"}}
        scene.wait_for(lambda: any(scene.known(run["fw_id"], "RUNNING") for run in scene.launches(**elsewhere)))
        other.send_signal(signal.SIGKILL)
        other.wait()
        lost = scene.launches(**elsewhere)
        assert len(lost) == 1
        time.sleep(2)
        scene.lpad("detect_lostruns", "--time", "1", "--rerun", "-q", f'{{"fw_id": {lost[0]["fw_id"]}}}')

    scene.run(disturb)
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts
