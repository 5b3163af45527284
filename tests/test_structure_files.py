"""Files of a user: what is read, and how bad ones are named."""

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds import choose_seeds
from ccdcgan_al.structure_files import read_structures

BISE = ("Bi", "Se")


def test_files_of_a_user(tmp_path: Path, tetradymite: Structure) -> None:
    tetradymite.to(filename=str(tmp_path / "bi2se3.cif"))
    tetradymite.to(filename=str(tmp_path / "POSCAR_1"), fmt="poscar")
    (tmp_path / "notes.txt").write_text("not a structure")
    seeds = read_structures(tmp_path, elements=BISE)
    assert [(seed.label, seed.formula, len(seed.structure)) for seed in seeds] == [
        ("POSCAR_1", "Bi2Se3", 5),
        ("bi2se3.cif", "Bi2Se3", 5),
    ]
    chosen = choose_seeds(BISE, count=12, extra=seeds[:1])
    assert sum(StructureMatcher().fit(tetradymite, seed.structure) for seed in chosen) == 1


def test_a_distortion_that_doubles_the_cell_is_kept(tmp_path: Path) -> None:
    # tetragonal WO3 (P4/nmm) is cubic ReO3 with W displaced along c by turns; the smaller cell cannot relax into it
    lattice, turns = Lattice.tetragonal(5.3, 3.9), (0.12, -0.12)
    tungsten = [[0, 0, 0.5 + turns[0] / 3.9], [0.5, 0.5, 0.5 + turns[1] / 3.9]]
    oxygen = [[0, 0, 0], [0.5, 0.5, 0], *([x, y, 0.5] for x in (0.25, 0.75) for y in (0.25, 0.75))]
    distorted = Structure(lattice, ["W"] * 2 + ["O"] * 6, tungsten + oxygen)
    (distorted * (1, 1, 2)).to(filename=str(tmp_path / "wo3.vasp"), fmt="poscar")
    (seed,) = read_structures(tmp_path, elements=("O", "W"))
    assert len(seed.structure) == 8
    assert seed.structure.get_space_group_info() == ("P4/nmm", 129)


def test_bad_files_are_named_with_the_reason(tmp_path: Path, tetradymite: Structure) -> None:
    disordered = Structure(Lattice.cubic(4), [{"Bi": 0.5, "Se": 0.5}], [[0, 0, 0]])
    disordered.to(filename=str(tmp_path / "disordered.cif"))
    large = tetradymite.copy()
    large.scale_lattice(10 * large.volume)
    large.to(filename=str(tmp_path / "large.cif"))
    (tmp_path / "broken.cif").write_text("data_x\nloop_\n_nothing")
    (tmp_path / "binary.vasp").write_bytes(bytes(range(256)))
    (tmp_path / "huge.cif").write_text("#" * 1_000_001)
    tetradymite.to(filename=str(tmp_path / "good.cif"))
    for name, reason in {
        "disordered.cif": "partial occupancies",
        "large.cif": "longest vector",
        "broken.cif": "not a readable CIF",
        "binary.vasp": "not a readable POSCAR",
        "huge.cif": "at most 1000000",
        "absent.cif": "no such file",
    }.items():
        with pytest.raises(StructureInputError, match=rf"{name}: .*{reason}"):
            read_structures(tmp_path / name)
    with pytest.raises(StructureInputError, match=r"good\.cif: holds Bi-Se; wanted elements of Mn-Se only"):
        read_structures([tmp_path / "good.cif"], elements=("Mn", "Se"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(StructureInputError, match="no structure files"):
        read_structures(tmp_path / "empty")
