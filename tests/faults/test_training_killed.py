"""A training worker that dies in training, and after it: the rerun trains the same networks and draws the same structures."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.scene import SMALL, Scene, drop

pytestmark = pytest.mark.slow

TRAINED = replace(SMALL, strategy="dcgan", rounds=1, generated_per_round=300)  # of which two are new and valid


def test_training_worker_killed_in_training(mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTS_GAN_STEPS", "1000")
    found = []
    for name in ("undisturbed", "killed"):
        uri = f"{mongo_uri.rsplit('/', 1)[0]}/faults_{uuid.uuid4().hex[:12]}"
        (tmp_path / name).mkdir()
        scene = Scene(tmp_path / name, uri, monkeypatch, TRAINED)

        if name == "killed":
            monkeypatch.setenv("CCDCGAN_AL_TRAINING_FOLDER", str(tmp_path / "training"))
            points = (
                "ccdcgan_al.models.callbacks:TrainingCheckpoint.on_epoch_end:after:1",  # its rerun goes on from there
                "ccdcgan_al.models.gan:GraphGenerator.fit:after:1",
            )
            marks = scene.die_at(*(f"training|{point}" for point in points))
            scene.run()
            assert len(list(marks.iterdir())) == len(points)
            assert list((tmp_path / "training").glob("log-*"))  # the training did use the folder
        else:
            scene.run()
        models = scene.store.models.hashes(TRAINED.campaign_id)
        found.append((scene.recorded(), scene.counts(), sorted(models)))
        for model in scene.store.models.documents.find():
            assert len(scene.store.models.files.get(model["sha256"]).read()) == model["bytes"]
        drop(uri)
    assert found[0] == found[1]
    assert len(found[0][0]) > TRAINED.seed_count  # something was generated
