"""The potentials: their methods and energy scales, without loading one; and, slowly, that a loaded one can be used again."""

import subprocess
import sys

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.errors import UnknownMethodError
from workflows import potentials
from workflows.potentials import POTENTIALS, bounding_energies, load_calculator, method_of


@pytest.fixture
def bi2se3() -> Structure:
    """Bi2Se3 (R-3m), primitive, as measured: a = 9.84 Å, alpha = 24.3 degrees."""
    coordinates = [[0.4] * 3, [0.6] * 3, [0.0] * 3, [0.21] * 3, [0.79] * 3]
    return Structure(Lattice.rhombohedral(9.84, 24.3), ["Bi", "Bi", "Se", "Se", "Se"], coordinates)


@pytest.fixture
def selenium() -> Structure:
    """Simple cubic selenium, one atom: the cheapest real relaxation."""
    return Structure(Lattice.cubic(2.97), ["Se"], [[0, 0, 0]])


@pytest.mark.parametrize("name", ["sevennet", "sevennet-l3i5", "chgnet"])
def test_method_of_names_version_and_scale(name: str) -> None:
    method = method_of(name)
    assert (method.name, method.functional, method.corrections) == (name, "PBE", "none")
    assert method.version[0].isdigit()


def test_method_of_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        UnknownMethodError, match=r"'emt'; known are sevennet, .*pip install 'ccdcgan-al\[potentials\]'"
    ):
        method_of("emt")


def test_method_of_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        potentials.POTENTIALS, "mace", potentials.Potential("MACE-MPA-0", "MACE", "no-such-package", "mace-torch")
    )
    with pytest.raises(UnknownMethodError, match="no-such-package, which is not installed: pip install mace-torch"):
        method_of("mace")


def test_method_of_imports_neither_torch_nor_atomate2() -> None:
    code = (
        "import sys; from workflows.relax import GuardedForceFieldRelaxMaker; GuardedForceFieldRelaxMaker(); "
        "from workflows.potentials import method_of; method_of('sevennet'); "
        "print([m for m in ('torch', 'atomate2', 'sevenn', 'chgnet') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_potentials_are_known_to_atomate2() -> None:
    from atomate2.forcefields.utils import MLFF

    assert {potential.mlff for potential in POTENTIALS.values()} <= {mlff.value for mlff in MLFF}


def test_potentials_of_another_functional_have_no_such_bound() -> None:
    assert {name for name in POTENTIALS if bounding_energies(name)} == {
        *("sevennet", "sevennet-l3i5", "chgnet", "mace", "mace-mp-0", "mattersim")
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chgnet", "sevennet"])
def test_a_used_calculator_gives_a_fresh_ones_energy(name: str, bi2se3: Structure, selenium: Structure) -> None:
    def energy(structure: Structure) -> float:
        atoms = structure.to_ase_atoms()
        atoms.calc = load_calculator(name)
        return float(atoms.get_potential_energy())

    load_calculator.cache_clear()
    fresh = energy(bi2se3)
    assert energy(selenium) != pytest.approx(fresh, abs=1)
    assert energy(bi2se3) == pytest.approx(fresh, abs=1e-6)
