"""Seconds and disk that training takes, on made-up energies: the cost is that of the arithmetic, not of what is learnt."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from ccdcgan_al.benchmarks.outcome import Outcome, timed
from ccdcgan_al.codec.crystal_codec import CrystalCodec
from ccdcgan_al.seeds.choose import prototype_structures
from ccdcgan_al.strategies.learning import learnable_examples, train_constraint, train_gan
from ccdcgan_al.strategies.proposals import Example

ELEMENTS = ("Bi", "Se")
MAX_DISK = 1.0  # GB; the published scripts need 100
Extra = tuple[str, Callable[[], bytes]]
"""A further model to train: its name, and a function that trains it and returns its bytes."""


def training_structures(count: int, seed: int = 0) -> list[Structure]:
    """AFLOW prototypes of Bi-Se in turn, each copy strained by up to 4 % and its atoms moved by 0.05 Å."""
    prototypes = [prototype.structure for prototype in prototype_structures(ELEMENTS)]
    rng = np.random.default_rng(seed)
    structures = []
    for number in range(count):
        structure = prototypes[number % len(prototypes)].copy()
        structure.apply_strain(rng.uniform(-0.04, 0.04, 3).tolist())
        structure.perturb(0.05, seed=int(rng.integers(2**31)))
        structures.append(structure)
    return structures


def measure_training(count: int = 1000, further: Sequence[Extra] = ()) -> Outcome:
    """Train constraint and GAN at their defaults on `count` structures, with checkpoints and logs on disk.

    Parameters
    ----------
    count : int, default 1000
        Structures to learn from.
    further : sequence of Extra, optional
        Other models to train and to count, the codec's for one.
    """
    structures = training_structures(count)
    energies = np.random.default_rng(1).normal(0, 0.1, count)
    examples = [Example(s, s, float(energy)) for s, energy in zip(structures, energies, strict=True)]
    codec = CrystalCodec.load("fast", ELEMENTS)
    learnable = learnable_examples(codec, examples)
    constraint: Any = None

    def constraint_bytes() -> bytes:
        nonlocal constraint
        constraint = train_constraint(codec, learnable, 0)
        return constraint.to_bytes()

    with tempfile.TemporaryDirectory() as folder:
        most = _MostDisk(Path(folder))

        def gan_bytes(guide: Any) -> bytes:
            return train_gan(codec, learnable, 0, guide, folder=most.folder)[1].to_bytes()

        models: list[Extra] = [
            ("constraint", constraint_bytes),
            ("GAN of dcgan", lambda: gan_bytes(None)),
            ("GAN of ccdcgan", lambda: gan_bytes(constraint)),
            *further,
        ]
        rows = []
        stored = 0
        for name, train in models:
            with timed() as timing, most:
                blob = train()
            stored += len(blob)
            rows.append(
                {
                    "model": name,
                    "structures": len(learnable),
                    "seconds": round(timing.seconds, 1),
                    "cpu seconds": round(timing.cpu_seconds, 1),
                    "stored, MB": round(len(blob) / 1e6, 2),
                    "working files, MB": round(most.largest / 1e6, 2),
                }
            )
        disk = (stored + most.largest) / 1e9
    return Outcome(
        benchmark="train",
        rows=rows,
        ratio=MAX_DISK / disk,
        ratio_of=f"{MAX_DISK:g} GB over the disk used ({disk:.3f} GB: all models, and the largest state of checkpoint and log)",
        goal=">= 1",
        met=disk <= MAX_DISK,
        notes=[
            f"{count} Bi-Se structures: AFLOW prototypes, strained and shaken, {len(learnable)} within the codec's limits; energies are made up",
            "training sets are arrays in memory; no voxel is ever on disk",
        ],
        figures={"disk_gb": disk, "seconds": sum(row["seconds"] for row in rows)},
    )


class _MostDisk:
    """Largest size of a folder's files, looked at every half second while a block runs.

    Parameters
    ----------
    folder : Path
        What to look at.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.largest = 0

    def __enter__(self) -> None:
        import threading

        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            last = self._done.wait(0.5)
            self.largest = max(self.largest, sum(_size(file) for file in self.folder.rglob("*")))
            if last:
                return


def _size(file: Path) -> int:
    """Bytes of a file; 0 of what is none, or is gone."""
    try:
        return file.stat().st_size if file.is_file() else 0
    except FileNotFoundError:
        return 0
