"""The codec `paper`: its two autoencoders, their training and their weights."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from ccdcgan_al.codec.crystal_codec import CrystalCodec, DecodeFailure
from ccdcgan_al.codec.paper import weights as weights_module
from ccdcgan_al.codec.paper.sites import coarse_images, low_pass
from ccdcgan_al.codec.paper.train import random_cell, random_positions, train
from ccdcgan_al.codec.paper.weights import PaperWeights, shipped, write
from ccdcgan_al.codec.voxels import lattice_voxels, positions_voxels
from ccdcgan_al.errors import WeightsError
from ccdcgan_al.seeds.choose import prototype_structures
from launchpad.cli.main import app

FEW = settings(max_examples=8, deadline=None, derandomize=True)


def farthest(first: np.ndarray, second: np.ndarray) -> float:
    """Largest distance between paired points, the pairing being the best one."""
    from scipy.optimize import linear_sum_assignment

    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    return float(distances[linear_sum_assignment(distances)].max())


def image_of(positions: np.ndarray) -> np.ndarray:
    return positions_voxels(positions, np.zeros(len(positions), dtype=int), 1)[..., 0]


def test_the_low_pass_of_an_atom_is_the_closed_form() -> None:
    positions = np.array([[0.1, -2.3, 3.7]])
    np.testing.assert_allclose(low_pass(image_of(positions)), coarse_images(positions)[0], atol=0.01)


@FEW
@given(seed=st.integers(0, 2**32 - 1))
def test_atoms_come_back_within_a_twentieth_of_an_angstrom(seed: int) -> None:
    positions = random_positions(np.random.default_rng(seed))
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2) + 9 * np.eye(len(positions))
    positions = positions[apart.min(axis=1) > 1.5]  # as far apart as atoms of one element are
    found, misfit = shipped().sites.decode(shipped().sites.encode(image_of(positions)))
    assert len(found) == len(positions)
    assert misfit < 0.1
    if len(positions):
        assert farthest(positions, found) < 0.05


def test_a_noisy_latent_gives_atoms_nearby() -> None:
    rng = np.random.default_rng(3)
    positions = np.array([[0, 0, 0], [2.8, 0, 0], [0, 2.9, 1.0], [-2.0, -2.0, 1.5]])
    latent = shipped().sites.encode(image_of(positions)) + rng.normal(scale=0.02, size=200)
    found, _ = shipped().sites.decode(latent)
    assert len(found) == len(positions)
    assert farthest(positions, found) < 0.2


@FEW
@given(seed=st.integers(0, 2**32 - 1))
def test_a_cell_comes_back(seed: int) -> None:
    *lengths, alpha, beta, gamma = random_cell(np.random.default_rng(seed))
    lattice = Lattice.from_parameters(*lengths, *np.degrees(np.arccos([alpha, beta, gamma])))
    back = shipped().lattice.decode(shipped().lattice.encode(lattice_voxels(lattice)))
    assert back is not None
    np.testing.assert_allclose(back.abc, lattice.abc, atol=0.01)
    np.testing.assert_allclose(back.angles, lattice.angles, atol=0.3)


def test_numbers_that_are_no_latent_are_no_crystal() -> None:
    codec = CrystalCodec.load("paper", ("Bi", "Se"))
    rng = np.random.default_rng(0)
    answers = codec.decode(rng.choice([-0.9, 0.9], size=(3, 28, 28, 1)))
    assert all(isinstance(answer, DecodeFailure) for answer in answers)


@pytest.mark.slow
def test_prototypes_come_back_whole() -> None:
    codec = CrystalCodec.load("paper", ("Bi", "Se"))
    structures = [seed.structure for seed in prototype_structures(("Bi", "Se"))][::16]
    graphs = codec.encode(structures)
    assert graphs.shape == (len(structures), 28, 28, 1)
    assert np.abs(graphs).max() <= 1
    matcher = StructureMatcher()
    back = codec.decode(graphs)
    same = [isinstance(b, Structure) and matcher.fit(a, b) for a, b in zip(structures, back, strict=True)]
    assert len(same) >= 10
    assert all(same)


@pytest.mark.slow
def test_training_is_seeded_and_finds_components_that_decode() -> None:
    weights, card = train(seed=1, arrangements=600, cells=200)
    again, _ = train(seed=1, arrangements=600, cells=200)
    assert weights.to_bytes() == again.to_bytes()
    assert card["variance_explained"]["sites"] > 0.95
    positions = np.array([[0, 0, 0], [2.8, 0, 0], [0, 2.9, 1.0]])
    found, _ = weights.sites.decode(weights.sites.encode(image_of(positions)))
    assert farthest(positions, found) < 0.05


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(
        ValueError, match="got 100 arrangements and 200 cells: use more than 200 arrangements and more than 25 cells"
    ):
        train(arrangements=100, cells=200)


def test_the_card_names_the_weights_that_ship() -> None:
    folder = Path(weights_module.__file__).parent / "weights"
    card = json.loads((folder / "paper.json").read_text())
    blob = (folder / "paper.npz").read_bytes()
    assert card["sha256"] == hashlib.sha256(blob).hexdigest()
    assert card["bytes"] == len(blob) < 40e6
    assert (card["seed"], card["recipe"]["arrangements"], card["recipe"]["cells"]) == (0, 20_000, 3_000)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    blob = shipped().to_bytes()
    digest = hashlib.sha256(blob).hexdigest()
    assert PaperWeights.from_bytes(blob, digest).to_bytes() == blob
    with pytest.raises(WeightsError, match=f"expected {digest[:12]}"):
        PaperWeights.from_bytes(blob[:-100], digest)
    for foreign in (b"", b"not an archive", blob[: len(blob) // 2]):
        with pytest.raises(WeightsError, match="are not the codec's weights"):
            PaperWeights.from_bytes(foreign, hashlib.sha256(foreign).hexdigest())
    path = tmp_path / "other.npz"
    np.savez(path, allow_pickle=False, **dict.fromkeys(weights_module.SHAPES, np.zeros((2, 2))))
    other = path.read_bytes()
    with pytest.raises(WeightsError, match=r"sites_basis have shape \(2, 2\), expected \(16, 16, 16, 200\)"):
        PaperWeights.from_bytes(other, hashlib.sha256(other).hexdigest())


@pytest.mark.slow
def test_train_codec_writes_both_files(tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        app, ["train-codec", "--out", str(tmp_path / "made"), "--arrangements", "300", "--cells", "60"]
    )
    assert answer.exit_code == 0, answer.output
    card = json.loads((tmp_path / "made" / "paper.json").read_text())
    loaded = PaperWeights.from_bytes((tmp_path / "made" / "paper.npz").read_bytes(), card["sha256"])
    assert write(loaded, card, tmp_path / "again") == card["sha256"]
    refused = CliRunner().invoke(app, ["train-codec", "--out", str(tmp_path), "--arrangements", "3"])
    assert refused.exit_code == 1
    assert "use more than 200 arrangements" in refused.output
