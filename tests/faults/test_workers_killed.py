"""Workers that die by SIGKILL: in a relaxation, in a training, anywhere in the closing step of a round."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.conftest import Undisturbed
from tests.faults.scene import SMALL, Scene

pytestmark = pytest.mark.slow

STORE = "launchpad.database.store:CampaignStore"
FIREWORKS = "fireworks.core.launchpad:LaunchPad"


def test_the_undisturbed_campaign_records_everything_once(undisturbed: Undisturbed) -> None:
    rows = undisturbed.recorded
    assert len(rows) == SMALL.seed_count + SMALL.rounds * SMALL.per_round
    assert {row[1] for row in rows.values()} == {"relaxed"}
    assert {row[-1]["relaxation"] for row in rows.values()} == {1}
    assert any("confirmation" in row[-1] for row in rows.values())


@pytest.mark.parametrize("moment", range(2))
def test_relaxation_workers_killed_at_random_moments(scene: Scene, undisturbed: Undisturbed, moment: int) -> None:
    choose = random.Random(moment)
    scene.environment.setenv("FAULTS_SECONDS", "0.4")

    def disturb() -> None:
        scene.wait_for_relaxations(1 + 6 * moment)
        for _ in range(2):
            time.sleep(choose.uniform(0, 1.5))
            scene.kill_worker("relaxation", choose)

    scene.run(disturb)
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts


@pytest.mark.parametrize("moment", range(2))
def test_training_worker_killed_at_random_moments(scene: Scene, undisturbed: Undisturbed, moment: int) -> None:
    choose = random.Random(100 + moment)

    def disturb() -> None:
        for stage in ("round 0", "round 1"):
            scene.wait_for_closing(stage)
            time.sleep(choose.uniform(0, 0.8))  # a close takes about as long
            scene.kill_worker("training", choose)

    scene.run(disturb)
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts


POINTS = {
    "distorts": (f"{STORE}.distorted:after:3", f"{STORE}.starting_structures:before:1"),
    "records": (f"{STORE}.record:before:1", f"{STORE}.record:after:1", f"{STORE}.save_hull:after:2"),
    "opens": (f"{STORE}.submit:after:1", f"{STORE}.open_round:after:1", f"{STORE}.returned:after:2"),
    "puts": ("launchpad.batches:number:before:2", "launchpad.batches:put:after:1", f"{STORE}.close_round:before:2"),
    "completes": (
        f"{FIREWORKS}.complete_launch:before:1",
        f"{FIREWORKS}._upsert_fws:after:3",
        f"{FIREWORKS}._update_wf:after:2",
    ),
}
"""Where the worker that closes rounds dies, one point after the other; a number of 2 is the round after."""


@pytest.mark.parametrize("step", POINTS)
def test_worker_killed_between_the_writes_of_a_close(scene: Scene, undisturbed: Undisturbed, step: str) -> None:
    marks = scene.die_at(*(f"training|{point}" for point in POINTS[step]))
    scene.run()
    assert len(list(marks.iterdir())) == len(POINTS[step])
    assert scene.recorded() == undisturbed.recorded
    assert scene.counts() == undisturbed.counts
    assert len(scene.relaxed()) == len(undisturbed.relaxed)


def test_a_finished_relaxation_is_not_repeated_when_its_worker_dies_before_it_is_sent(
    scene: Scene, undisturbed: Undisturbed
) -> None:
    points = ("jobflow.core.store:JobStore.update:before:1", f"{FIREWORKS}.complete_launch:before:2")
    marks = scene.die_at(*(f"relaxation|{point}" for point in points))
    scene.run()
    assert len(list(marks.iterdir())) == len(points)
    assert scene.recorded() == undisturbed.recorded
    assert sorted(scene.relaxed()) == sorted(undisturbed.relaxed)
