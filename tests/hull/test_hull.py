"""The hull, on energies that can be checked by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.errors import HullError, MixedMethodsError
from ccdcgan_al.hull import hull as hull_module
from ccdcgan_al.hull.element_references import OWN, ElementReferences, materials_project_energies
from ccdcgan_al.hull.hull import Hull
from ccdcgan_al.hull.novelty import claimed_phases, new_phases
from ccdcgan_al.loop import hull_counts
from ccdcgan_al.structures import matching
from ccdcgan_al.types import HullEntry, Method, Origin, Phase

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RAW = Method("sevennet", "SevenNet 7net-0", "0.13.0")
BISE = ("Bi", "Se")


def build_hull(phases: Sequence[Phase], elements: Sequence[str]) -> Hull:
    """The hull of made-up energies, the zero their own elements."""
    return hull_module.build_hull(phases, elements, OWN)


def bismuth() -> Structure:
    return Structure.from_spacegroup("R-3m", Lattice.hexagonal(4.546, 11.862), ["Bi"], [[0, 0, 0.2339]])


def selenium() -> Structure:
    return Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.366, 4.954), ["Se"], [[0.2254, 0, 1 / 3]])


def bi2se3() -> Structure:
    cell = Lattice.hexagonal(4.143, 28.636)
    return Structure.from_spacegroup("R-3m", cell, ["Bi", "Se", "Se"], [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]])


def rocksalt(cation: str = "Bi", anion: str = "Se", length: float = 5.9) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def bise3() -> Structure:
    # the BiF3 type
    sites = [[0, 0, 0], [0.25, 0.25, 0.25], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.6), ["Bi", "Se", "Se"], sites)


def phase(
    structure_id: str, structure: Structure, energy: float, origin: Origin = "reference", method: Method = RAW
) -> Phase:
    return Phase(structure_id, structure, energy, method, origin, 1 if origin == "generated" else 0)


@pytest.fixture
def three() -> list[Phase]:
    # Bi at -4, Se at -3: Bi2Se3 lies on the line at -3.4, BiSe at -3.5
    return [
        phase("bi", bismuth(), -4.0),
        phase("se", selenium(), -3.0),
        phase("bi2se3", bi2se3(), -3.8, "seed"),  # formation -0.4, on the hull
        phase("bise", rocksalt(), -3.7, "generated"),  # formation -0.2; hull at x = 0.5 is -0.4 * 0.5 / 0.6 = -1/3
    ]


def test_by_hand(three: list[Phase]) -> None:
    entries = {entry.structure_id: entry for entry in build_hull(three, BISE).entries}
    assert list(entries) == ["bi", "bi2se3", "bise", "se"]
    tetradymite, rock = entries["bi2se3"], entries["bise"]
    assert (tetradymite.formula, tetradymite.space_group, tetradymite.n_sites) == ("Bi2Se3", "R-3m", 15)
    assert tetradymite.formation_energy_per_atom == pytest.approx(-0.4)
    assert tetradymite.energy_above_hull == 0
    assert tetradymite.corrected_formation_energy_per_atom == pytest.approx(-0.4 - 0.6 * 0.472)
    assert rock.formation_energy_per_atom == pytest.approx(-0.2)
    assert rock.energy_above_hull == pytest.approx(1 / 3 - 0.2)
    # corrected: BiSe at -0.2 - 0.236; the tie line from Bi to Bi2Se3 at x = 0.5 is (-0.4 - 0.2832) * 0.5 / 0.6
    assert rock.corrected_energy_above_hull == pytest.approx(0.6832 * 5 / 6 - 0.436)
    assert (rock.origin, rock.round_number, rock.correction_driven) == ("generated", 1, False)
    assert entries["bi"].formation_energy_per_atom == entries["se"].energy_above_hull == 0


def test_candidate_below_the_hull_is_negative(three: list[Phase]) -> None:
    hull = build_hull(three[:3], BISE)
    assert hull.energy_above(phase("low", rocksalt(), -3.9, "generated")) == pytest.approx(1 / 3 - 0.4)
    assert hull.energy_above(three[2]) == pytest.approx(0, abs=1e-9)
    assert hull.energy_above(three[3], corrected=True) == pytest.approx(0.6832 * 5 / 6 - 0.436)


def test_correction_driven_phase_is_no_discovery(three: list[Phase]) -> None:
    # BiSe3: the uncorrected tie line from Bi2Se3 to Se at x = 0.75 is -0.25; 10 meV above it is not on the hull.
    # Corrected it gains 0.75 * 0.472 = 0.354, the line only 0.2832 * 0.25 / 0.4 = 0.177
    trap = phase("trap", bise3(), -3.25 - 0.25 + 0.01, "generated")
    hull = build_hull([*three, trap], BISE)
    entry = next(entry for entry in hull.entries if entry.structure_id == "trap")
    assert entry.energy_above_hull == pytest.approx(0.01)
    assert entry.corrected_energy_above_hull == 0
    assert entry.correction_driven
    assert new_phases(hull, []) == []
    assert new_phases(hull, [], within=0.05) == []


def test_energies_with_corrections_inside_give_the_same_hull(three: list[Phase]) -> None:
    inside = replace(RAW, corrections="MP2020")
    shift = {"bi": 0.0, "se": 0.0, "bi2se3": -0.6 * 0.472, "bise": -0.5 * 0.472}
    other = [
        replace(item, energy_per_atom=item.energy_per_atom + shift[item.structure_id], method=inside) for item in three
    ]
    for first, second in zip(build_hull(three, BISE).entries, build_hull(other, BISE).entries, strict=True):
        assert second.energy_above_hull == pytest.approx(first.energy_above_hull)
        assert second.corrected_energy_above_hull == pytest.approx(first.corrected_energy_above_hull)


def test_r2scan_is_not_corrected(three: list[Phase]) -> None:
    r2scan = Method("vasp", "VASP", "6.4.2", functional="r2SCAN")
    for entry in build_hull([replace(item, method=r2scan) for item in three], BISE).entries:
        assert entry.corrected_energy_above_hull == entry.energy_above_hull


@pytest.mark.parametrize("change", [{"version": "0.12.0"}, {"corrections": "MP2020"}, {"functional": "r2SCAN"}])
def test_mixtures_are_refused_and_named(three: list[Phase], change: dict[str, str]) -> None:
    mixed = [*three[:3], replace(three[3], method=replace(RAW, **change))]
    with pytest.raises(MixedMethodsError, match=r"one method, got 2: .*: bi, bi2se3, se; .*: bise; relax them"):
        build_hull(mixed, BISE)
    with pytest.raises(MixedMethodsError, match="bise"):
        build_hull(three[:3], BISE).energy_above(mixed[3])


def test_bad_input_is_told(three: list[Phase]) -> None:
    with pytest.raises(HullError, match="got none"):
        build_hull([], BISE)
    with pytest.raises(HullError, match="no phase of the element Se among 3"):
        build_hull([three[0], *three[2:]], BISE)
    with pytest.raises(HullError, match="must be unique in a hull; repeated: bi"):
        build_hull([*three, three[0]], BISE)
    with pytest.raises(HullError, match="mnse holds Mn; wanted elements of Bi-Se"):
        build_hull([*three, phase("mnse", rocksalt("Mn"), -5.0)], BISE)
    with pytest.raises(HullError, match="correction scheme 'mine'"):
        build_hull([replace(item, method=replace(RAW, corrections="mine")) for item in three], BISE)


def test_duplicates_count_once(three: list[Phase]) -> None:
    again = phase("again", rocksalt(length=6.0).get_primitive_structure(), -3.71, "generated")
    hull = build_hull([*three, again], BISE)
    assert len(hull.entries) == 5
    assert [entry.structure_id for entry in hull.unique_entries()] == ["again", "bi", "bi2se3", "se"]


def test_a_known_phase_stands_for_its_generated_copy(three: list[Phase]) -> None:
    copy = bi2se3().get_primitive_structure()
    slightly_lower = build_hull([*three, phase("copy", copy, -3.8003, "generated")], BISE)
    assert [entry.structure_id for entry in slightly_lower.unique_entries()] == ["bi", "bi2se3", "bise", "se"]
    assert next(e for e in slightly_lower.entries if e.structure_id == "bi2se3").energy_above_hull == pytest.approx(
        3e-4
    )
    far_lower = build_hull([*three, phase("copy", copy, -3.82, "generated")], BISE)
    assert [entry.structure_id for entry in far_lower.unique_entries()] == ["bi", "bise", "copy", "se"]


def test_new_phases_are_matched_by_structure(three: list[Phase]) -> None:
    low = [*three[:3], phase("first", rocksalt(), -3.9, "generated"), phase("second", rocksalt(), -3.91, "generated")]
    hull = build_hull(low, BISE)
    assert [entry.structure_id for entry in new_phases(hull, [])] == ["second"]
    caesium_chloride = Structure(Lattice.cubic(3.6), BISE, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert [entry.structure_id for entry in new_phases(hull, [caesium_chloride])] == ["second"]
    assert new_phases(hull, [rocksalt(length=5.5)]) == []
    # a seed that relaxed to the same structure makes it known, though the generated one is lower
    assert new_phases(build_hull([*low, phase("seed", rocksalt(), -3.905, "seed")], BISE), []) == []
    near = build_hull(three, BISE)
    assert new_phases(near, [], within=0.1) == []
    assert [entry.structure_id for entry in new_phases(near, [], within=0.14)] == ["bise"]


def test_a_new_phase_counts_in_the_round_of_its_first_copy(three: list[Phase]) -> None:
    first = phase("first", rocksalt(), -3.9, "generated")
    lower = replace(phase("lower", rocksalt(), -3.9001, "generated"), round_number=2)
    hull = build_hull([*three[:3], first, lower], BISE)
    assert [entry.structure_id for entry in new_phases(hull, [])] == ["lower"]
    assert [hull_counts(hull, number)["stable"] for number in (1, 2)] == [1, 0]
    assert [hull_counts(hull, number)["within_100_mev"] for number in (1, 2)] == [1, 0]
    poorly = build_hull(
        [*three[:3], phase("first", rocksalt(), -3.87, "generated"), lower], BISE
    )  # 30 meV/atom above it
    assert [hull_counts(poorly, number)["stable"] for number in (1, 2)] == [0, 1]
    assert [hull_counts(poorly, number)["within_50_mev"] for number in (1, 2)] == [1, 0]
    alone = build_hull([*three[:3], lower], BISE)
    assert [hull_counts(alone, number)["stable"] for number in (1, 2)] == [0, 1]


def test_self_test_catches_a_wrong_hull(three: list[Phase], monkeypatch: pytest.MonkeyPatch) -> None:
    right = build_hull(three, BISE).entries
    wrong = tuple(replace(entry, energy_above_hull=0.002) if entry.structure_id == "se" else entry for entry in right)
    monkeypatch.setattr(hull_module, "_entries", lambda *_: wrong)
    with pytest.raises(HullError, match=r"self-test of the uncorrected hull: se \(Se\) has 0.0020"):
        build_hull(three, BISE)


def test_ternary_by_hand() -> None:
    lithium = Structure(Lattice.cubic(3.4), ["Li"], [[0, 0, 0]])
    cobalt = Structure(Lattice.cubic(2.3), ["Co"], [[0, 0, 0]])
    oxygen = Structure(Lattice.cubic(3.5), ["O", "O"], [[0, 0, 0], [0.35, 0, 0]])
    cell = Structure(Lattice.cubic(3.9), ["Li", "Co", "O", "O", "O"], [[0, 0, 0], [0.5] * 3, *_face_centres()])
    r2scan = replace(RAW, functional="r2SCAN")
    phases = [
        phase("li", lithium, -1.0, method=r2scan),
        phase("co", cobalt, -2.0, method=r2scan),
        phase("o", oxygen, -3.0, method=r2scan),
        phase("coo", rocksalt("Co", "O", 4.2), -3.5, "seed", r2scan),  # formation -1
        phase("licoo3", cell, -3.0, "generated", r2scan),
    ]
    hull = build_hull(phases, ("Co", "Li", "O"))
    entry = next(entry for entry in hull.entries if entry.structure_id == "licoo3")
    # elements: (-1 - 2 - 9) / 5 = -2.4; decomposes to CoO (0.4 of the atoms, -1 each) + Li + O
    assert entry.formation_energy_per_atom == pytest.approx(-0.6)
    assert entry.energy_above_hull == 0
    assert hull.energy_above(replace(phases[4], energy_per_atom=-2.7)) == pytest.approx(0.3)
    assert build_hull(phases[:4], ("Co", "Li", "O")).energy_above(phases[4]) == pytest.approx(-0.2)


def _face_centres() -> list[list[float]]:
    return [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def test_what_speaks_against_a_phase_is_told(three: list[Phase]) -> None:
    hollow = rocksalt(length=20.0)  # 1000 Å^3 an atom
    hull = build_hull(
        [*three[:3], phase("hollow", hollow, -3.9, "generated"), phase("saddle", bise3(), -3.7, "generated")], BISE
    )
    assert [entry.structure_id for entry in new_phases(hull, [])] == ["saddle"]
    unstable = {"saddle": "slightly distorted it relaxes to another structure"}
    assert new_phases(hull, [], unstable=unstable) == []
    ((first, crystal), (second, minimum)) = claimed_phases(hull, [], unstable=unstable)
    assert (first.structure_id, second.structure_id) == ("hollow", "saddle")
    assert "Å^3 an atom" in str(crystal)
    assert minimum == unstable["saddle"]


def test_quaternary_by_hand() -> None:
    r2scan, elements = replace(RAW, functional="r2SCAN"), ("Al", "Cu", "Fe", "Ni")
    atoms = [phase(el, Structure(Lattice.cubic(2.8), [el], [[0, 0, 0]]), -3.0, method=r2scan) for el in elements]
    sites = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    four = phase("four", Structure(Lattice.cubic(3.7), elements, sites), -3.2, "generated", r2scan)
    two = phase("two", rocksalt("Cu", "Ni", 4.0), -3.1, "seed", r2scan)
    hull = build_hull([*atoms, two, four], elements)
    assert {entry.structure_id for entry, _ in hull.on_hull()} == {*elements, "two", "four"}
    # AlCuFeNi: half of its atoms could be CuNi at -0.1
    assert build_hull([*atoms, two], elements).energy_above(four) == pytest.approx(-0.2 + 0.05)
    assert hull.energy_above(replace(four, energy_per_atom=-3.0)) == pytest.approx(0.2)


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_v2o3_as_the_materials_project_has_it() -> None:
    file = SHARED / "vasp" / "mp_phase_diagram_tutorial" / "MP-example-V-O-phase-diagram.json.gz"
    with gzip.open(file) as stream:
        documents = json.load(stream)
    method = Method("vasp", "VASP", "5.4.4")
    phases = []
    for name, tasks in documents.items():
        task = tasks.get("GGA+U Static") or tasks["GGA Static"]
        structure = Structure.from_dict(task["structure"])
        phases.append(phase(name, structure, task["entry"]["energy"] / len(structure), method=method))
    entries = {entry.structure_id: entry for entry in build_hull(phases, ("O", "V")).entries}
    # mp-18937 in the Materials Project, corrections included
    assert entries["mp-18937"].corrected_formation_energy_per_atom == pytest.approx(-2.526, abs=0.005)


def test_tolerances_are_those_of_mattergen() -> None:
    assert (matching.LTOL, matching.STOL, matching.ANGLE_TOL) == (0.2, 0.3, 5)


def stretched(ratio: float) -> Structure:
    """Caesium chloride, c / a as given."""
    return Structure(Lattice.tetragonal(3.6, 3.6 * ratio), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_a_copy_of_a_relaxed_seed_is_not_new_though_a_lower_phase_stands_between(three: list[Phase]) -> None:
    """Matching is not transitive: the lowest matches the seed, the seed the third, the lowest not the third."""
    lowest, seed, third = stretched(1.0), stretched(1.22), stretched(1.49)
    matcher = matching.structure_matcher()
    assert [matcher.fit(*pair) for pair in ((lowest, seed), (seed, third), (lowest, third))] == [True, True, False]
    phases = [
        *three[:3],
        phase("a", lowest, -3.78, "generated"),
        phase("b", seed, -3.77, "seed"),
        phase("c", third, -3.76, "generated"),
    ]
    assert claimed_phases(build_hull(phases, BISE), [], within=0.2) == []


# the elements' energies


def lifted(bi: float = 0.0, se: float = 0.0) -> list[Phase]:
    """Phases of a potential that puts the elements so far above the Materials Project's (eV/atom); the compounds are right."""
    known = materials_project_energies()
    line = (2 * known["Bi"] + 3 * known["Se"]) / 5
    return [
        phase("bi", bismuth(), known["Bi"] + bi),
        phase("bi-fcc", Structure(Lattice.cubic(5.0), ["Bi"], [[0, 0, 0]]), known["Bi"] + bi + 0.1),
        phase("se", selenium(), known["Se"] + se),
        phase("bi2se3", bi2se3(), line - 0.4, "seed"),
    ]


