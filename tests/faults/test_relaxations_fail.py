"""Relaxations that fail, and Fireworks that fizzle: the round closes without them, and says so."""

from __future__ import annotations

import pytest

from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.seeds.starting import FURTHER
from tests.faults.scene import SMALL, Scene

pytestmark = pytest.mark.slow


def test_the_round_closes_without_what_failed_or_fizzled_and_says_how_many(scene: Scene) -> None:
    scene.environment.setenv("FAULTS_FAIL", "Bi-Se-r0-000[23]|Bi-Se-r1-0000")
    scene.environment.setenv("FAULTS_FIZZLE", "Bi-Se-r0-0005|Bi-Se-r1-0002")
    report = scene.run()
    assert report["state"] == "completed"
    rounds = report["rounds"]
    assert [item["failed"] for item in rounds] == [3, 2]
    assert [item["relaxed"] for item in rounds] == [SMALL.seed_count - 3, 1]
    assert [item["failures"] for item in rounds] == [{"lost": 1, "unphysical": 2}, {"lost": 1, "unphysical": 1}]
    failed = {
        document["structure_id"]: document for document in scene.store.documents(SMALL.campaign_id, state="failed")
    }
    assert sorted(failed) == [f"Bi-Se-r0-000{i}" for i in (2, 3, 5)] + [f"Bi-Se-r1-000{i}" for i in (0, 2)]
    assert failed["Bi-Se-r0-0002"]["message"] == "told to fail"
    assert "fizzled" in failed["Bi-Se-r0-0005"]["message"]


def test_a_campaign_whose_start_fails_as_a_whole_stops_and_does_not_spin(scene: Scene) -> None:
    scene.environment.setenv("FAULTS_FAIL", "Bi-Se-r0-.*")
    tried = SMALL.seed_count + 2 * FURTHER  # and what may still give a structure of either element
    wanted = rf"stopped: round 0: every relaxation failed \(unphysical: {tried}\)"
    with pytest.raises(CcdcganError, match=wanted):
        scene.run()
    assert [(item["relaxed"], item["failed"]) for item in scene.counts()] == [(0, tried)]
    assert len(scene.launches()) == tried + 2  # once each, and two closing jobs
    with pytest.raises(CcdcganError, match=wanted):
        scene.run()  # the same command again
    assert len(scene.launches()) == tried + 2


def test_a_round_that_fails_as_a_whole_stops_the_campaign(scene: Scene) -> None:
    scene.environment.setenv("FAULTS_FAIL", "Bi-Se-r1-.*")
    report = scene.run()
    assert (report["state"], report["reason"]) == ("stopped", "round 1: every relaxation failed (unphysical: 3)")
    assert [item["relaxed"] for item in report["rounds"]] == [SMALL.seed_count, 0]
    assert {launch["state"] for launch in scene.launches()} == {"COMPLETED"}
    assert len(scene.launches()) == scene.launchpad().fireworks.count_documents({})  # once each
