"""Labels of earlier versions."""

from __future__ import annotations

from typing import Any

import pytest

from ccdcgan_al.strategies.labels import descent_of, with_descent


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("random", ("", "random", None, [])),
        ("ccdcgan", ("", "ccdcgan", None, [])),
        ("ccdcgan, slip in Bi-Se-r0-0001", ("", "ccdcgan", "slip", ["Bi-Se-r0-0001"])),
        ("ccdcgan, replace of Bi-Se-r1-0000", ("", "ccdcgan", "transmute", ["Bi-Se-r1-0000"])),
        ("ccdcgan, exchange in mp-23092-GGA", ("", "ccdcgan", "swap", ["mp-23092-GGA"])),
        ("ccdcgan, slip in", ("", "ccdcgan", "slip", [])),
        ("Another draw", ("Another draw", None, None, [])),
    ],
)
def test_a_label_is_read(label: str, parts: tuple[Any, ...]) -> None:
    assert tuple(descent_of(label).values()) == parts


def test_rows_of_an_earlier_experiment_are_read_and_new_ones_stay() -> None:
    old = {"structure_id": "a", "source": "ccdcgan, slip in b"}
    new = {"structure_id": "a", "source": "", "operation": "slip", "parents": ["b"]}
    assert with_descent(old, generated=True) == with_descent(new, generated=True) == new
    seed = {"structure_id": "a", "source": "ccdcgan, slip in b"}  # the name of a user's file may be anything
    assert with_descent(seed, generated=False) == {**seed, "operation": None, "parents": []}