def test_the_materials_projects_elements_stand_at_the_corners_of_a_pbe_potentials_hull() -> None:
    hull = hull_module.build_hull(lifted(bi=0.2, se=0.04), BISE)
    assert hull.element_references.scheme == "materials_project"
    entries = {entry.structure_id: entry for entry in hull.entries}
    tetradymite = entries["bi2se3"]
    assert tetradymite.formation_energy_per_atom == pytest.approx(-0.4)
    assert tetradymite.own_elements_formation_energy_per_atom == pytest.approx(-0.4 - 0.4 * 0.2 - 0.6 * 0.04)
    assert (tetradymite.energy_above_hull, tetradymite.own_elements_energy_above_hull) == (0, 0)
    # the phases of an element keep their distances
    assert entries["bi"].formation_energy_per_atom == pytest.approx(0, abs=1e-12)
    assert entries["bi-fcc"].formation_energy_per_atom == pytest.approx(0.1)
    assert hull.formation_energy_at(bi2se3()) == pytest.approx(-0.4)
    assert hull.element_deviations == pytest.approx({"Bi": 0.2, "Se": 0.04})
    assert [warning.split(":")[0] for warning in hull.element_warnings] == ["Bi", "Se"]
    for item in hull.phases:
        assert hull.energy_above(item) == pytest.approx(entries[item.structure_id].energy_above_hull)
        own = entries[item.structure_id].own_elements_energy_above_hull
        assert hull.energy_above(item, own_elements=True) == pytest.approx(own)


