"""What a second method says, on energies that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core import Structure

from ccdcgan_al.errors import HullError
from ccdcgan_al.hull.confirmation import confirming_hull, relaxed_elsewhere
from ccdcgan_al.hull.hull import Hull
from ccdcgan_al.types import Method, Phase
from launchpad.database.hull_records import confirmed_figures
from tests.hull.test_hull import BISE, bi2se3, bise3, bismuth, build_hull, phase, rocksalt, selenium, stretched

SECOND = Method("sevennet-l3i5", "SevenNet 7net-l3i5", "0.13.0")


@pytest.fixture
def first() -> Hull:
    """Return a hull of Bi at -4, Bi2Se3 at -3.8 and Se at -3, with two generated phases above it."""
    return build_hull(
        [
            phase("bi", bismuth(), -4.0),
            phase("se", selenium(), -3.0),
            phase("bi2se3", bi2se3(), -3.8, "seed"),
            phase("bi2se3-again", bi2se3().scale_lattice(430), -3.799, "seed"),
            phase("bise", rocksalt(), -3.7, "generated"),
            phase("bise3", bise3(), -3.3, "generated"),
        ],
        BISE,
    )


def again(hull: Hull, *left_out: str, **moved: Structure) -> list[Phase]:
    """Return the phases of a hull by the second method, at the same energies."""
    return [
        replace(item, method=SECOND, structure=moved.get(item.structure_id, item.structure))
        for item in hull.phases
        if item.structure_id not in left_out
    ]


def test_the_same_energies_confirm(first: Hull) -> None:
    found = confirmed_figures(first, confirming_hull(first, again(first)))
    assert found["bise"]["confirmed"]["energy_above_hull"] == pytest.approx(1 / 3 - 0.2)
    assert found["bise"]["confirmed"]["method"] == "sevennet-l3i5"


def test_a_hull_without_a_phase_that_is_on_the_first_says_so(first: Hull) -> None:
    """Without Bi2Se3 the hull of the elements would call BiSe stable."""
    with pytest.raises(HullError, match=r"sevennet-l3i5 has no energy of Bi2Se3 \(bi2se3\), on the hull of sevennet"):
        confirming_hull(first, again(first, "bi2se3", "bi2se3-again"))
    with pytest.raises(HullError, match="no phase of the element Se"):
        confirming_hull(first, again(first, "se"))


def test_a_copy_may_stand_for_a_phase_on_the_hull(first: Hull) -> None:
    assert confirming_hull(first, again(first, "bi2se3")).diagram is not None


def test_what_becomes_another_structure_is_not_confirmed(first: Hull) -> None:
    confirming = confirming_hull(first, again(first, bise=stretched(1.0)))
    assert relaxed_elsewhere(first, confirming) == {"bise"}
    found = confirmed_figures(first, confirming)
    assert found["bise"]["confirmed"] == {"method": "sevennet-l3i5", "problem": "relaxes into another structure"}
    assert "energy_above_hull" in found["bise3"]["confirmed"]
