"""Files of a user: what is read, what is put right, and how everything else is named."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest
from ase.io import write as ase_write
from ase.io.jsonio import encode as ase_encode
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.choose import MAX_OWN_LENGTH, MAX_OWN_SITES, choose_seeds
from ccdcgan_al.seeds.files import StructuresRead, read_structures
from ccdcgan_al.seeds.parsing import decode, kind_of

BISE = ("Bi", "Se")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "inputs"
POSCAR = "{comment}\n1.0\n3.7 0 0\n0 3.7 0\n0 0 3.7\n{species}{counts}\nDirect\n0 0 0{first}\n.5 .5 .5{second}\n"


SELECTIVE = (
    "x\n-50.653\n1 0 0\n0 1 0\n0 0 1\nBi Se\n1 1\nSelective dynamics\nCartesian\n0 0 0 T T F Bi\n0.5 0.5 0.5 T T F Se\n"
)


def caesium_chloride() -> Structure:
    return Structure(Lattice.cubic(3.7), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def poscar(comment: str = "x", species: str = "Bi Se\n", counts: str = "1 1", first: str = "", second: str = "") -> str:
    return POSCAR.format(comment=comment, species=species, counts=counts, first=first, second=second)


def read_text(folder: Path, name: str, text: str) -> StructuresRead:
    (folder / name).write_text(text)
    return read_structures(folder / name)


def formulas(read: StructuresRead) -> list[tuple[str, str, int]]:
    assert read.refused == ()
    return [(seed.label, seed.formula, len(seed.structure)) for seed in read.seeds]


def refusal(read: StructuresRead) -> str:
    """Return the one line of the one file that is refused."""
    assert read.seeds == ()
    (line,) = read.refused
    assert "\n" not in line
    return line


@pytest.mark.slow
def test_files_of_a_user(tmp_path: Path, tetradymite: Structure) -> None:
    tetradymite.to(filename=str(tmp_path / "bi2se3.cif"))
    tetradymite.to(filename=str(tmp_path / "POSCAR_1"), fmt="poscar")
    read = read_structures(tmp_path, elements=BISE)
    assert formulas(read) == [("POSCAR_1", "Bi2Se3", 5), ("bi2se3.cif", "Bi2Se3", 5)]
    assert (read.repaired, read.not_read) == ((), ())
    chosen = choose_seeds(BISE, count=12, extra=read.seeds[:1])
    assert sum(StructureMatcher().fit(tetradymite, seed.structure) for seed in chosen) == 1


def test_a_distortion_that_doubles_the_cell_is_kept(tmp_path: Path) -> None:
    # tetragonal WO3 (P4/nmm) is cubic ReO3 with W displaced along c by turns; the smaller cell cannot relax into it
    lattice, turns = Lattice.tetragonal(5.3, 3.9), (0.12, -0.12)
    tungsten = [[0, 0, 0.5 + turns[0] / 3.9], [0.5, 0.5, 0.5 + turns[1] / 3.9]]
    oxygen = [[0, 0, 0], [0.5, 0.5, 0], *([x, y, 0.5] for x in (0.25, 0.75) for y in (0.25, 0.75))]
    distorted = Structure(lattice, ["W"] * 2 + ["O"] * 6, tungsten + oxygen)
    (distorted * (1, 1, 2)).to(filename=str(tmp_path / "wo3.vasp"), fmt="poscar")
    (seed,) = read_structures(tmp_path, elements=("O", "W")).or_stop()
    assert len(seed.structure) == 8
    assert seed.structure.get_space_group_info() == ("P4/nmm", 129)


def test_bad_files_are_named_with_the_reason_and_the_others_are_read(tmp_path: Path, tetradymite: Structure) -> None:
    disordered = Structure(Lattice.cubic(4), [{"Bi": 0.5, "Se": 0.5}], [[0, 0, 0]])
    disordered.to(filename=str(tmp_path / "disordered.cif"))
    large = tetradymite.copy()
    large.scale_lattice(100 * large.volume)
    large.to(filename=str(tmp_path / "large.cif"))
    (tmp_path / "broken.cif").write_text("data_x\nloop_\n_nothing")
    (tmp_path / "binary.vasp").write_bytes(bytes(range(256)))
    (tmp_path / "huge.cif").write_text("#" * 1_000_001)
    (tmp_path / "gone.cif").symlink_to(tmp_path / "nowhere")
    tetradymite.to(filename=str(tmp_path / "good.cif"))
    read = read_structures(tmp_path, BISE, MAX_OWN_SITES, MAX_OWN_LENGTH)
    assert [seed.label for seed in read.seeds] == ["good.cif"]
    reasons = {
        "binary.vasp": "the file is not text",
        "broken.cif": "not a readable CIF",
        "disordered.cif": "partial occupancies",
        "gone.cif": "no such file",
        "huge.cif": "the limit is 1000000",
        "large.cif": "longest vector of 45.* the limits are 64 sites and 40 Å",
    }
    with pytest.raises(StructureInputError) as caught:
        read.or_stop()
    first, *lines = str(caught.value).splitlines()
    assert first == "6 files are refused, and nothing was started:"
    assert lines == list(read.refused)
    for line, (name, reason) in zip(lines, reasons.items(), strict=True):
        with pytest.raises(StructureInputError, match=rf"{name}: .*{reason}"):
            raise StructureInputError(line)
    assert "absent.cif: no such file" in refusal(read_structures(tmp_path / "absent.cif"))
    assert "the structure contains Bi-Se; the system is Mn-Se" in refusal(
        read_structures([tmp_path / "good.cif"], elements=("Mn", "Se"))
    )
    (tmp_path / "empty").mkdir()
    assert "no structure files" in refusal(read_structures(tmp_path / "empty"))


def test_everything_in_a_folder_is_read_or_named(tmp_path: Path) -> None:
    crystal = caesium_chloride()
    cif, vasp = str(crystal.to(fmt="cif")), str(crystal.to(fmt="poscar"))
    for name in ("a.CIF", "b.cif"):
        (tmp_path / name).write_text(cif)
    for name in ("c.VASP", "d.poscar", "POSCAR", "contcar.relaxed"):
        (tmp_path / name).write_text(vasp)
    (tmp_path / "e.cif.gz").write_bytes(gzip.compress(cif.encode()))
    (tmp_path / "POSCAR.2.GZ").write_bytes(gzip.compress(vasp.encode()))
    atoms = AseAtomsAdaptor.get_atoms(crystal)
    ase_write(tmp_path / "f.extxyz", atoms, format="extxyz")
    ase_write(tmp_path / "g.xyz", [atoms, atoms], format="extxyz")
    ase_write(tmp_path / "h.json", atoms, format="json")
    (tmp_path / "i.json").write_text(ase_encode(atoms))
    crystal.to(filename=str(tmp_path / "j.json"))
    (tmp_path / "k.json").write_text(json.dumps([crystal.as_dict()] * 2))
    (tmp_path / "notes.txt").write_text("not a structure")
    (tmp_path / ".hidden.cif").write_text(cif)
    (tmp_path / "sub.cif").mkdir()
    (tmp_path / "sub.cif" / "x.cif").write_text(cif)
    read = read_structures(tmp_path, BISE)
    labels = ["POSCAR", "POSCAR.2.GZ", "a.CIF", "b.cif", "c.VASP", "contcar.relaxed", "d.poscar", "e.cif.gz"]
    labels += ["f.extxyz", "g.xyz#1", "g.xyz#2", "h.json", "i.json", "j.json", "k.json#1", "k.json#2"]
    assert formulas(read) == [(label, "BiSe", 2) for label in labels]
    assert [line.partition(":")[0].rpartition("/")[2] for line in read.not_read] == [
        ".hidden.cif",
        "notes.txt",
        "sub.cif",
    ]
    assert "a sub-folder, not read" in read.not_read[2]


def test_a_magnetic_cif_is_read_without_its_moments(tmp_path: Path) -> None:
    text = """data_mn
