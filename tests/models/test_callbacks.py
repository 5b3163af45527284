"""The checkpoint of a training: one file, whole or not there, and never a half-loaded model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ccdcgan_al.models import TrainingCheckpoint
from tests.models.test_ccdcgan import assert_same_state, gan, passes, state

KEEP_SAVING = """
import sys
from pathlib import Path
from ccdcgan_al.models import TrainingCheckpoint
from tests.models.test_ccdcgan import gan
checkpoint = TrainingCheckpoint(Path(sys.argv[1]))
checkpoint.set_model(gan())
checkpoint.set_params({"epochs": 10**6})
for epoch in range(10**6):
    checkpoint.model.noise_drawn.assign(epoch)
    checkpoint.model.discriminator_optimizer.iterations.assign(epoch)
    checkpoint.on_epoch_end(epoch)
    print(epoch, flush=True)
"""


@pytest.mark.usefixtures("eager")
def test_a_file_of_other_networks_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "gan.weights.h5"
    model, other = gan(), gan(published=True)
    model.fit(passes(), verbose=0)
    model.save_weights(path)
    before = state(other)
    with pytest.warns(UserWarning, match=r"gan.weights.h5 is no checkpoint of this training \(.*: it starts anew"):
        TrainingCheckpoint(path).restore(other)
    for one, two in zip(before, state(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_no_file_is_a_fresh_start(tmp_path: Path) -> None:
    model = gan()
    TrainingCheckpoint(tmp_path / "gan.weights.h5").restore(model)
    assert model.steps_done == 0
    assert_same_state(model, gan())


def test_killed_while_it_writes(tmp_path: Path) -> None:
    """Whatever is there after a SIGKILL is a whole checkpoint: the last one or the one after it."""
    path = tmp_path / "gan.weights.h5"
    with subprocess.Popen([sys.executable, "-c", KEEP_SAVING, str(path)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        lines = [run.stdout.readline() for _ in range(3)]
        time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
        written = int([*lines, *run.stdout.read().splitlines()][-1])
    model = gan()
    TrainingCheckpoint(path).restore(model)
    assert model.steps_done - written in {0, 1}
    assert int(model.noise_drawn) == model.steps_done
