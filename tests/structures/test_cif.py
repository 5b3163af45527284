"""CIF text: the crystal that is read back from it is the one that was written."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from ccdcgan_al.structures.cif import cif_text
from ccdcgan_al.structures.matching import structure_matcher

NEARLY = Structure(  # a relaxed BiSe2, Cm within 0.1 Å
    [[0.007, -4.047, -0.004], [-4.053, 0.007, -0.002], [2.02, 2.016, -4.548]],
    ["Bi", "Se", "Se"],
    [[0.005, 0.979, 0.994], [0.639, 0.663, 0.296], [0.342, 0.363, 0.696]],
)


def read(text: str) -> Structure:
    return Structure.from_str(text, fmt="cif")


def test_pymatgen_writes_too_many_atoms_where_a_symmetry_is_near() -> None:
    assert read(str(CifWriter(NEARLY, symprec=0.1))).composition.reduced_formula == "BiSe4"


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")
def test_what_is_written_comes_back() -> None:
    back = read(cif_text(NEARLY))
    assert back.composition.reduced_formula == "BiSe2"
    assert back.volume / len(back) == pytest.approx(NEARLY.volume / 3, rel=0.01)
    assert structure_matcher().fit(NEARLY, back)


def test_a_symmetry_that_a_crystal_has_is_written() -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    text = cif_text(salt.get_primitive_structure().perturb(0.005))
    assert "_symmetry_Int_Tables_number   225" in text
    assert len(read(text)) == 8


def test_without_a_symmetry_that_gives_it_back_a_crystal_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccdcgan_al.structures.cif.TOLERANCES", (0.1,))
    text = cif_text(NEARLY)
    assert "_symmetry_Int_Tables_number   1" in text
    assert read(text).composition == NEARLY.composition