_cell_length_a 3.7
_cell_length_b 3.7
_cell_length_c 3.7
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
2 -x,-y,z,+1
loop_
_space_group_symop_magn_centering.id
_space_group_symop_magn_centering.xyz
1 x,y,z,+1
2 x+1/2,y+1/2,z+1/2,-1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mn1 Mn 0 0 0
Se1 Se 0 0.5 0.25
loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
_atom_site_moment.crystalaxis_y
_atom_site_moment.crystalaxis_z
Mn1 0 0 3.0
"""
    read = read_text(tmp_path, "mn.mcif", text)
    assert formulas(read) == [("mn.mcif", "MnSe", 2)]
    assert read.repaired[0].endswith("mn.mcif: magnetic moments were left out")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = f"# Müller, 3.7 {'Å'}\n{caesium_chloride().to(fmt='cif')}"
    (tmp_path / "x.cif").write_bytes(text.encode(encoding))
    assert formulas(read_structures(tmp_path)) == [("x.cif", "BiSe", 2)]
    assert decode(text.replace("\n", "\r\n").encode(encoding)) == text


def test_a_byte_of_another_encoding_ends_no_line(tmp_path: Path) -> None:
    text = str(caesium_chloride().to(fmt="cif")).replace("data_", "# and so on \x85 loop_ _atom_site_label\ndata_", 1)
    (tmp_path / "x.cif").write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    (tmp_path / "y.vasp").write_bytes(poscar(comment="Bi\x85Se").replace("\n", "\r").encode("latin-1"))
    assert formulas(read_structures(tmp_path)) == [("x.cif", "BiSe", 2), ("y.vasp", "BiSe", 2)]


def test_a_gz_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bomb.cif.gz").write_bytes(gzip.compress(b"#" * 400_000_000, compresslevel=1)[:900_000])
    (tmp_path / "cut.cif.gz").write_bytes(gzip.compress(str(caesium_chloride().to(fmt="cif")).encode())[:-20])
    (tmp_path / "no.cif.gz").write_bytes(b"not gzip")
    read = read_structures(tmp_path)
    assert [line.partition(": ")[2].partition(";")[0].partition(" (")[0] for line in read.refused] == [
        "the decompressed file has more than 1000000 bytes, which is the limit",
        "the file cannot be read",
        "the file cannot be read",
    ]


def test_a_name_that_says_nothing_is_refused() -> None:
    assert kind_of("POSCAR.cif") == "CIF"
    assert kind_of(".cif") is None
    assert kind_of("structure.cif.bz2") is None


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (poscar(), ""),
        (poscar(species="Bi_pv/1234 Se/5678\n"), ""),
        (poscar(species="Bi\nSe\n", counts="1\n1"), ""),  # wrapped
        (poscar(comment="Bi Se", species=""), "there is no species line: the elements Bi Se of the comment are used"),
        (
            poscar(species="", first=" Bi", second=" Se"),
            "there is no species line: the elements next to the coordinates are used",
        ),
        (SELECTIVE, ""),
        (poscar() + "\n0.1 0.2 0.3\n0.1 0.2 0.3\n", ""),  # velocities
    ],
)
def test_poscars(tmp_path: Path, text: str, repair: str) -> None:
    read = read_text(tmp_path, "x.vasp", text)
    assert formulas(read) == [("x.vasp", "BiSe", 2)]
    assert StructureMatcher().fit(read.seeds[0].structure, caesium_chloride())
    assert [line.partition("x.vasp: ")[2] for line in read.repaired] == ([repair] if repair else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (poscar(species=""), "no species line; write the element symbols"),
        (poscar(comment="Bi2 Se3", species=""), "no species line"),
        (poscar(species="Bi X\n"), "X is not an element"),
        (poscar(species="Bi Se O\n"), "3 elements but 2 counts"),
        (poscar(counts="1 2"), "counts sum to 3 atoms, but the number of coordinates differs"),
        (poscar(counts="1 0"), "counts sum to 1 atoms"),
        (poscar(first=" Se", second=" Bi"), "species line and the elements next to the coordinates differ"),
        (poscar(second="\n1.5 -.5 .5", counts="1 2"), r"two atoms are 0.00 Å apart \(Se, number 2 and Se, number 3\)"),
        (poscar().replace("Direct\n", ""), "no line Direct or Cartesian"),
        (poscar().replace(".5 .5 .5", ".5 .5 nan"), "not finite numbers"),
        (poscar().replace("3.7 0 0", "0 3.7 0"), "too small or too flat"),
        (poscar().replace("1.0", "one"), "not a readable POSCAR file"),
        ("", "not a readable POSCAR file"),
    ],
)
def test_poscars_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StructureInputError, match=rf"x\.vasp: .*{said}"):
        raise StructureInputError(refusal(read_text(tmp_path, "x.vasp", text)))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.xyz", "2\nno cell\nBi 0 0 0\nSe 1.8 1.8 1.8\n", "no cell; write Lattice="),
        ("x.xyz", '1\nLattice="4 0 0 0 4 0 0 0 4" pbc="T T F"\nBi 0 0 0\n', "periodic along 2 of its 3 vectors"),
        ("x.xyz", "nothing", "not a readable XYZ file"),
        ("x.json", "{", "not a readable JSON file"),
        ("x.json", '{"energy": 1}', "the JSON is neither pymatgen Structure"),
        ("x.json", "[]", "the JSON is neither"),
        ("x.txt", "x", "the file name shows no known format; give CIF"),
    ],
)
def test_others_that_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(StructureInputError, match=rf"{name}: .*{said}"):
        raise StructureInputError(refusal(read_text(tmp_path, name, text)))


def test_json_makes_no_objects_of_classes_that_it_names(tmp_path: Path) -> None:
    document = caesium_chloride().as_dict()
    document["sites"][0]["properties"] = {"x": {"@module": "antigravity", "@class": "x"}}
    read = read_text(tmp_path, "x.json", json.dumps(document))
    assert formulas(read) == [("x.json", "BiSe", 2)]
    assert "antigravity" not in sys.modules


def test_what_is_read_only_may_be_of_any_cell(tmp_path: Path) -> None:
    long = Structure(Lattice.tetragonal(4, 60), ["Bi"] + ["Se"] * 9, [[0, 0, k / 10] for k in range(10)])
    long.translate_sites([3], [0.2, 0, 0])
    long.to(filename=str(tmp_path / "long.cif"))
    assert formulas(read_structures(tmp_path)) == [("long.cif", "BiSe9", 10)]
    assert "longest vector of 60.00 Å" in refusal(read_structures(tmp_path, None, MAX_OWN_SITES, MAX_OWN_LENGTH))
    many = Structure.from_sites(list(caesium_chloride() * (5, 5, 4))[:-1])
    many.to(filename=str(tmp_path / "long.cif"))
    assert formulas(read_structures(tmp_path)) == [("long.cif", "Bi100Se99", 199)]
    assert "primitive cell has 199 sites" in refusal(read_structures(tmp_path, None, MAX_OWN_SITES, MAX_OWN_LENGTH))


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_the_shared_files() -> None:
    read = read_structures(SHARED, BISE, MAX_OWN_SITES, MAX_OWN_LENGTH)
    found = {
        seed.label: (seed.formula, len(seed.structure), seed.structure.get_space_group_info()[0]) for seed in read.seeds
    }
    assert found == {
        "BiSe_P-3m1.cif": ("BiSe", 12, "P-3m1"),
        "latin1.cif": ("BiSe", 2, "Pm-3m"),
        "multi.cif#cscl": ("BiSe", 2, "Pm-3m"),
        "multi.cif#rocksalt": ("BiSe", 2, "Fm-3m"),
        "nias_r3.cif": ("BiSe", 4, "P6_3/mmc"),
        "qocc.cif": ("BiSe", 2, "Pm-3m"),
        "r_hex.cif": ("Bi2Se3", 5, "R-3m"),
        "v4_comment.vasp": ("BiSe", 2, "Pm-3m"),
    }
    said = {line.partition(": ")[0].rpartition("/")[2]: line.partition(": ")[2] for line in read.repaired}
    assert list(said) == ["nias_r3.cif", "qocc.cif", "v4_comment.vasp"]
    assert said["nias_r3.cif"] == "atoms near a special position were moved to it, by at most 0.0024 Å"
    assert said["qocc.cif"] == "the occupancy of 2 sites is not stated and taken as 1"
    assert said["v4_comment.vasp"] == "there is no species line: the elements Bi Se of the comment are used"
    why = {line.partition(": ")[0].rpartition("/")[2]: line.partition(": ")[2] for line in read.refused}
    assert "the stated formula Bi2 Se3 differs from the formula of the sites, BiSe2" in why["badhm.cif"]
    assert "two atoms are 0.00 Å apart" in why["overlap.vasp"]
    assert set(why) == {"badhm.cif", "overlap.vasp", "decorated.json", "nan.json", "sameid.json", "sameid2.json"}
    assert [line.partition(":")[0].rpartition("/")[2] for line in read.not_read] == ["README.md"]
