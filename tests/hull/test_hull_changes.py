"""What a round changed, on hulls that can be drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccdcgan_al.hull.changes import HullChanges, hull_changes
from ccdcgan_al.types import Phase
from tests.hull.test_hull import BISE, bi2se3, bise3, bismuth, build_hull, phase, rocksalt, selenium


@pytest.fixture
def phases() -> list[Phase]:
    return [
        phase("bi", bismuth(), -4.0),
        phase("se", selenium(), -3.0),
        phase("bi2se3", bi2se3(), -3.8, "seed"),  # formation -0.4
        phase("bise", rocksalt(), -3.9, "generated"),  # formation -0.4; the line from Bi to Bi2Se3 there is at -1/3
    ]


def test_a_phase_enters_and_lowers_the_hull(phases: list[Phase]) -> None:
    changes = hull_changes(build_hull(phases, BISE), 1)
    assert changes.entered == {"bise": "BiSe"}
    assert changes.pushed_off == {}
    assert changes.largest_lowering == pytest.approx(0.4 - 1 / 3)
    # a triangle over all compositions from Bi to Bi2Se3
    assert changes.mean_lowering == pytest.approx(0.6 * (0.4 - 1 / 3) / 2, rel=0.02)


def test_a_phase_is_pushed_off(phases: list[Phase]) -> None:
    low = replace(phases[3], energy_per_atom=-4.3)  # formation -0.8; the line from it to Se at 0.6 is at -0.64
    changes = hull_changes(build_hull([*phases[:3], low], BISE), 1)
    assert (changes.entered, changes.pushed_off) == ({"bise": "BiSe"}, {"bi2se3": "Bi2Se3"})
    assert changes.largest_lowering == pytest.approx(0.8 - 1 / 3)


def test_a_copy_of_a_phase_changes_nothing_that_can_be_told(phases: list[Phase]) -> None:
    copy = phase("copy", bi2se3().get_primitive_structure(), -3.8003, "generated")
    changes = hull_changes(build_hull([*phases[:3], copy], BISE), 1)
    assert (changes.entered, changes.pushed_off) == ({}, {})
    assert changes.largest_lowering == pytest.approx(3e-4)
    above = phase("above", bise3(), -3.0, "generated")
    assert hull_changes(build_hull([*phases[:3], above], BISE), 1) == HullChanges({}, {}, 0.0, 0.0)


def test_there_was_no_hull_before_the_first_round(phases: list[Phase]) -> None:
    changes = hull_changes(build_hull(phases, BISE), 0)
    assert changes == HullChanges({"bi": "Bi", "bi2se3": "Bi2Se3", "bise": "BiSe", "se": "Se"}, {}, None, None)
