"""MP2020 corrections, against the published numbers (Wang et al., Sci. Rep. 11, 15496 (2021), table 2)."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element, Lattice, Structure

from ccdcgan_al.errors import HullError
from ccdcgan_al.hull.corrections import mp2020_correction_per_atom, mp_hubbard_u
from ccdcgan_al.structures.electronegativity import by_electronegativity, most_electronegative
from ccdcgan_al.types import Method, Relaxed
from workflows.documents import relaxation_document


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


UNKNOWN = ("He", "Ne", "Ar", "Og")  # no electronegativity is known of them
SYMBOLS = st.sampled_from([*UNKNOWN, "Kr", "Fe", "Mn", "O", "F", "S", "Se", "Bi", "Pu", "H"])


def _chain(symbols: list[str]) -> Structure:
    """Atoms along a line that is none of symmetry, 2 Å apart."""
    count = len(symbols)
    lattice = Lattice.orthorhombic(2.0 * count, 3.1, 3.3)
    return Structure(lattice, symbols, [[i / count, 0.1 * i % 1, 0.07 * i % 1] for i in range(count)])


def _answer(structure: Structure) -> tuple[object, ...]:
    try:
        return mp_hubbard_u(structure), mp2020_correction_per_atom(structure)
    except HullError as error:
        return (str(error),)


@settings(max_examples=60, deadline=None)
@given(symbols=st.lists(SYMBOLS, min_size=1, max_size=6), data=st.data())
def test_the_order_of_the_atoms_does_not_matter(symbols: list[str], data: st.DataObject) -> None:
    structure = _chain(symbols)
    order = data.draw(st.permutations(range(len(symbols))))
    assert _answer(Structure.from_sites([structure[i] for i in order])) == _answer(structure)


@pytest.mark.parametrize("symbol", ["Ar", "He", "Ne"])
def test_an_element_of_unknown_electronegativity_is_never_the_anion(symbol: str) -> None:
    for symbols in ([symbol, "Fe", "O"], ["Fe", "O", symbol], ["O", symbol, "Fe"]):
        structure = _chain(symbols)
        assert mp_hubbard_u(structure) == {"Fe": 5.3}
        assert mp2020_correction_per_atom(structure) == pytest.approx((-2.256 - 0.687) / 3)


def test_no_element_makes_anything_but_a_hull_error() -> None:
    for element in Element:
        for symbols in ([element.symbol], [element.symbol, "O"], ["Ar", element.symbol, "Fe", "F"]):
            assert len(_answer(_chain(symbols))) in (1, 2)


def test_an_unforeseen_failure_of_the_scheme_is_one_line_that_names_the_element(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> object:
        raise IndexError("no such\nneighbour")

    monkeypatch.setattr("pymatgen.analysis.compatibility.MaterialsProject2020Compatibility.get_adjustments", fail)
    wanted = r"no MP2020 correction for .*: no such neighbour \(no electronegativity of Ar is known\); "
    with pytest.raises(HullError, match=wanted) as caught:
        mp2020_correction_per_atom(_chain(["Ar", "Fe", "O"]))
    assert "\n" not in str(caught.value)


def test_what_a_worker_stores_of_a_noble_gas() -> None:
    method = Method("sevennet", "SevenNet 7net-0", "0.13.0")
    for symbols in (["Ne"], ["Ar", "Fe", "O"], ["He", "Fe", "O"], ["Kr", "F"]):
        document = relaxation_document("x", Relaxed(_chain(symbols), -1.0, method, 1, 0.0, converged=True))
        assert document["mp2020_correction_per_atom"] is not None


QUIET = """
import ccdcgan_al.chemsys
from pymatgen.core import Composition, Lattice, Structure
from ccdcgan_al.hull.corrections import mp2020_correction_per_atom
Composition("ArNeOg").reduced_formula
print(mp2020_correction_per_atom(Structure(Lattice.cubic(5), ["Ne", "Og", "O"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])))
"""


def test_nothing_is_warned_of() -> None:
    done = subprocess.run([sys.executable, "-W", "always", "-c", QUIET], capture_output=True, text=True, check=True)
    assert "electronegativity" not in done.stderr
    assert float(done.stdout) < 0


def test_electronegativity_orders_all_elements() -> None:
    assert most_electronegative(["He", "Ne"]) is None
    assert most_electronegative(["Pd", "H", "Ru"]) == "H"  # all of them 2.20
    assert sorted(["O", "Ne", "Fe", "Ar"], key=by_electronegativity) == ["Ar", "Ne", "Fe", "O"]