def test_a_phase_that_elements_too_high_put_on_the_hull_is_flagged_and_is_no_discovery() -> None:
    """Bi7Se, 30 meV/atom above the tie line from Bi2Se3 to Bi; with Bi 200 too high it lies below it."""
    known = materials_project_energies()
    energy = (7 * known["Bi"] + known["Se"]) / 8 - 0.4 * (1 / 8) / 0.6 + 0.03
    bi7se = Structure(Lattice.cubic(6.5), ["Bi"] * 7 + ["Se"], [[k / 8] * 3 for k in range(8)])
    rich = phase("rich", bi7se, energy, "generated")
    hull = hull_module.build_hull([*lifted(bi=0.2), rich], BISE)
    entry = next(entry for entry in hull.entries if entry.structure_id == "rich")
    assert entry.energy_above_hull == pytest.approx(0.03)
    assert entry.own_elements_energy_above_hull == 0
    assert entry.element_driven
    assert new_phases(hull, []) == []
    assert hull_counts(hull, 1)["stable"] == 0
    assert [found.structure_id for found in claimed_entries(hull, 0.05)] == ["rich"]  # a candidate, above the hull
    assert [entry.element_driven for entry in hull.unique_entries(0.0) if entry.structure_id == "rich"] == [True]


def claimed_entries(hull: Hull, within: float) -> list[HullEntry]:
    return [entry for entry, _ in claimed_phases(hull, [], within)]


