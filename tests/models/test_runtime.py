"""Weights as bytes: the same weights give the same bytes, and bytes that are no weights are refused by name."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

import numpy as np
import pytest

from ccdcgan_al.errors import WeightsError
from ccdcgan_al.models import runtime


def network(units: int = 3) -> Any:
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)], name="small")


@pytest.fixture(scope="module")
def packed() -> bytes:
    runtime.start(0)
    return runtime.pack_weights(network())


@pytest.mark.slow
def test_same_seed_same_bytes(packed: bytes) -> None:
    assert runtime.start(0).__name__ == "keras"
    assert runtime.pack_weights(network()) == packed
    runtime.start(1)
    assert runtime.pack_weights(network()) != packed


def test_round_trip(packed: bytes) -> None:
    other = network()
    assert runtime.pack_weights(other) != packed
    runtime.unpack_weights(other, packed, sha256=hashlib.sha256(packed).hexdigest())
    assert runtime.pack_weights(other) == packed


def test_order_of_many_weights() -> None:
    import keras

    deep = keras.Sequential([keras.Input((2,)), *(keras.layers.Dense(2) for _ in range(6))])
    before = deep.get_weights()
    assert len(before) == 12
    blob = runtime.pack_weights(deep)
    deep.set_weights([np.zeros_like(weight) for weight in before])
    runtime.unpack_weights(deep, blob)
    for weight, back in zip(before, deep.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, back)


def test_wrong_sha256(packed: bytes) -> None:
    with pytest.raises(
        WeightsError, match=r"have sha256 \w{12}\.\.\., wanted 000000000000\.\.\.: fetch the model again"
    ):
        runtime.unpack_weights(network(), packed, sha256="0" * 64)


def array_file() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 30, 200, -100, -1])
def test_truncated_bytes(packed: bytes, kept: int) -> None:
    with pytest.raises(WeightsError, match="bytes are no weights of small"):
        runtime.unpack_weights(network(), packed[:kept])


def test_every_flipped_byte_is_found_or_harmless(packed: bytes) -> None:
    """The zip's checksums find what would change a weight; some bytes of its headers mean nothing."""
    target = network()
    for position in range(0, len(packed), 23):
        runtime.unpack_weights(target, packed)
        try:
            runtime.unpack_weights(
                target, packed[:position] + bytes([packed[position] ^ 0xFF]) + packed[position + 1 :]
            )
        except WeightsError:
            continue
        assert runtime.pack_weights(target) == packed


@pytest.mark.parametrize("blob", [b"hello", b"PK\x03\x04", pickle.dumps([1, 2]), array_file()])
def test_foreign_bytes(blob: bytes) -> None:
    with pytest.raises(WeightsError, match="bytes are no weights of small"):
        runtime.unpack_weights(network(), blob)


def test_another_architecture(packed: bytes) -> None:
    with pytest.raises(WeightsError, match="are no weights of small"):
        runtime.unpack_weights(network(units=5), packed)


def test_pickled_objects_are_not_loaded() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, w000=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsError, match="allow_pickle=False"):
        runtime.unpack_weights(network(), buffer.getvalue())
