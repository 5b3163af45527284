from typing import Any

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Composition, Lattice, Structure

from ccdcgan_al.errors import CcdcganError
from workflows.guards import (
    ENERGY_FLOOR,
    MAX_FORCE,
    RelaxationError,
    RelaxationObserver,
    check_bound,
    check_physical,
    deepest_formation,
    energy_floor,
    volume_ratio,
)


@pytest.fixture
def rock_salt() -> Structure:
    """BiSe with a = 5.8 Å: every neighbour at 2.9 Å; covalent radii 1.48 and 1.20 Å."""
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.8), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_volume_ratio_is_one_for_copper_at_its_molar_volume() -> None:
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic((4 * 7.11 / 0.602214) ** (1 / 3)), ["Cu"], [[0, 0, 0]])
    assert volume_ratio(copper) == pytest.approx(1, abs=1e-3)


def test_a_crystal_passes(rock_salt: Structure) -> None:
    check_physical(rock_salt, -3.6, np.full((8, 3), 0.01))


def test_what_is_stranded_far_above_the_elements_is_unphysical(rock_salt: Structure) -> None:
    elements = {"Bi": -3.8, "Se": -3.4}
    check_bound(rock_salt, 0.3, elements)
    check_bound(rock_salt, 9.0, {"Bi": -3.8})  # the elements' energies are not all known
    with pytest.raises(
        RelaxationError, match=r"0.5 eV/atom, more than 4 above the elements' -3.60: stranded"
    ) as caught:
        check_bound(rock_salt, 0.5, elements)
    assert (caught.value.reason, caught.value.energy_per_atom) == ("unphysical", 0.5)


def test_overlapping_atoms_are_unphysical() -> None:
    pair = Structure(Lattice.cubic(6), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0.2]])  # 1.2 Å of 2.68 Å
    with pytest.raises(RelaxationError, match=r"0\.45 times the sum of their covalent radii") as caught:
        check_physical(pair, -3.6)
    assert caught.value.reason == "unphysical"
    assert caught.value.structure is pair
    assert caught.value.energy_per_atom == -3.6


def test_distances_are_judged_by_the_radii_of_the_selection() -> None:
    pair = Structure(Lattice.cubic(3), ["Fe", "Fe"], [[0, 0, 0], [0, 0, 1.4 / 3]])  # Fe 1.42 Å; in ASE's table 1.32 Å
    with pytest.raises(RelaxationError, match=r"0\.49 times the sum"):
        check_physical(pair)


@pytest.mark.parametrize(("scale", "what"), [(0.1, "outside 0.2 to 10"), (20, "outside 0.2 to 10")])
def test_collapsed_and_evaporated_cells_are_unphysical(rock_salt: Structure, scale: float, what: str) -> None:
    rock_salt.scale_lattice(scale * rock_salt.volume)
    with pytest.raises(RelaxationError, match=what):
        check_physical(rock_salt)


@pytest.mark.parametrize("energy", [-71.0, -4e12])
def test_holes_seen_in_sevennet_are_unphysical(rock_salt: Structure, energy: float) -> None:
    with pytest.raises(RelaxationError, match="hole of the potential"):
        check_physical(rock_salt, energy)


@pytest.mark.parametrize("energy", [float("nan"), float("-inf")])
def test_energies_must_be_finite(rock_salt: Structure, energy: float) -> None:
    with pytest.raises(RelaxationError, match="not a finite number"):
        check_physical(rock_salt, energy)


def test_forces_must_be_finite_and_bounded(rock_salt: Structure) -> None:
    forces = np.zeros((8, 3))
    forces[3] = [MAX_FORCE, 1, 0]
    with pytest.raises(RelaxationError, match="above the bound of 1000"):
        check_physical(rock_salt, -3.6, forces)
    forces[3] = np.nan
    with pytest.raises(RelaxationError, match="not a finite number"):
        check_physical(rock_salt, -3.6, forces)


def test_coordinates_must_be_finite(rock_salt: Structure) -> None:
    broken = Structure(rock_salt.lattice, ["Se"], [[np.nan, 0, 0]])
    with pytest.raises(RelaxationError, match="not a finite number"):
        check_physical(broken)


