"""Starting structures: what must be among them, what must not, and what is refused."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.loop import starting_candidates
from ccdcgan_al.seeds.choose import (
    MAX_OWN_LENGTH,
    MAX_OWN_SITES,
    Seed,
    choose_seeds,
    element_structures,
    is_charge_balanced,
    prototype_structures,
    scale_to_predicted_volume,
    without_duplicates,
)
from ccdcgan_al.seeds.files import read_structures
from ccdcgan_al.seeds.prototypes import library, substitution
from workflows.experiments.campaign_spec import read_spec

BISE = ("Bi", "Se")


@pytest.fixture(scope="module")
def bise_seeds() -> list[Seed]:
    return choose_seeds(BISE)


def _spread(seeds: list[Seed]) -> list[tuple[str, str, float]]:
    return [(seed.label, seed.formula, round(seed.structure.volume, 6)) for seed in seeds]


@pytest.mark.slow
def test_references_come_first_and_hold_the_ground_states(bise_seeds: list[Seed]) -> None:
    assert [seed.origin for seed in bise_seeds] == ["reference"] * 8 + ["seed"] * 56
    bismuth, selenium = bise_seeds[0].structure, bise_seeds[4].structure
    assert (bismuth.formula, *bismuth.get_space_group_info()) == ("Bi2", "R-3m", 166)
    assert (selenium.formula, selenium.get_space_group_info()[1]) == ("Se3", 152)
    assert selenium.volume / 3 == pytest.approx(27.27, abs=0.05)  # 16.42 cm^3/mol


@pytest.mark.slow
def test_limits_and_spread(bise_seeds: list[Seed]) -> None:
    prototypes = bise_seeds[8:]
    assert all(len(seed.structure) <= 20 and max(seed.structure.lattice.abc) <= 10 for seed in prototypes)
    assert len({seed.formula for seed in prototypes}) >= 20
    assert len({seed.label for seed in prototypes}) >= 30
    assert all(set(BISE) == {element.symbol for element in seed.structure.composition} for seed in prototypes)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_tetradymite_is_always_there(seed: int, tetradymite: Structure) -> None:
    labels = {item.label: item for item in choose_seeds(BISE, seed=seed) if item.formula == "Bi2Se3"}
    assert StructureMatcher().fit(labels["A2B3_hR5_166_c_ac Bi2Te3"].structure, tetradymite)


@pytest.mark.slow
def test_same_seed_gives_the_same_list(bise_seeds: list[Seed]) -> None:
    assert _spread(choose_seeds(BISE)) == _spread(bise_seeds)
    assert _spread(choose_seeds(BISE, seed=1)) != _spread(bise_seeds)


@pytest.mark.slow
def test_withheld_structures_stay_out_at_any_volume(bise_seeds: list[Seed], tetradymite: Structure) -> None:
    swollen = tetradymite.copy()
    swollen.scale_lattice(1.5 * swollen.volume)
    for withheld in (tetradymite, swollen):
        seeds = choose_seeds(BISE, withhold=[withheld])
        assert len(seeds) == len(bise_seeds)
        assert not any(StructureMatcher().fit(withheld, seed.structure) for seed in seeds)


def test_ones_own_structures_are_withheld_too(tetradymite: Structure) -> None:
    hidden = str(tetradymite.to_json())
    campaign = Campaign("Bi-Se", seed_count=8, own_seeds={"mine.cif": hidden}, withheld=(hidden,))
    started = starting_candidates(campaign)
    assert len(started) == 8
    assert not any(StructureMatcher().fit(tetradymite, item.structure) for item in started)


def test_known_phases_beyond_the_codec_may_be_given_or_withheld(tmp_path: Path) -> None:
    known = {phase.name: phase.structure() for phase in read_spec("Bi-Se").known}
    assert max(len(structure) for structure in known.values()) == 17
    assert max(max(structure.lattice.abc) for structure in known.values()) > 30
    for number, structure in enumerate(known.values()):
        structure.to(filename=str(tmp_path / f"{number}.cif"), symprec=0.01)
    own = read_structures(tmp_path, BISE, MAX_OWN_SITES, MAX_OWN_LENGTH).or_stop()
    withheld = read_structures(tmp_path, BISE).or_stop()
    assert len(own) == len(withheld) == len(known)
    texts = {seed.label: str(seed.structure.to_json()) for seed in own}
    campaign = Campaign("Bi-Se", seed_count=8, own_seeds=texts)
    assert {item.source for item in starting_candidates(campaign)} >= set(texts)
    hidden = replace(campaign, withheld=tuple(texts.values()))
    assert not {item.source for item in starting_candidates(hidden)} & set(texts)


def test_no_two_prototypes_match() -> None:
    seeds = [seed for seed in prototype_structures(BISE) if seed.formula in {"Bi2Se3", "BiSe3"}]
    assert len(seeds) > 10
    assert len(StructureMatcher().group_structures([seed.structure for seed in seeds])) == len(seeds)


@pytest.mark.slow
def test_ternary_holds_its_binaries() -> None:
    seeds = choose_seeds(("Co", "Li", "O"), count=40)
    assert len(seeds) == 40
    assert {"Co", "Li", "O2", "Li2O", "CoO", "LiCoO2"} <= {seed.formula for seed in seeds}


@pytest.mark.parametrize(
    ("element", "label"),
    [
        ("Mn", "A_cI58_217_ac2g"),
        ("S", "A_oF128_70_4h"),
        ("Fe", "A_cI2_229_a"),
        ("O", "A_mC4_12_i"),
        ("Si", "A_cF8_227_a"),
    ],
)
def test_ground_state_is_first(element: str, label: str) -> None:
    structures = element_structures(element)
    assert structures[0].label.startswith(label + " ")
    assert len(structures) >= 4


def test_nitrogen_is_molecular() -> None:
    nitrogen = element_structures("N")[0].structure
    distances = sorted(nitrogen.get_distance(0, other) for other in range(1, len(nitrogen)))
    assert distances[0] == pytest.approx(1.1, abs=0.1)
    assert distances[1] > 2.5


@pytest.mark.parametrize(
    ("formula", "balanced"), [("Bi2Se3", True), ("BiSe", False), ("BiSe12", False), ("Li2O", True)]
)
def test_charge_balance(formula: str, balanced: bool) -> None:
    assert is_charge_balanced(formula) is balanced


@pytest.mark.parametrize("formula", ["BiSe6", "LiCoO2", "Fe2C3", "FeC2", "Ta2N3", "Mn7Ta6", "Ni3Ta"])
def test_charge_balance_is_that_of_pymatgens_guesses(formula: str) -> None:
    composition = Composition(formula)
    states = {element.symbol: [*element.common_oxidation_states] for element in composition}
    anion = max(composition, key=lambda element: element.X).symbol
    guesses = composition.oxi_state_guesses(oxi_states_override=states, max_sites=-20)
    whole = [guess for guess in guesses if all(state in states[symbol] for symbol, state in guess.items())]
    assert is_charge_balanced(formula) is any(guess[anion] < 0 for guess in whole)


def test_charge_balance_of_many_atoms_is_told_at_once() -> None:
    begun = time.process_time()
    assert not is_charge_balanced("Mn(FeC4)3")  # 8 s by mixing the states of 12 carbons
    assert time.process_time() - begun < 1


def test_too_few_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        choose_seeds(BISE, count=1)


CHOSEN = {  # as version 3e64d0c chose them: sha256 of what they are, and the sum of their volumes (Å^3)
    "Bi-Se": ("02d581f4bb0a4ffd", 13601.9),
    "Co-Li-O": ("1aa9abf50674659f", 6191.3),
    "Bi-S-Sb-Se-Te": ("5a422e101eff7580", 13481.3),
}


@pytest.mark.slow
@pytest.mark.parametrize("system", CHOSEN)
def test_the_same_structures_are_chosen_as_ever(system: str) -> None:
    chosen = choose_seeds(system.split("-"), 64, 0)
    text = "\n".join(f"{item.origin} {item.formula} {len(item.structure)} {item.label}" for item in chosen)
    digest, volume = CHOSEN[system]
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest, text
    assert sum(item.structure.volume for item in chosen) == pytest.approx(volume, abs=0.1)


@pytest.mark.slow
def test_many_elements_take_no_longer_than_two(bise_seeds: list[Seed]) -> None:
    del bise_seeds  # the library is read
    said: list[str] = []
    begun = time.process_time()
    choose_seeds(("Bi", "S", "Se"), 24, 0, [], [], said.append)
    assert time.process_time() - begun < 30
    assert said == ["Bi", "S", "Se", "Bi-S, 1 of 4", "Bi-Se, 2 of 4", "S-Se, 3 of 4", "Bi-S-Se, 4 of 4"]


@pytest.mark.slow
def test_duplicates_are_those_of_the_structures_themselves() -> None:
    """Also where the matcher makes a smaller cell of a dense structure: its tolerance is a length."""
    numbers = [n for n, prototype in enumerate(library()) if prototype.own and len(prototype.own) == 2]
    dense = [
        item
        for number in numbers
        if len(library()[number].structure) <= 6
        for order in (("Co", "O"), ("O", "Co"))
        if (item := substitution(number, order)) is not None and item.formula in ("Co2O", "CoO2")
    ]
    assert any(item.merges_at for item in dense)
    structures = [item.structure() for item in dense]
    matcher = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5.0)
    for i, first in enumerate(dense):
        for j, second in enumerate(dense):
            assert first.same_as(second) == bool(matcher.fit(structures[i], structures[j])), (first.label, second.label)


def test_the_first_of_matching_seeds_is_kept(tetradymite: Structure) -> None:
    swollen = tetradymite.copy()
    swollen.scale_lattice(2 * tetradymite.volume)
    seeds = [Seed(structure, name, "Bi2Se3") for structure, name in ((swollen, "a"), (tetradymite, "b"))]
    assert [seed.label for seed in without_duplicates(seeds)] == ["a"]


@pytest.mark.parametrize("formula", ["Bi2Se3", "ArFeO", "HeO2", "KrF2", "Fe2O3"])
def test_charge_balance_does_not_depend_on_the_order(formula: str) -> None:
    amounts = Composition(formula).get_el_amt_dict()
    turned = "".join(f"{symbol}{amount:g}" for symbol, amount in reversed(amounts.items()))
    assert is_charge_balanced(turned) is is_charge_balanced(formula)


ATOMS = st.lists(st.sampled_from(["Ar", "He", "Ne", "Kr", "Fe", "O", "Bi"]), min_size=2, max_size=5)


@settings(max_examples=40, deadline=None)
@given(symbols=ATOMS, data=st.data())
def test_neither_charge_nor_volume_depends_on_the_order(symbols: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(symbols))))
    assert is_charge_balanced("".join(symbols[i] for i in order)) is is_charge_balanced("".join(symbols))
    places = [[i / len(symbols), 0.2 * i % 1, 0.3 * i % 1] for i in range(len(symbols))]
    first = Structure(Lattice.cubic(5), symbols, places)
    second = Structure(Lattice.cubic(5), [symbols[i] for i in order], [places[i] for i in order])
    scaled = [scale_to_predicted_volume(structure) for structure in (first, second)]
    assert len({None if item is None else round(item.volume, 6) for item in scaled}) == 1


def test_volumes_are_those_of_pymatgens_predictor(tetradymite: Structure) -> None:
    from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

    predictor = DLSVolumePredictor(min_scaling=None, max_scaling=None)
    for structure in (tetradymite, *(seed.structure for seed in prototype_structures(BISE)[::20])):
        scaled = scale_to_predicted_volume(structure)
        assert scaled is not None
        assert scaled.volume == pytest.approx(predictor.predict(structure))


def test_a_compound_of_an_element_without_a_radius_has_no_volume() -> None:
    cell = Structure(Lattice.cubic(4), ["Bi", "He"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert scale_to_predicted_volume(cell) is None
    xenon = scale_to_predicted_volume(Structure(Lattice.cubic(4), ["Xe", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert xenon is not None
    assert 1.08 + 0.5 <= xenon.get_distance(0, 1) < 2.1  # XeF2 has 2.0
