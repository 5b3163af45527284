"""The places at which the fault tests end a worker are there; the tests themselves are slow."""

from __future__ import annotations

import importlib
from functools import reduce

import pytest

from tests.faults.test_workers_killed import POINTS


@pytest.mark.parametrize("point", [point for points in POINTS.values() for point in points])
def test_a_worker_can_be_ended_there(point: str) -> None:
    module, target, when, _ = point.split(":")
    assert callable(reduce(getattr, target.split("."), importlib.import_module(module)))
    assert when in ("before", "after")
