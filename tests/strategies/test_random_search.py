"""Random symmetric crystals: limits, repeatability, and the bounds on time and tries."""

import time

import pytest

from ccdcgan_al.strategies.random_search import random_structures


def test_limits_and_repeatability() -> None:
    crystals = random_structures(("Bi", "Se"), 6, seed=3, max_sites=12)
    assert len(crystals) == 6
    for crystal in crystals:
        assert {element.symbol for element in crystal.composition} == {"Bi", "Se"}
        assert len(crystal) <= 12
        assert max(crystal.lattice.abc) <= 10
    assert random_structures(("Bi", "Se"), 6, seed=3, max_sites=12) == crystals
    assert random_structures(("Bi", "Se"), 6, seed=4, max_sites=12) != crystals


def test_ternary() -> None:
    crystals = random_structures(("Co", "Li", "O"), 2, seed=0)
    assert [len(crystal.composition) for crystal in crystals] == [3, 3]


def test_time_is_bounded() -> None:
    start = time.monotonic()
    assert len(random_structures(("Bi", "Se"), 1000, seed=0, seconds=1)) < 1000
    assert time.monotonic() - start < 30


def test_too_few_sites_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        random_structures(("Co", "Li", "O"), 1, seed=0, max_sites=2)
