"""MP2020 corrections, against the published numbers (Wang et al., Sci. Rep. 11, 15496 (2021), table 2)."""

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.corrections import mp2020_correction_per_atom, mp_hubbard_u
from ccdcgan_al.errors import HullError


def _rocksalt(cation: str, anion: str, length: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def bi2se3() -> Structure:
    return Structure.from_spacegroup(
        "R-3m",
        Lattice.hexagonal(4.143, 28.636),
        ["Bi", "Se", "Se"],
        [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]],
    )


def test_selenide_and_element(bi2se3: Structure) -> None:
    assert mp2020_correction_per_atom(bi2se3) == pytest.approx(-0.472 * 3 / 5)
    assert mp2020_correction_per_atom(bi2se3.get_primitive_structure()) == pytest.approx(-0.2832)
    selenium = Structure(Lattice.cubic(3), ["Se"], [[0, 0, 0]])
    assert mp2020_correction_per_atom(selenium) == 0


def test_anion_rich_compositions_are_corrected_too() -> None:
    bise6 = Structure(Lattice.cubic(6), ["Bi"] + ["Se"] * 6, [[i / 7, i / 7, (2 * i % 7) / 7] for i in range(7)])
    assert mp2020_correction_per_atom(bise6) == pytest.approx(-0.472 * 6 / 7)
    assert mp2020_correction_per_atom(bise6, strict_anions="require_bound") == 0


def test_transition_metal_oxide_carries_its_u() -> None:
    mno = _rocksalt("Mn", "O", 4.44)
    assert mp_hubbard_u(mno) == {"Mn": 3.9}
    assert mp2020_correction_per_atom(mno) == pytest.approx((-1.668 - 0.687) / 2)
    assert mp_hubbard_u(_rocksalt("Mn", "Se", 5.46)) == {}
    assert mp2020_correction_per_atom(_rocksalt("Mn", "Se", 5.46)) == pytest.approx(-0.472 / 2)


def test_oxidation_states_on_the_structure_do_not_matter() -> None:
    mgo = _rocksalt("Mg", "O", 4.21)
    plain = mp2020_correction_per_atom(mgo)
    mgo.add_oxidation_state_by_element({"Mg": 2, "O": -2})
    assert mp2020_correction_per_atom(mgo) == plain == pytest.approx(-0.687 / 2)


def test_peroxide_is_told_by_its_distances() -> None:
    # BaO2, measured cell: Abrahams & Kalnajs, Acta Cryst. 7, 838 (1954); O-O 1.49 Å
    bao2 = Structure.from_spacegroup(
        "I4/mmm", Lattice.tetragonal(3.815, 6.851), ["Ba", "O"], [[0, 0, 0], [0, 0, 0.3911]]
    )
    assert mp2020_correction_per_atom(bao2) == pytest.approx(-0.465 * 2 / 3)


def test_wrong_u_is_told() -> None:
    with pytest.raises(HullError, match="no MP2020 correction for MnO: Invalid U value"):
        mp2020_correction_per_atom(_rocksalt("Mn", "O", 4.44), hubbard_u={})
