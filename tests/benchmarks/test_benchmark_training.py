"""The benchmark of training: its structures, and what it counts as disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ccdcgan_al.benchmarks import training
from ccdcgan_al.benchmarks.training import measure_training, training_structures


def test_structures_differ() -> None:
    structures = training_structures(6)
    again = training_structures(6)
    assert structures == again
    assert len({round(structure.volume / len(structure), 4) for structure in structures}) == 6


def test_disk_is_what_was_stored_and_the_largest_working_state(monkeypatch: pytest.MonkeyPatch) -> None:
    class StandIn:
        """Stands in for a trained model of 1,000 bytes."""

        def to_bytes(self) -> bytes:
            return bytes(1000)

    def train_gan(*_: object, folder: Path) -> tuple[np.ndarray, StandIn]:
        file = folder / "gan-0.npz"
        file.write_bytes(bytes(50_000))
        return np.zeros(0), StandIn()

    monkeypatch.setattr(training, "train_constraint", lambda *_: StandIn())
    monkeypatch.setattr(training, "train_gan", train_gan)
    outcome = measure_training(20, [("codec", lambda: bytes(500))])
    assert [row["model"] for row in outcome.rows] == ["constraint", "GAN of dcgan", "GAN of ccdcgan", "codec"]
    assert outcome.figures["disk_gb"] == pytest.approx(53_500 / 1e9)
    assert outcome.met