def test_energy_floor_follows_the_references() -> None:
    references = {"Bi": -3.9, "Se": -3.5}
    assert energy_floor(Composition("Bi2Se3"), references) == pytest.approx(
        0.4 * -3.9 + 0.6 * -3.5 - 2.5 - 0.5 * 0.53**2
    )
    assert energy_floor(Composition("Bi2Te3"), references) == ENERGY_FLOOR
    assert energy_floor(Composition("W")) < -12.96  # tungsten's own PBE energy must pass


@pytest.mark.parametrize(
    ("formula", "measured"),  # eV/atom, from enthalpies of formation at 298 K (CRC Handbook)
    [
        ("LaF3", -4.4),
        ("CaF2", -4.2),
        ("HfO2", -3.95),
        ("Al2O3", -3.47),
        ("SiO2", -3.14),
        ("Li2O", -2.07),
        ("WO3", -2.18),
        ("TiN", -1.75),
    ],
)
def test_known_compounds_lie_well_above_the_deepest(formula: str, measured: float) -> None:
    assert measured > 0.5 - deepest_formation(Composition(formula))
    assert deepest_formation(Composition("Bi2Se3")) == pytest.approx(2.64, abs=0.01)
    assert deepest_formation(Composition("XeF2")) <= deepest_formation(Composition("ArF2")) == 5


def test_references_make_the_bound_tighter(rock_salt: Structure) -> None:
    check_physical(rock_salt, -10)
    with pytest.raises(RelaxationError, match=r"below the bound of -6\.34"):
        check_physical(rock_salt, -10, references={"Bi": -3.9, "Se": -3.5})


def test_an_unknown_reason_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="reason must be one of"):
        RelaxationError("gave_up", "tired")  # type: ignore[arg-type]
    assert issubclass(RelaxationError, CcdcganError)


class FallingAtoms(Atoms):
    """Atoms on a potential that is flat: `level` in eV/atom, no forces."""

    level = -3.6

    def get_potential_energy(self, *_: Any, **__: Any) -> float:
        return self.level * len(self)

    def get_forces(self, *_: Any, **__: Any) -> np.ndarray:
        return np.zeros((len(self), 3))


@pytest.fixture
def falling(rock_salt: Structure) -> FallingAtoms:
    return FallingAtoms(rock_salt.to_ase_atoms())


def test_the_observer_stops_at_the_step_of_the_fall(falling: FallingAtoms) -> None:
    observer = RelaxationObserver(falling)
    observer()
    observer()
    falling.level = -4e12
    with pytest.raises(RelaxationError, match="at step 2: the energy fell to -4e\\+12"):
        observer()


def test_the_observer_allows_a_small_fall_only(falling: FallingAtoms) -> None:
    observer = RelaxationObserver(falling, max_fall=1.0)
    observer()
    falling.level = -4.5
    observer()
    falling.level = -4.7
    with pytest.raises(RelaxationError, match=r"below the bound of -4\.60"):
        observer()


def test_the_observer_lets_a_high_start_fall_to_its_crystal_where_the_elements_are_known(falling: FallingAtoms) -> None:
    observer = RelaxationObserver(falling, references={"Bi": -3.9, "Se": -3.5}, max_fall=1.0)
    falling.level = -2.0
    observer()
    falling.level = -4.1  # BiSe forms with 0.4
    observer()
    falling.level = -9.7
    with pytest.raises(RelaxationError, match=r"below the bound of -6\.34"):
        observer()


def test_the_observer_lets_a_tight_start_open_but_not_close() -> None:
    pair = FallingAtoms("BiSe", positions=[[0, 0, 0], [0, 0, 1.16]], cell=[5.8] * 3, pbc=True)  # ratio 0.43
    observer = RelaxationObserver(pair)
    for _ in range(5):
        observer()
    pair.positions[1, 2] = 0.87  # ratio 0.32
    with pytest.raises(RelaxationError, match=r"at step 5: .* closer than the bound of 0\.35"):
        observer()