def test_a_phase_that_the_materials_projects_elements_alone_put_on_the_hull_is_no_candidate_either() -> None:
    """Bi 100 too low by the potential: with its own elements the phase lies 80 above the hull."""
    known = materials_project_energies()
    energy = (7 * known["Bi"] + known["Se"]) / 8 - 0.4 * (1 / 8) / 0.6 - 0.001
    bi7se = Structure(Lattice.cubic(6.5), ["Bi"] * 7 + ["Se"], [[k / 8] * 3 for k in range(8)])
    hull = hull_module.build_hull([*lifted(bi=-0.1), phase("rich", bi7se, energy, "generated")], BISE)
    entry = next(entry for entry in hull.entries if entry.structure_id == "rich")
    assert entry.energy_above_hull == 0
    assert entry.own_elements_energy_above_hull is not None
    assert entry.own_elements_energy_above_hull > 0.05
    assert entry.element_driven
    assert claimed_entries(hull, 0.1) == []


def test_elements_of_another_functional_are_refused() -> None:
    r2scan = Method("matpes-r2scan", "TensorNet MatPES-r2SCAN", "1", functional="r2SCAN")
    phases = [replace(item, method=r2scan) for item in lifted()]
    assert hull_module.build_hull(phases, BISE).element_references.scheme == "own"
    assert hull_module.build_hull(phases, BISE).element_warnings == [
        "there is no table of the elements' r2SCAN energies, so they are not checked"
    ]
    known = ElementReferences("materials_project", materials_project_energies())
    with pytest.raises(
        MixedMethodsError, match=r"the Materials Project's elements have PBE energies, the phases are of matpes-r2scan"
    ):
        hull_module.build_hull(phases, BISE, known)


