import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from ccdcgan_al.hull.element_references import materials_project_energies
from workflows import relax as relax_module
from workflows.guards import RelaxationError
from workflows.potentials import load_calculator, method_of
from workflows.relax import GuardedForceFieldRelaxMaker, ready_structure


@pytest.fixture
def bi2se3() -> Structure:
    """Bi2Se3 (R-3m), primitive, as measured: a = 9.84 Å, alpha = 24.3 degrees."""
    coordinates = [[0.4] * 3, [0.6] * 3, [0.0] * 3, [0.21] * 3, [0.79] * 3]
    return Structure(Lattice.rhombohedral(9.84, 24.3), ["Bi", "Bi", "Se", "Se", "Se"], coordinates)


@pytest.fixture
def selenium() -> Structure:
    """Simple cubic selenium, one atom: the cheapest real relaxation."""
    return Structure(Lattice.cubic(2.97), ["Se"], [[0, 0, 0]])


def test_rattle_follows_the_structure_id(bi2se3: Structure) -> None:
    first, again, other = (ready_structure(bi2se3, name, 0.03) for name in ("r1-001", "r1-001", "r1-002"))
    assert np.array_equal(first.frac_coords, again.frac_coords)
    assert not np.allclose(first.frac_coords, other.frac_coords)
    moved = [site.distance(before) for site, before in zip(first, bi2se3, strict=True)]
    assert moved == pytest.approx([0.03] * 5, abs=1e-9)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(Lattice.cubic(4), [{"Bi": 0.5, "Se": 0.5}], [[0, 0, 0]]), "disordered"),
        (Structure(Lattice.cubic(4), ["Se"], [[np.nan, 0, 0]]), "NaN coordinates"),
        (Structure([[4, 0, 0], [0, 4, 0], [4, 4, 0]], ["Se"], [[0, 0, 0]]), "cell without volume"),
        ("POSCAR", "wanted a pymatgen Structure with atoms, got str"),
    ],
)
def test_bad_input_has_a_reason(structure: Any, message: str) -> None:
    with pytest.raises(RelaxationError, match=message) as caught:
        GuardedForceFieldRelaxMaker().relax(structure, "x")
    assert caught.value.reason == "bad_input"


def test_maker_survives_its_storage() -> None:
    maker = GuardedForceFieldRelaxMaker(method="chgnet", fmax=0.1, references={"Bi": -3.9})
    assert GuardedForceFieldRelaxMaker.from_dict(maker.as_dict()) == maker


@pytest.mark.slow
def test_models_are_loaded_once_a_process(selenium: Structure, monkeypatch: pytest.MonkeyPatch) -> None:
    from atomate2.forcefields import utils

    loaded: list[str] = []
    load = utils.ase_calculator

    def counted(meta: Any, **kwargs: Any) -> Any:
        if isinstance(meta, utils.MLFF):
            loaded.append(meta.value)
        return load(meta, **kwargs)

    monkeypatch.setattr(utils, "ase_calculator", counted)
    load_calculator.cache_clear()
    for number in range(3):
        GuardedForceFieldRelaxMaker(rattle=0.0, fmax=1.0).relax(selenium, f"s{number}")
    assert sorted(loaded) == ["CHGNet", "SevenNet"]


@pytest.mark.slow
def test_relaxing_prints_nothing_and_leaves_no_file(
    selenium: Structure, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    load_calculator.cache_clear()
    GuardedForceFieldRelaxMaker(method="sevennet", pre_relax=None, fmax=1.0).relax(selenium, "s")
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [0, 1])
def test_steps_that_relax_nothing_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"max_steps must be at least 2, got {steps}"):
        GuardedForceFieldRelaxMaker(max_steps=steps)


@pytest.mark.slow
def test_not_converged_keeps_structure_and_energy(bi2se3: Structure) -> None:
    with pytest.raises(
        RelaxationError, match=r"after 3 steps of sevennet-l3i5; .* A larger max_steps may help"
    ) as caught:
        GuardedForceFieldRelaxMaker(rattle=0.2, pre_relax=None, max_steps=3).relax(bi2se3, "slow")
    assert caught.value.reason == "not_converged"
    assert caught.value.structure is not None
    assert caught.value.energy_per_atom == pytest.approx(-3.9, abs=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("sevennet", r"at step 0: the energy fell to -\d+.*a hole of the potential"),  # -1.7e5 eV/atom
        ("sevennet-l3i5", r"at step 0: a force of \S+ eV/Å, above the bound of 1000"),  # 2e11 eV/Å
    ],
)
def test_a_hole_of_sevennet_ends_as_unphysical(method: str, message: str) -> None:
    pair = Structure(Lattice.cubic(4.5), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0.5 / 4.5]])
    with pytest.raises(RelaxationError, match=message) as caught:
        GuardedForceFieldRelaxMaker(method=method, rattle=0.0, pre_relax=None).relax(pair, "hole")
    assert caught.value.reason == "unphysical"


