"""Keras callbacks for a training of `Ccdcgan`: a measurement of the draws' diversity, and a checkpoint. They train nothing.

`TrainingCheckpoint` exists in addition to Keras' `BackupAndRestore` (Keras 3.15, measured) for these reasons. `BackupAndRestore` resumes bit for
bit, with averaged weights, optimisers, noise and dropout, if nothing is killed during its write. But

- it writes weights in place. Of 12 trainings that saved after every second step and were killed at a random time, 8 could not start again (OSError).
  With ``double_checkpoint=True`` all 12 could start again, but each file needs a second copy.
- it keeps the number of the epoch in a second file. After a kill between the two writes, the weights of epoch n + 1 have the number n, so one epoch
  is trained twice. After a kill during the second write, the file is empty and each later start fails (JSONDecodeError). In neither case does
  ``double_checkpoint`` help.
- it does not state the position in the data before `fit` begins.

`TrainingCheckpoint` writes one Keras weights file and then renames it. After 60 kills during a save, the file was complete or did not exist. It
contains the number of steps as the iterations of the optimiser. Unlike an .npz file, HDF5 has no checksum: a truncated file is refused, but a
flipped bit in a weight is not noticed.

This module imports keras.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.models.ccdcgan import Ccdcgan
from ccdcgan_al.models.diversity import measure_diversity
from ccdcgan_al.models.gan_networks import latent_points


class DiversityMonitor(keras.callbacks.Callback):
    """Adds the values of `Diversity` to the logs of each epoch. Later callbacks such as `TensorBoard` and `EarlyStopping` find them there.

    The values are those of the weights in training, not of their moving average.

    Parameters
    ----------
    graphs : numpy.ndarray
        Training graphs, float (n, side, side, 1).
    draws : int
        Number of graphs drawn for a measurement.
    seed : int
        Random seed of these draws. It is the same for each measurement.
    """

    def __init__(self, graphs: NDArray[np.floating], draws: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.graphs = graphs
        self.draws = draws
        self.seed = seed

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002  keras names it
        """Draw and measure. The values go into `logs`."""
        generator = self.model.generator
        z = latent_points(self.draws, self.seed, generator.input_shape[-1])
        drawn = generator.predict(z, verbose=0, batch_size=256)
        if logs is not None:
            logs.update(asdict(measure_diversity(drawn, self.graphs)))


class TrainingCheckpoint(keras.callbacks.Callback):
    """Keeps the state of a training of `Ccdcgan` in one Keras weights file, which is always complete if it exists.

    The file is written at the end of each epoch except the last, and deleted at the end of the training. It contains all of `Ccdcgan.training_state`.
    `Ccdcgan.steps_done` then gives the position in the data.

    Parameters
    ----------
    path : Path
        Weights file, ``*.weights.h5``. Its name must identify the training, because any file of this name is used.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def restore(self, model: Ccdcgan) -> None:
        """Load the state from the file, if there is one. If the file cannot be read, the model is not changed, and a warning is given."""
        if not self.path.is_file():
            return
        before = [variable.numpy() for variable in model.training_state]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "error", message="Skipping variable loading"
                )  # of an optimiser that does not fit
                model.load_weights(self.path)
        except (OSError, ValueError, KeyError, RuntimeError, UserWarning) as error:
            reason = str(error).partition("\n")[0]
            warnings.warn(f"{self.path} is no checkpoint of this training ({reason}): it starts anew", stacklevel=2)
            for variable, value in zip(model.training_state, before, strict=True):
                variable.assign(value)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002  keras names it
        """Write the state to a temporary file, then replace the file."""
        if epoch + 1 == self.params["epochs"]:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name.removesuffix('.weights.h5')}.{os.getpid()}.weights.h5")
        self.model.save_weights(partial)
        partial.replace(self.path)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002  keras names it
        """Delete the file."""
        self.path.unlink(missing_ok=True)