def test_references_that_lack_an_element_are_refused() -> None:
    with pytest.raises(
        HullError, match=r"the Materials Project's elements have no energy of Se; wanted one of each of Bi-Se"
    ):
        hull_module.build_hull(lifted(), BISE, ElementReferences("materials_project", {"Bi": -3.9}))


def test_a_correction_that_cannot_be_computed_empties_the_corrected_hull_alone(
    three: list[Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(structure: Structure, **_: object) -> float:
        if len(structure.composition) > 1:
            raise HullError("no MP2020 correction for it: no electronegativity of Ar")
        return 0.0

    monkeypatch.setattr(hull_module, "mp2020_correction_per_atom", lacking)
    hull = build_hull(three, BISE)
    assert "no electronegativity of Ar" in hull.no_corrections
    assert {entry.corrected_energy_above_hull for entry in hull.entries} == {None}
    assert not any(entry.correction_driven for entry in hull.entries)
    entries = {entry.structure_id: entry for entry in hull.entries}
    assert entries["bi2se3"].formation_energy_per_atom == pytest.approx(-0.4)
    with pytest.raises(HullError, match="there is no corrected hull"):
        hull.energy_above(three[2], corrected=True)


def test_oxidation_states_change_nothing(three: list[Phase]) -> None:
    decorated = [replace(item, structure=item.structure.copy()) for item in three]
    for item in decorated[2:]:
        item.structure.add_oxidation_state_by_element({"Bi": 3, "Se": -2})
    for first, second in zip(build_hull(three, BISE).entries, build_hull(decorated, BISE).entries, strict=True):
        assert second == first