@pytest.mark.slow
def test_atoms_that_a_soft_potential_leaves_on_top_of_each_other_are_unphysical() -> None:
    pair = Structure(Lattice.cubic(4.5), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0.5 / 4.5]])  # CHGNet sees almost no force
    with pytest.raises(RelaxationError, match="covalent radii") as caught:
        GuardedForceFieldRelaxMaker(rattle=0.0).relax(pair, "overlap")
    assert caught.value.reason == "unphysical"


@pytest.mark.slow
def test_a_calculators_error_keeps_its_message(selenium: Structure, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(method: str) -> None:
        raise MemoryError(f"no room for {method}")

    monkeypatch.setattr(relax_module, "load_calculator", broken)
    with pytest.raises(RelaxationError, match="MemoryError: no room for chgnet") as caught:
        GuardedForceFieldRelaxMaker().relax(selenium, "s")
    assert caught.value.reason == "calculator_error"


class Level(Calculator):
    """A potential that is flat: eV/atom of BiSe above (below) the energies of its elements, no forces."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, formation: float) -> None:
        super().__init__()
        self.formation = formation

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = None) -> None:
        super().calculate(atoms, properties, system_changes)
        energy = sum(materials_project_energies()[symbol] + self.formation for symbol in atoms.get_chemical_symbols())
        forces, stress = np.zeros((len(atoms), 3)), np.zeros(6)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": stress}


@pytest.mark.parametrize(("first", "second", "hole"), [(0.5, -0.8, False), (-0.2, -6.0, True), (-6.0, -0.3, True)])
def test_a_hole_is_told_by_the_energies_of_the_elements(
    first: float, second: float, hole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def level(method: str) -> Level:
        return Level(first if method == "chgnet" else second)

    monkeypatch.setattr(relax_module, "load_calculator", level)
    crystal = Structure(Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    if hole:
        with pytest.raises(RelaxationError, match=r"below the bound of -6\.33: a hole of the potential"):
            GuardedForceFieldRelaxMaker(rattle=0.0).relax(crystal, "s")
        return
    relaxed = GuardedForceFieldRelaxMaker(rattle=0.0).relax(crystal, "s")
    assert relaxed.energy_per_atom == pytest.approx((-3.886416 - 3.495912) / 2 - 0.8, abs=1e-4)


def test_corrections_are_taken_off_where_the_potential_contains_them(
    monkeypatch: pytest.MonkeyPatch, bi2se3: Structure
) -> None:
    stand_in = SimpleNamespace(mp2020_correction_per_atom=lambda _: -0.3)
    monkeypatch.setitem(sys.modules, "ccdcgan_al.hull.corrections", stand_in)
    monkeypatch.setattr(relax_module, "load_calculator", lambda _: Level(-0.4))
    chgnet, sevennet = (
        GuardedForceFieldRelaxMaker(method=name, pre_relax=None, rattle=0.0).relax(bi2se3, "s")
        for name in ("chgnet", "sevennet")
    )
    assert chgnet.energy_per_atom == pytest.approx(sevennet.energy_per_atom + 0.3)
    assert chgnet.method.corrections == sevennet.method.corrections == "none"


def test_an_interrupt_passes(selenium: Structure, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(method: str) -> None:
        raise KeyboardInterrupt(method)

    monkeypatch.setattr(relax_module, "load_calculator", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GuardedForceFieldRelaxMaker().relax(selenium, "s")


@pytest.mark.slow
def test_bi2se3_relaxes_to_itself(bi2se3: Structure) -> None:
    relaxed = GuardedForceFieldRelaxMaker().relax(bi2se3, "bi2se3")
    assert relaxed.energy_per_atom == pytest.approx(-4.03, abs=0.02)
    assert relaxed.converged
    assert relaxed.max_force < 0.05
    assert relaxed.method == method_of("sevennet-l3i5")
    assert StructureMatcher().fit(relaxed.structure, bi2se3)
    again = GuardedForceFieldRelaxMaker().relax(bi2se3, "bi2se3")
    assert again.energy_per_atom == pytest.approx(relaxed.energy_per_atom, abs=1e-6)


@pytest.mark.slow
def test_chgnets_energy_comes_without_its_corrections(bi2se3: Structure) -> None:
    relaxed = GuardedForceFieldRelaxMaker(method="chgnet").relax(bi2se3, "bi2se3")
    atoms = relaxed.structure.to_ase_atoms()
    atoms.calc = load_calculator("chgnet")
    raw = atoms.get_potential_energy() / 5
    assert relaxed.energy_per_atom - raw == pytest.approx(0.6 * 0.472, abs=1e-3)  # MP2020: -0.472 eV a Se atom
    assert relaxed.method.corrections == "none"
