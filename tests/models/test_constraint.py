"""The constraint, on synthetic graphs whose energy is known: it learns, says how wrong it is, and survives storage."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.crystal_codec import CrystalCodec
from ccdcgan_al.errors import TooFewExamplesError, WeightsError
from ccdcgan_al.models import runtime
from ccdcgan_al.models.constraint import (
    ConstraintSettings,
    FloatArray,
    FormationEnergyConstraint,
    LearnedConstraint,
    assign_folds,
    rows_to_learn,
)
from tests.equivalent_graphs import equivalent_graphs

SIDE = 28
IMAGE = ConstraintSettings(members=3, networks="image", epochs=12, batch_size=16, learning_rate=3e-3, filters=4)
PAIRS = ConstraintSettings(members=3, epochs=40, batch_size=16, learning_rate=3e-3, filters=4)
TINY = ConstraintSettings(members=2, networks="image", epochs=1, filters=1)


def synthetic(seed: int, structures: int = 80, families: int = 20) -> tuple[FloatArray, FloatArray, list[str]]:
    """Graphs (n, 2, 28, 28, 1) of families that look alike, energies (n,) in eV/atom written in one patch, and families."""
    rng = np.random.default_rng(seed)
    templates = rng.normal(scale=0.3, size=(families, SIDE, SIDE, 1))
    family = np.concatenate([np.arange(families), rng.integers(0, families, structures - families)])
    hidden = rng.uniform(-0.8, 0.8, structures)
    graphs = np.repeat(templates[family][:, None], 2, axis=1) + rng.normal(
        scale=0.15, size=(structures, 2, SIDE, SIDE, 1)
    )
    graphs[:, :, 5:9, 5:9, 0] = hidden[:, None, None, None] + rng.normal(scale=0.05, size=(structures, 2, 4, 4))
    return np.clip(graphs, -1, 1).astype(np.float32), 0.5 * hidden - 0.2, [f"family {k}" for k in family]


@pytest.fixture(scope="module")
def trained() -> FormationEnergyConstraint:
    runtime.start(0)
    constraint = FormationEnergyConstraint(SIDE, IMAGE)
    constraint.fit(*synthetic(0))
    return constraint


def test_learns_better_than_the_mean(trained: FormationEnergyConstraint) -> None:
    _, energies, _ = synthetic(0)
    mean_error = np.abs(energies - energies.mean()).mean()
    assert trained.held_out_count == 80
    assert trained.held_out_mae is not None
    assert trained.held_out_mae < 0.6 * mean_error
    graphs, energies, _ = synthetic(1)  # other families altogether
    predicted, spread = trained.predict(graphs[:, 0])
    assert predicted.shape == spread.shape == (80,)
    assert np.abs(predicted - energies).mean() < 0.6 * np.abs(energies - energies.mean()).mean()


def test_uncertainty_is_of_the_size_of_the_error(trained: FormationEnergyConstraint) -> None:
    assert trained.calibration > 0
    graphs, energies, _ = synthetic(1)
    predicted, spread = trained.predict(graphs[:, 0])
    assert (spread > 0).all()
    ratio = np.sqrt(np.mean((predicted - energies) ** 2) / np.mean(spread**2))
    assert 1 / 3 < ratio < 3


def test_back_propagates_the_same_figures(trained: FormationEnergyConstraint) -> None:
    import tensorflow as tf

    graphs = tf.constant(synthetic(1)[0][:8, 0])
    with tf.GradientTape() as tape:
        tape.watch(graphs)
        energies = trained(graphs)
    assert energies.shape == (8, 1)
    np.testing.assert_allclose(energies[:, 0], trained.predict(graphs.numpy())[0], atol=1e-5)
    gradient = np.abs(tape.gradient(energies, graphs).numpy())
    assert gradient[:, 5:9, 5:9].mean() > 3 * gradient.mean()


def crystals(seed: int, count: int) -> tuple[FloatArray, FloatArray, list[str]]:
    """Graphs (n, 3, 28, 28, 1) of random Bi-Se cells (two settings of one crystal, and a strained one), and an energy that bonds give (eV/atom)."""
    rng = np.random.default_rng(seed)
    codec = CrystalCodec.load("fast", ("Bi", "Se"))
    graphs, energies = [], []
    for _ in range(count):
        lattice = Lattice.orthorhombic(*rng.uniform(3, 4.5, 3))
        structure = Structure(lattice, ["Bi", "Se"], [[0, 0, 0], rng.uniform(0.4, 0.6, 3)])
        strained = structure.copy()
        strained.scale_lattice(structure.volume * rng.uniform(0.8, 1.2))
        graphs.append([*equivalent_graphs(codec, structure, 2, rng), codec.encode([strained])[0]])
        energies.append(float(structure.get_distance(0, 1)) - 3.5)
    return np.array(graphs), np.array(energies), [f"family {i % (count // 2)}" for i in range(count)]


@pytest.fixture(scope="module")
def of_pairs() -> FormationEnergyConstraint:
    runtime.start(0)
    constraint = FormationEnergyConstraint(SIDE, PAIRS)
    constraint.fit(*crystals(0, 60))
    return constraint


def test_learns_bonds_from_pair_correlations(of_pairs: FormationEnergyConstraint) -> None:
    graphs, energies, _ = crystals(1, 40)
    mean_error = np.abs(energies - energies.mean()).mean()
    assert of_pairs.held_out_count == 60
    assert of_pairs.held_out_mae is not None
    assert of_pairs.held_out_mae < 0.5 * mean_error
    predicted, spread = of_pairs.predict(graphs[:, 0])
    assert np.abs(predicted - energies).mean() < 0.5 * mean_error
    assert (spread > 0).all()
    np.testing.assert_allclose(
        of_pairs.predict(graphs[:, 1])[0], predicted, atol=1e-3
    )  # another setting of the same crystal
    assert all(1 <= epochs <= PAIRS.epochs for epochs in of_pairs.epochs_run)


def test_settings_that_look_the_same_count_once() -> None:
    inputs = np.random.default_rng(0).normal(size=(5, 3, 7))
    inputs[:, 1] = inputs[:, 0] + 5e-4
    rows, weights = rows_to_learn(inputs, 0.1)
    assert rows.tolist() == [[i, j] for i in range(5) for j in (0, 2)]
    np.testing.assert_allclose(weights, [1, 0.1] * 5)


def test_finite_gradients_for_no_crystal(of_pairs: FormationEnergyConstraint) -> None:
    import tensorflow as tf

    noise = tf.constant(np.random.default_rng(0).uniform(-1, 1, (50, SIDE, SIDE, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(noise)
        energies = of_pairs(noise)
    assert np.isfinite(energies.numpy()).all()
    assert np.isfinite(tape.gradient(energies, noise).numpy()).all()
    np.testing.assert_allclose(energies.numpy()[:, 0], of_pairs.predict(noise.numpy())[0], atol=1e-5)


def test_pairs_survive_storage(of_pairs: FormationEnergyConstraint) -> None:
    graphs = crystals(1, 5)[0][:, 0]
    back = FormationEnergyConstraint.from_bytes(of_pairs.to_bytes())
    np.testing.assert_array_equal(back.predict(graphs), of_pairs.predict(graphs))
    assert back.to_bytes() == of_pairs.to_bytes()


def test_the_number_of_elements_is_found() -> None:
    codec = CrystalCodec.load("fast", ("Bi", "Se", "Te"))
    graphs, energies, families = crystals(0, 12)
    cells = [Structure(Lattice.cubic(3 + 0.05 * i), ["Bi", "Te"], [[0] * 3, [0.5] * 3]) for i in range(12)]
    three = FormationEnergyConstraint(SIDE, ConstraintSettings(members=2, epochs=1, filters=1))
    three.fit(codec.encode(cells)[:, None], energies, families)
    two = FormationEnergyConstraint(SIDE, ConstraintSettings(members=2, epochs=1, filters=1))
    two.fit(graphs, energies, families)
    assert (three.n_elements, two.n_elements) == (3, 2)
    assert FormationEnergyConstraint.from_bytes(three.to_bytes()).n_elements == 3


class StandInConstraint(LearnedConstraint):
    """Another quantity; for the tests."""

    quantity = "another quantity"


def test_another_quantity_is_refused() -> None:
    blob = StandInConstraint(SIDE, TINY).to_bytes()
    assert StandInConstraint.from_bytes(blob).quantity == "another quantity"
    with pytest.raises(WeightsError, match=r"a constraint of another quantity; wanted one of formation energy"):
        FormationEnergyConstraint.from_bytes(blob)


def test_values_that_are_no_numbers() -> None:
    graphs, energies, families = synthetic(0, structures=24, families=6)
    energies[3] = np.nan
    with pytest.raises(ValueError, match="1 of 24 values to learn are not finite"):
        FormationEnergyConstraint(SIDE, TINY).fit(graphs, energies, families)


def test_unknown_networks() -> None:
    with pytest.raises(ValueError, match="'pairs' or 'image', got 'cubes'"):
        ConstraintSettings(networks="cubes")  # type: ignore[arg-type]


def test_no_graphs(trained: FormationEnergyConstraint) -> None:
    energies, spread = trained.predict(np.zeros((0, SIDE, SIDE, 1)))
    assert energies.shape == spread.shape == (0,)


def test_round_trip(trained: FormationEnergyConstraint) -> None:
    blob = trained.to_bytes()
    back = FormationEnergyConstraint.from_bytes(blob)
    graphs = synthetic(1)[0][:20, 0]
    for before, after in zip(trained.predict(graphs), back.predict(graphs), strict=True):
        np.testing.assert_array_equal(before, after)
    assert (back.held_out_mae, back.held_out_count) == (trained.held_out_mae, trained.held_out_count)
    assert back.settings == IMAGE
    assert back.to_bytes() == blob


def test_same_seed_same_bytes() -> None:
    blobs = []
    for _ in range(2):
        runtime.start(3)
        constraint = FormationEnergyConstraint(SIDE, TINY)
        constraint.fit(*synthetic(0, structures=24, families=6))
        blobs.append(constraint.to_bytes())
    assert blobs[0] == blobs[1]


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, text in files.items():
            out.writestr(name.replace("__", "."), text)
    return buffer.getvalue()


HEAD = {
    "quantity": FormationEnergyConstraint.quantity,
    "side": SIDE,
    "n_elements": 2,
    "settings": {"members": 2, "networks": "image", "filters": 1},
}


@pytest.mark.parametrize("kept", [0, 1, 100, 2000, -2000, -1])
def test_truncated_bytes(kept: int) -> None:
    blob = FormationEnergyConstraint(SIDE, TINY).to_bytes()
    with pytest.raises(WeightsError, match="bytes are no constraint"):
        FormationEnergyConstraint.from_bytes(blob[:kept])


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"hello", "5 bytes are no constraint: File is not a zip file"),
        (archive(readme="x"), "no constraint.*head.json"),
        (archive(head__json="{"), "no constraint: Expecting"),
        (archive(head__json="[]"), "no constraint"),
        (archive(head__json=json.dumps(HEAD | {"settings": {"layers": 3}})), "no constraint.*layers"),
        (archive(head__json=json.dumps(HEAD)), "no constraint.*member0.npz"),
        (archive(head__json=json.dumps(HEAD), member0__npz="x"), "1 bytes are no weights of constraint_0"),
    ],
    ids=["text", "no head", "bad json", "a list", "unknown setting", "no members", "bad member"],
)
def test_foreign_bytes(blob: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        FormationEnergyConstraint.from_bytes(blob)


def test_an_incomplete_head() -> None:
    whole = FormationEnergyConstraint(SIDE, TINY).to_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, json.dumps(HEAD) if name == "head.json" else old.read(name))
    with pytest.raises(WeightsError, match="no constraint: 'mean'"):
        FormationEnergyConstraint.from_bytes(buffer.getvalue())


@given(families=st.lists(st.integers(0, 12).map(str), min_size=1, max_size=60), folds=st.integers(2, 6))
def test_families_are_never_split(families: list[str], folds: int) -> None:
    fold_of = assign_folds(families, folds)
    assert fold_of.shape == (len(families),)
    assert set(fold_of) <= set(range(folds))
    for family in set(families):
        assert len({int(fold) for fold, other in zip(fold_of, families, strict=True) if other == family}) == 1
    assert len(set(fold_of)) == min(folds, len(set(families)))
    largest = max(families.count(family) for family in set(families))
    sizes = np.bincount(fold_of, minlength=folds)
    assert sizes.max() - sizes.min() <= largest


def test_folds_do_not_depend_on_the_order() -> None:
    families = ["a", "b", "b", "c", "d", "d", "d"]
    np.testing.assert_array_equal(assign_folds(families, 3), assign_folds(families[::-1], 3)[::-1])
    assert assign_folds(["a", "a", "a", "b", "b", "c"], 2).tolist().count(0) == 3


def test_too_few_families() -> None:
    graphs, energies, _ = synthetic(0, structures=24, families=6)
    with pytest.raises(TooFewExamplesError, match="1 families of structures cannot be held out 3 times"):
        FormationEnergyConstraint(SIDE, TINY).fit(graphs, energies, ["a"] * 24)


def test_a_spread_needs_two() -> None:
    with pytest.raises(ValueError, match="at least 2 members, got 1"):
        ConstraintSettings(members=1)
