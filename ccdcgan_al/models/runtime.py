"""TensorFlow, set up once per process: quiet, seeded, and with the same result for the same seed. This module builds no network."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.errors import WeightsError

if TYPE_CHECKING:
    import keras


def start(seed: int) -> Any:
    """Seed NumPy, Python and TensorFlow, and switch on deterministic kernels.

    Parameters
    ----------
    seed : int
        Random seed.

    Returns
    -------
    object
        The module keras.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    return keras


def pack_weights(model: keras.Model) -> bytes:
    """Return the weights of a model as an uncompressed .npz archive without pickle and timestamps. The same weights give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{f"w{i:03d}": w for i, w in enumerate(model.get_weights())})
    return buffer.getvalue()


def unpack_weights(model: keras.Model, blob: bytes, sha256: str | None = None) -> None:
    """Load weights from `pack_weights` into a model of the same architecture.

    Parameters
    ----------
    model : keras.Model
        Model whose weights are set.
    blob : bytes
        Archive of `pack_weights`.
    sha256 : str, optional
        Expected SHA-256 of the archive, in hexadecimal digits. None means that it is not compared.

    Raises
    ------
    WeightsError
        If the bytes are truncated or foreign, belong to another architecture, or have another SHA-256.
    """
    found = hashlib.sha256(blob).hexdigest()
    if sha256 is not None and found != sha256:
        raise WeightsError(f"weights have sha256 {found[:12]}..., wanted {sha256[:12]}...: fetch the model again")
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
            weights = [archive[name] for name in sorted(archive.files)]
        model.set_weights(weights)
    except (ValueError, TypeError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{len(blob)} bytes are no weights of {model.name}: {str(error)[:200]}") from error
