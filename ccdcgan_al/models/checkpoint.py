"""The state of a training on disk, and its log for TensorBoard. It knows keras variables by name, and no algorithm."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Checkpoint:
    """Variables of a training and how many steps it has done, in one file that is whole or not there.

    Parameters
    ----------
    path : file; None: nothing is kept
    variables : name of a part -> its variables, optimisers' and random states among them
    """

    def __init__(self, path: Path | None, variables: Mapping[str, Sequence[Any]]) -> None:
        self.path = path
        self._variables = {f"{part}-{i:03d}": v for part, found in variables.items() for i, v in enumerate(found)}

    def save(self, step: int) -> None:
        """Write the state after `step` steps."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        arrays = {name: np.asarray(variable) for name, variable in self._variables.items()}
        np.savez(buffer, allow_pickle=False, step=np.array(step), **arrays)
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        partial.write_bytes(buffer.getvalue())
        partial.replace(self.path)

    def restore(self) -> int:
        """Set the variables to what was saved and return its step; 0 where nothing fits, with a warning where a file is there."""
        if self.path is None or not self.path.is_file():
            return 0
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                saved = {name: archive[name] for name in archive.files}
            step = int(saved.pop("step"))
            if {name: value.shape for name, value in saved.items()} != {n: v.shape for n, v in self._variables.items()}:
                raise ValueError("it holds other variables")  # noqa: TRY301  one message for all that is wrong with the file
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            warnings.warn(f"{self.path} is no checkpoint of this training ({error}): it starts anew", stacklevel=2)
            return 0
        for name, variable in self._variables.items():
            variable.assign(saved[name])
        return step

    def remove(self) -> None:
        """Delete the file where it is."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def scalar_log(folder: Path | None) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Write scalars that TensorBoard shows; needs TensorFlow, not TensorBoard.

    Parameters
    ----------
    folder : where the event file goes; None: nothing is written

    Yields
    ------
    function of the step and name -> value
    """
    if folder is None:
        yield lambda _step, _values: None
        return
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))
    kind = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"))

    def log(step: int, values: Mapping[str, float]) -> None:
        with writer.as_default():
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), step=step, metadata=kind)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()
