"""CIF texts that leave something open or contradict themselves: the crystal that is meant, or a refusal, and never another crystal."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher
from pymatgen.io.cif import CifWriter

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.cif_parsing import read_cif
from ccdcgan_al.structures.space_groups import settings_of

CUBIC, HEXAGONAL = (3.7, 3.7, 3.7, 90, 90, 90), (4.14, 4.14, 28.64, 90, 90, 120)
CSCL = ("Bi1 Bi 0 0 0 1", "Se1 Se 0.5 0.5 0.5 1")
TETRADYMITE = ("Bi1 Bi 0 0 0.4 1", "Se1 Se 0 0 0 1", "Se2 Se 0 0 0.21 1")
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
P63MMC = (4.2, 4.2, 5.6, 90, 90, 120)


def cif(
    *lines: str,
    cell: tuple[float, ...] = CUBIC,
    atoms: tuple[str, ...] = CSCL,
    columns: tuple[str, ...] = COLUMNS,
    name: str = "x",
) -> str:
    """Return the text of a data block: what `lines` state, a cell, and a table of atoms."""
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    numbers = [f"_cell_{key} {value:g}" for key, value in zip(keys, cell, strict=True)]
    return "\n".join([f"data_{name}", *numbers, *lines, "loop_", *(f"_atom_site_{key}" for key in columns), *atoms, ""])


def group(symbol: str) -> str:
    return f"_symmetry_space_group_name_H-M '{symbol}'"


def operations(*texts: str) -> str:
    return "\n".join(["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{text}'" for text in texts)])


def read(text: str) -> Structure:
    (crystal,), _ = read_cif(text)
    return crystal.structure


def repairs(text: str) -> str:
    (crystal,), _ = read_cif(text)
    return "; ".join(crystal.repairs)


def refused(text: str, said: str) -> None:
    with pytest.raises(StructureInputError, match=said) as caught:
        read_cif(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("symbol", ["R -3 m :H", "R-3m:h", "R -3 m H", "R-3mH", "R -3 m", "R -3 2/m"])
def test_hexagonal_axes_of_a_rhombohedral_group(symbol: str) -> None:
    structure = read(cif(group(symbol), cell=HEXAGONAL, atoms=TETRADYMITE))
    assert (structure.formula, structure.get_space_group_info()[1]) == ("Bi6 Se9", 166)


def test_a_number_or_a_hall_symbol_stands_for_a_group() -> None:
    for line in ("_symmetry_Int_Tables_number 166", "_space_group_IT_number 166", "_space_group_name_Hall '-R 3 2\"'"):
        assert read(cif(line, cell=HEXAGONAL, atoms=TETRADYMITE)).formula == "Bi6 Se9"


def test_rhombohedral_axes() -> None:
    cell = Lattice.rhombohedral(9.8, 24.3).parameters
    atoms = ("Bi1 Bi 0.4 0.4 0.4 1", "Se1 Se 0 0 0 1", "Se2 Se 0.21 0.21 0.21 1")
    for symbol in ("R -3 m :R", "R -3 m"):
        assert read(cif(group(symbol), cell=cell, atoms=atoms)).formula == "Bi2 Se3"
    refused(cif(group("R -3 m :H"), cell=cell, atoms=atoms), "do not fit the cell")


def test_an_origin_that_is_left_open_is_asked_for() -> None:
    diamond = ("Si1 Si 0 0 0 1",)
    cell = (5.43, 5.43, 5.43, 90, 90, 90)
    refused(
        cif(group("F d -3 m"), cell=cell, atoms=diamond),
        r"'F d -3 m :1' or 'F d -3 m :2', which give different crystals",
    )
    for symbol in ("F d -3 m :1", "F d -3 m S", "F d 3 m S"):
        assert read(cif(group(symbol), cell=cell, atoms=diamond)).formula == "Si8"
    for symbol in ("F d -3 m :2", "F d -3 m Z"):
        assert read(cif(group(symbol), cell=cell, atoms=diamond)).formula == "Si16"
    stated = ("_chemical_formula_sum Si", "_cell_formula_units_Z 8")
    assert read(cif(group("F d -3 m"), *stated, cell=cell, atoms=diamond)).formula == "Si8"


@pytest.mark.parametrize(
    ("symbol", "hall", "cell"),
    [
        ("P 21/c", "-P 2ybc", (5, 6, 7, 90, 99, 90)),
        ("P 1 21/n 1", "-P 2yn", (5, 6, 7, 90, 99, 90)),
        ("P 21/n", "-P 2yn", (5, 6, 7, 90, 99, 90)),
        ("P 21/a", "-P 2yab", (5, 6, 7, 90, 99, 90)),
        ("P 21/a", "-P 2ac", (5, 6, 7, 90, 90, 99)),
        ("P b n m", "-P 2c 2ab", (5, 6, 7, 90, 90, 90)),
        ("P n m a", "-P 2ac 2n", (5, 6, 7, 90, 90, 90)),
        ("P 6_3/m m c", "-P 6c 2c", (9, 9, 7, 90, 90, 120)),
        ("P 6(3)/m m c", "-P 6c 2c", (9, 9, 7, 90, 90, 120)),
    ],
)
def test_symbols_in_their_settings(symbol: str, hall: str, cell: tuple[float, ...]) -> None:
    atoms = ("Bi1 Bi 0.13 0.17 0.34 1",)
    (setting,) = settings_of(None, None, hall)
    one, other = (
        read(cif(group(symbol), cell=cell, atoms=atoms)),
        read(cif(operations(*(item.as_xyz_str() for item in setting.operations)), cell=cell, atoms=atoms)),
    )
    assert len(one) == len(setting.operations)
    assert StructureMatcher(primitive_cell=False).fit(one, other)


@pytest.mark.parametrize(
    ("older", "symbol"),
    [("C m c a", "C m c e"), ("A b a 2", "A e a 2"), ("C m m a", "C m m e"), ("B m a b", "B m e b")],
)
def test_older_symbols_are_known(older: str, symbol: str) -> None:
    cell, atoms = (5, 6, 7, 90, 90, 90), ("Bi1 Bi 0.13 0.17 0.34 1",)
    one, other = (read(cif(group(text), cell=cell, atoms=atoms)) for text in (older, symbol))
    assert StructureMatcher(primitive_cell=False).fit(one, other)


def test_symbols_of_pymatgens_tables_are_known() -> None:
    atoms = ("Bi1 Bi 0.13 0.17 0.34 1",)
    assert len(read(cif(group("A -1"), cell=(5, 6, 7, 80, 85, 99), atoms=atoms))) == 4
    refused(
        cif(group("A -1"), "_symmetry_Int_Tables_number 1", cell=(5, 6, 7, 80, 85, 99), atoms=atoms),
        "is number 2, and states number 1",
    )


def test_symmetry_that_is_not_stated_is_said() -> None:
    assert repairs(cif()) == "no symmetry is stated: P 1 is assumed, with the listed atoms"
    assert repairs(cif(group("P m -3 m"))) == ""


def test_a_symbol_of_no_table_is_taken_only_where_all_that_is_stated_agrees() -> None:
    odd = group("P -3 m 1 (unconventional)")
    formula, units = "_chemical_formula_sum 'Bi Se'", "_cell_formula_units_Z 1"
    assert "is unknown: P 1 is assumed, which gives the stated" in repairs(cif(odd, formula, units))
    refused(
        cif(odd), "is unknown, and no symmetry operations are written out: there is no _chemical_formula_sum to check"
    )
    refused(
        cif(odd, formula),
        "is unknown.*there is no _cell_formula_units_Z to check the symmetry; write the symmetry operations out",
    )
    refused(
        cif(odd, formula, "_cell_formula_units_Z 2"),
        "is unknown.* states 2 formula units of Bi Se but has 2 atoms",
    )
    refused(
        cif(odd, "_chemical_formula_sum 'Bi2 Se3'"),
        "the stated formula Bi2 Se3 differs from the formula of the sites, BiSe;",
    )
    numbered = (group("P m -3 m of mine"), "_symmetry_Int_Tables_number 221")
    assert "the operations of number 221 are used" in repairs(cif(*numbered, formula))
    refused(cif(*numbered), "is unknown.*no _chemical_formula_sum")


def test_symmetry_that_contradicts_itself_is_refused() -> None:
    refused(
        cif(group("P m -3 m"), "_symmetry_Int_Tables_number 225"),
        "'P m -3 m', which is number 221, and states number 225",
    )
    refused(
        cif(group("P 63/m m c")), r"symmetry operations of P 6_3/m m c do not fit the cell 3.7, 3.7, 3.7, 90, 90, 90"
    )
    refused(cif(operations("x,y,z", "-y,x-y,z", "-x+y,-x,z")), "the symmetry operations do not fit the cell")
    refused(cif(operations("-x,-y,-z")), "lack 'x,y,z'")
    for odd in ("x,y", "x,y,q", "import os", "2x,y,z", "x,x,z"):
        refused(cif(operations("x,y,z", odd)), "cannot be read|is not a symmetry operation")


def test_operations_that_are_fewer_than_those_of_the_named_group() -> None:
    rocksalt, cell = ("Bi1 Bi 0 0 0 1", "Se1 Se 0.5 0.5 0.5 1"), (5.9, 5.9, 5.9, 90, 90, 90)
    named, alone = group("F m -3 m"), operations("x,y,z")
    refused(cif(named, alone, cell=cell, atoms=rocksalt), "1 symmetry operations are written out, but F m -3 m has 192")
    faces = ("0 0 0", "0 0.5 0.5", "0.5 0 0.5", "0.5 0.5 0")
    halves = ("0.5 0.5 0.5", "0.5 0 0", "0 0.5 0", "0 0 0.5")
    whole = (*(f"Bi Bi {at} 1" for at in faces), *(f"Se Se {at} 1" for at in halves))
    assert read(cif(named, alone, cell=cell, atoms=whole)).formula == "Bi4 Se4"


@pytest.mark.parametrize(
    ("x", "y", "moved"), [("0.333", "0.667", "0.0024"), ("0.33", "0.67", "0.0242"), ("0.3333", "0.6667", "0.0002")]
)
def test_coordinates_near_a_special_position_are_put_on_it(x: str, y: str, moved: str) -> None:
    text = cif(group("P 63/m m c"), cell=P63MMC, atoms=("Bi1 Bi 0 0 0 1", f"Se1 Se {x} {y} 0.25 1"))
    assert read(text).formula == "Bi2 Se2"
    assert repairs(text) == f"atoms near a special position were moved to it, by at most {moved} Å"
    assert read(text).get_space_group_info()[1] == 194


def test_every_kind_of_special_position() -> None:
    text = cif(group("P m -3 m"), atoms=("Bi1 Bi 0.001 0 0.9995 1", "Se1 Se 0.499 0.5 0.501 1"))
    assert read(text).formula == "Bi1 Se1"
    mirror = cif(group("P m -3 m"), cell=(8, 8, 8, 90, 90, 90), atoms=("Bi1 Bi 0.201 0.2 0.2 1",))
    assert read(mirror).formula == "Bi8"
    refused(
        cif(group("P m -3 m"), atoms=("Bi1 Bi 0.05 0 0 1", CSCL[1])),
        r"two atoms are 0.26 Å apart \(Bi1, number 2 and Bi1",
    )
    split = read(cif(group("P 1"), atoms=("Bi1 Bi 0.333 0.667 0.1 1", CSCL[1])))  # nothing is special there
    assert split.frac_coords[0].tolist() == pytest.approx([0.333, 0.667, 0.1], abs=1e-9)


@pytest.mark.parametrize("text", [".", "?", "1/3", "half", "0.5,", "nan", "inf", ""])
def test_coordinates_that_are_no_numbers_are_refused(text: str) -> None:
    refused(
        cif(group("P m -3 m"), atoms=(CSCL[0], f"Se1 Se '{text}' 0.5 0.5 1")),
        "site Se1 has the coordinate .* is not a number",
    )


def test_numbers_have_uncertainties() -> None:
    assert read(cif(group("P m -3 m"), atoms=(CSCL[0], "Se1 Se 0.500(3) .5 5.0E-1 1.00(2)"))).formula == "Bi1 Se1"


@pytest.mark.parametrize(
    ("text", "formula"), [("?", "Bi1 Se1"), (".", "Bi1 Se1"), ("1", "Bi1 Se1"), ("1.000", "Bi1 Se1"), ("0", "Bi1")]
)
def test_occupancies(text: str, formula: str) -> None:
    block = cif(group("P m -3 m"), atoms=(CSCL[0], f"Se1 Se 0.5 0.5 0.5 {text}"))
    assert read(block).formula == formula
    wanted = {"0": "1 sites with occupancy 0 were left out"} | dict.fromkeys(
        "?.", "the occupancy of 1 sites is not stated and taken as 1"
    )
    assert repairs(block) == wanted.get(text, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [("0.5", "disordered"), ("-1", "between 0 and 1"), ("2", "between 0 and 1"), ("full", "is not a number")],
)
def test_occupancies_that_are_refused(text: str, said: str) -> None:
    refused(cif(group("P m -3 m"), atoms=(CSCL[0], f"Se1 Se 0.5 0.5 0.5 {text}")), said)


@pytest.mark.parametrize(
    ("label", "symbol"),
    [("Bi1", "Bi"), ("X1", "Bi3+"), ("X1", "BI"), ("Bi1", "?"), ("BI1", "."), ("Bi_1", "Bi1"), ("A", "Bi0+")],
)
def test_species_come_from_the_type_symbol_else_the_label(label: str, symbol: str) -> None:
    assert read(cif(group("P m -3 m"), atoms=(f"{label} {symbol} 0 0 0 1", CSCL[1]))).formula == "Bi1 Se1"
    without = cif(
        group("P m -3 m"), atoms=("Bi1 0 0 0", "Se2a .5 .5 .5"), columns=("label", "fract_x", "fract_y", "fract_z")
    )
    assert read(without).formula == "Bi1 Se1"


@pytest.mark.parametrize("symbol", ["Wat", "Xx", "M1", "'Bi,Se'", "'0.8Bi + 0.2Se'", "OH", "1"])
def test_species_that_no_element_begins_are_refused(symbol: str) -> None:
    refused(
        cif(group("P m -3 m"), atoms=(f"Q1 {symbol} 0 0 0 1", CSCL[1])),
        "site Q1 has the symbol .*, which starts with no element",
    )


def test_more_than_one_atom_on_a_point_is_refused() -> None:
    refused(cif(group("P m -3 m"), atoms=(*CSCL, "Se2 Se 0.5 0.5 0.5 1")), "more than one atom is on one point")
    refused(cif(group("P m -3 m"), atoms=(*CSCL, "Bi2 Bi 0.5 0.5 0.5 1")), "more than one atom is on one point")
    refused(
        cif(group("P 1"), atoms=(*CSCL, "Se2 Se 0.5 0.5 0.51 1")),
        r"two atoms are 0.04 Å apart \(Se1, number 2 and Se2, number 3\)",
    )


@pytest.mark.parametrize("formula", ["Bi Se", "Bi1 Se1", "Bi2 Se2", "BiSe", "BI SE", "Bi1.00 Se1.00", "?", "."])
def test_formulas_that_agree(formula: str) -> None:
    assert read(cif(group("P m -3 m"), f"_chemical_formula_sum '{formula}'")).formula == "Bi1 Se1"


def test_formulas_units_and_multiplicities_that_do_not_agree_are_refused() -> None:
    known = group("P m -3 m")
    refused(
        cif(known, "_chemical_formula_sum 'Bi2 Se3'"),
        "stated formula Bi2 Se3 differs from the formula of the sites, BiSe;",
    )
    refused(cif(known, "_chemical_formula_sum 'Bi Se H'"), "stated formula Bi Se H differs")
    refused(cif(known, "_chemical_formula_sum 'Bi Qq'"), "stated formula 'Bi Qq' cannot be read")
    refused(
        cif(known, "_chemical_formula_sum 'Bi Se'", "_cell_formula_units_Z 4"),
        "states 4 formula units of Bi Se but has 2",
    )
    columns = (*COLUMNS, "symmetry_multiplicity")
    assert read(cif(known, atoms=(f"{CSCL[0]} 1", f"{CSCL[1]} 1"), columns=columns)).formula == "Bi1 Se1"
    assert (
        read(cif(known, atoms=(f"{CSCL[0]} 48", f"{CSCL[1]} 48"), columns=columns)).formula == "Bi1 Se1"
    )  # SHELX: of the site's group
    refused(
        cif(known, atoms=(f"{CSCL[0]} 1", f"{CSCL[1]} 4"), columns=columns),
        "site Se1 has the multiplicity 4, but its position and the symmetry give 1",
    )


def test_hydrogens_without_positions_are_refused() -> None:
    atoms = (f"{CSCL[0]} 0", f"{CSCL[1]} 2")
    refused(
        cif(group("P m -3 m"), atoms=atoms, columns=(*COLUMNS, "attached_hydrogens")),
        "site Se1 has hydrogens without positions",
    )


def test_names_in_any_case_and_with_dots() -> None:
    text = cif(group("P m -3 m"))
    assert read(text.upper().replace("'P M -3 M'", "'P m -3 m'").replace(" BI ", " Bi ")).formula == "Bi1 Se1"
    assert read(text.replace("_atom_site_", "_atom_site.").replace("_cell_", "_cell.")).formula == "Bi1 Se1"


def test_all_blocks_are_read() -> None:
    text = "#\n" + "".join(
        [
            "data_global\n_publ_section_title\n;\ndata_in_a_text is no block\n;\n",
            cif(group("P m -3 m"), name="same"),
            cif(group("F m -3 m"), cell=(5.9, 5.9, 5.9, 90, 90, 90), name="same"),
            cif(group("P m -3 m"), name=""),
        ]
    )
    crystals, empty = read_cif(text)
    assert [(crystal.block, crystal.structure.formula) for crystal in crystals] == [
        ("same", "Bi1 Se1"),
        ("same-2", "Bi4 Se4"),
        ("4", "Bi1 Se1"),
    ]
    assert empty == ["global"]
    several = "".join(cif(name=name) for name in ("a-2", "a", "a", "a-2"))
    assert [crystal.block for crystal in read_cif(several)[0]] == ["a-2", "a", "a-3", "a-2-2"]
    refused("data_global\n_x 1\n", "no data block has atoms")
    refused("", "no line begins with data_")
    refused(
        text + cif(group("P m -3 m"), atoms=(CSCL[0], "Se1 Se . . . 1"), name="bad"),
        "block bad: site Se1 has the coordinate",
    )


def test_what_cannot_be_a_crystal_is_refused() -> None:
    known = group("P m -3 m")
    text = cif(known)
    refused(text + text.partition("\n")[2], "one data block has two tables of atoms")
    refused(text.replace("_cell_length_b 3.7", "_cell_length_b ?"), "_cell_length_b is missing")
    refused(text.replace("_cell_length_b 3.7", "_cell_length_b -3.7"), "_cell_length_b is -3.7; give a positive number")
    refused(text.replace("_cell_angle_alpha 90", "_cell_angle_alpha 190"), "give no valid cell")
    refused(text.replace("fract_z", "fract_q"), "no fractional coordinates")
    refused(text.replace("fract", "Cartn"), "no fractional coordinates")
    refused(text + "Se3 Se\n", "not a readable CIF file")
    refused(cif(known, "_cell_modulation_dimension 1"), "is modulated")
    assert repairs(text.replace("_cell_angle_alpha 90\n", "")) == "angle alpha is not stated and taken as 90 degrees"


def test_what_pymatgen_writes_is_read_back(tetradymite: Structure) -> None:
    monoclinic = Structure.from_spacegroup(
        "C2/m", Lattice.monoclinic(9, 4, 7, 105), ["Bi", "Se"], [[0.1, 0, 0.3], [0.4, 0, 0.2]]
    )
    for structure in (tetradymite, monoclinic):
        for symprec in (None, 0.1):
            assert StructureMatcher().fit(read(str(CifWriter(structure, symprec=symprec))), structure)
