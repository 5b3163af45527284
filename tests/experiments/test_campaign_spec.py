"""The campaign specs that ship, and what a spec must say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Composition

from workflows.experiments.campaign_spec import FOLDER, KnownPhase, read_spec, systems


def test_every_spec_reads_and_its_phases_are_what_they_say() -> None:
    assert systems() == ["Bi-Se", "Cd-Li", "Co-Hf", "Li-Co-O", "Mn-Se", "Mn-Ta", "Ni-Ta"]
    for system in systems():
        spec = read_spec(system)
        assert spec.withhold_hull
        assert spec.budget > spec.seed_count
        names = [phase.name for phase in spec.known]
        assert len(set(names)) == len(names)
        for phase in spec.known:
            structure = phase.structure()
            assert structure.composition.reduced_composition == Composition(phase.formula).reduced_composition
            assert 4 < structure.volume / len(structure) < 40


def test_order_of_elements_does_not_matter() -> None:
    assert read_spec("Co-Li-O") == read_spec("Li-Co-O")
    with pytest.raises(ValueError, match="no campaign spec of Fe-S: known are Bi-Se, Cd-Li"):
        read_spec("Fe-S")


def test_what_is_no_spec(tmp_path: Path) -> None:
    text = (FOLDER / "Cd-Li.yaml").read_text()
    (tmp_path / "Cd-Li.yaml").write_text(text.replace("seed_count: 48", "seed_count: few"))
    with pytest.raises(ValueError, match=r"Cd-Li\.yaml: seed_count: Input should be a valid integer"):
        read_spec("Cd-Li", tmp_path)
    with pytest.raises(ValueError, match="the AFLOW library has no prototype 'B99'"):
        KnownPhase(formula="LiCd", prototype="B99", source="nowhere").structure()
    with pytest.raises(ValueError, match="LiCd: wanted a prototype, or space_group, lattice and sites"):
        KnownPhase(formula="LiCd", source="nowhere").structure()
    cube = (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)
    wrong = KnownPhase(formula="LiCd", space_group="Pm-3m", lattice=cube, sites=(("Li", 0, 0, 0),), source="nowhere")
    with pytest.raises(ValueError, match="LiCd Pm-3m: its sites make Li; correct one"):
        wrong.structure()
