"""The voxels: equal to the plain formula, and every cell and every atom read back from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from scipy.optimize import linear_sum_assignment

from ccdcgan_al.benchmarks.plain_voxels import plain_lattice_voxels, plain_sites_voxels
from ccdcgan_al.codec.voxels import (
    CUBE,
    cube_positions,
    find_peaks,
    lattice_from_voxels,
    lattice_voxels,
    positions_voxels,
    reach,
    sites_voxels,
)
from ccdcgan_al.errors import StructureInputError
from tests.codec.test_codec import bi2se3, crystals, nickeline, rocksalt

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True)


def shift(before: np.ndarray, after: np.ndarray) -> float:
    """Largest distance (Å) between points and those found, one to one, over the cube's periodic images."""
    assert len(before) == len(after)
    difference = before[:, None] - after[None]
    distances = np.linalg.norm(difference - CUBE * np.rint(difference / CUBE), axis=2)
    return float(distances[linear_sum_assignment(distances)].max()) if len(before) else 0.0


@st.composite
def cells(draw: st.DrawFn) -> Lattice:
    """Niggli cells: lengths 1.6 to 11 Å, cosines up to a half."""
    lengths = [draw(st.floats(1.6, 11)) for _ in range(3)]
    angles = [draw(st.floats(60, 120)) for _ in range(3)]
    try:
        lattice = Lattice.from_parameters(*lengths, *angles)
    except ValueError:
        lattice = Lattice.orthorhombic(*lengths)
    if not np.isfinite(lattice.matrix).all() or lattice.volume < 0.3 * np.prod(lengths):
        lattice = Lattice.orthorhombic(*lengths)
    return lattice.get_niggli_reduced_lattice()


@st.composite
def point_sets(draw: st.DrawFn) -> np.ndarray:
    """1 to 20 points in the cube, at least 1.5 Å apart, some of them exactly 1.5, some on grid points or half-way between."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    wanted = draw(st.integers(1, 20))
    points: list[np.ndarray] = []
    for _ in range(400):
        point = rng.uniform(-CUBE / 2, CUBE / 2, 3)
        kind = rng.integers(4)
        if kind == 0:
            point = np.rint(point / (CUBE / 128)) * (CUBE / 128)
        elif kind == 1 and points:
            direction = rng.normal(size=3)
            point = points[-1] + 1.5 * direction / np.linalg.norm(direction)
        away = np.array(points).reshape(-1, 3) - point
        if not points or np.linalg.norm(away - CUBE * np.rint(away / CUBE), axis=1).min() >= 1.4999:
            points.append(point)
        if len(points) == wanted:
            break
    return np.array(points)


@PROPERTY
@given(lattice=cells())
def test_a_cell_comes_back(lattice: Lattice) -> None:
    voxels = lattice_voxels(lattice)
    assert voxels.shape == (32, 32, 32, 1)
    assert voxels.dtype == np.float32
    assert voxels[16, 16, 16, 0] == 1
    back = lattice_from_voxels(voxels)
    assert back is not None
    np.testing.assert_allclose(back.abc, lattice.abc, rtol=1e-4)
    np.testing.assert_allclose(back.angles, lattice.angles, atol=0.02)


@PROPERTY
@given(lattice=cells(), seed=st.integers(0, 2**32 - 1))
def test_a_cell_comes_back_from_a_noisy_image(lattice: Lattice, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.01, size=(32, 32, 32, 1))
    back = lattice_from_voxels(np.maximum(lattice_voxels(lattice) + noise, 0))
    assert back is not None
    np.testing.assert_allclose(back.abc, lattice.abc, rtol=0.04)
    np.testing.assert_allclose(back.angles, lattice.angles, atol=4)


@PROPERTY
@given(points=point_sets())
def test_points_come_back(points: np.ndarray) -> None:
    voxels = positions_voxels(points, np.zeros(len(points), dtype=int), 1)[..., 0]
    assert shift(points, find_peaks(voxels)[0]) < 0.005
    assert shift(points, find_peaks(voxels, len(points))[0]) < 0.005


@PROPERTY
@given(points=point_sets(), seed=st.integers(0, 2**32 - 1))
def test_points_come_back_from_a_noisy_image(points: np.ndarray, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.02, size=(64, 64, 64))
    voxels = positions_voxels(points, np.zeros(len(points), dtype=int), 1)[..., 0] + noise
    assert shift(points, find_peaks(voxels)[0]) < 0.05
    assert shift(points, find_peaks(voxels, len(points))[0]) < 0.05


@settings(max_examples=12, deadline=None, derandomize=True)
@given(crystal=crystals())
def test_equal_to_the_plain_formula(crystal: Structure) -> None:
    """Skewed, elongated and ordinary cells as they are drawn, not reduced; 1 to 8 elements of which two sites each are taken."""
    np.testing.assert_allclose(
        lattice_voxels(crystal.lattice), plain_lattice_voxels(crystal.lattice), rtol=0, atol=1e-5
    )
    reduced = crystal.get_reduced_structure("niggli")[:4]
    elements = sorted({site.specie.symbol for site in reduced})
    structure = Structure.from_sites(reduced)
    np.testing.assert_allclose(
        sites_voxels(structure, elements), plain_sites_voxels(structure, elements), rtol=0, atol=1e-5
    )


def test_a_thin_cell_has_its_nearest_image_at_every_point() -> None:
    """Thinner than the Gaussian is wide, so that several images of it reach into the cell."""
    lattice = Lattice.from_parameters(0.9, 4, 5, 90, 90, 70)
    np.testing.assert_allclose(lattice_voxels(lattice), plain_lattice_voxels(lattice), rtol=0, atol=1e-5)


@pytest.mark.parametrize("crystal", [rocksalt(), bi2se3(), nickeline()], ids=lambda s: s.reduced_formula)
def test_a_crystal_comes_back_through_voxels_alone(crystal: Structure) -> None:
    reduced = crystal.get_reduced_structure("niggli")
    voxels = sites_voxels(reduced, ["Bi", "Se"])
    assert voxels.shape == (64, 64, 64, 2)
    lattice = lattice_from_voxels(lattice_voxels(reduced.lattice))
    assert lattice is not None
    positions = [find_peaks(voxels[..., channel])[0] for channel in range(2)]
    species = ["Bi"] * len(positions[0]) + ["Se"] * len(positions[1])
    back = Structure(lattice, species, np.concatenate(positions), coords_are_cartesian=True)
    assert back.composition == reduced.composition
    assert StructureMatcher().fit(back, crystal)


def test_the_mean_of_the_atoms_as_they_stand_in_the_cell_is_the_centre() -> None:
    """Periodic images are those in [0, 1): a shift by whole cells changes nothing, and what a rounding puts just below 1 is 0."""
    cell = Structure(Lattice.orthorhombic(4, 5, 6), ["Bi", "Se"], [[0, 0, 0], [0.75, 0.5, 0.25]])
    expected = np.array([[-1.5, -1.25, -0.75], [1.5, 1.25, 0.75]])
    np.testing.assert_allclose(cube_positions(cell), expected, atol=1e-12)
    moved = Structure(cell.lattice, cell.species, cell.frac_coords + np.array([[1, -2, 0], [-1, 1, 3]]))
    np.testing.assert_allclose(cube_positions(moved), expected, atol=1e-12)
    rounded = Structure(cell.lattice, cell.species, cell.frac_coords - np.array([[1e-9, 0, -1e-9], [0, 0, 0]]))
    np.testing.assert_allclose(cube_positions(rounded), expected, atol=1e-7)


def test_positions_do_not_depend_on_how_the_cell_is_turned() -> None:
    crystal = bi2se3()
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turned = Structure(crystal.lattice.matrix @ turn.T, crystal.species, crystal.frac_coords)
    np.testing.assert_allclose(cube_positions(turned), cube_positions(crystal), atol=1e-10)


def test_atoms_that_only_fit_around_the_centre_are_put_there() -> None:
    """A large oblique cell: its long diagonal is beyond the cube, the images nearest to its centre are not."""
    lattice = Lattice.rhombohedral(9.5, 60)
    crystal = Structure(lattice, ["Bi", "Se"], [[0.02, 0.02, 0.02], [0.97, 0.97, 0.97]])
    assert np.abs(np.diff(crystal.cart_coords, axis=0)).max() > CUBE
    positions = cube_positions(crystal)
    assert np.abs(positions).max() <= CUBE / 2
    np.testing.assert_allclose(positions.mean(axis=0), 0, atol=1e-12)
    voxels = sites_voxels(crystal, ["Bi", "Se"])
    back = [find_peaks(voxels[..., channel])[0] for channel in range(2)]
    oriented = Lattice.from_parameters(*lattice.parameters)
    decoded = Structure(oriented, ["Bi", "Se"], np.concatenate(back), coords_are_cartesian=True)
    assert StructureMatcher().fit(decoded, crystal)


def test_atoms_that_do_not_fit_are_named() -> None:
    long = Structure(Lattice.tetragonal(3, 40), ["Bi", "Se"], [[0, 0, 0.1], [0, 0, 0.9]])
    message = r"Bi1 Se1 has an atom 16\.00 Å from the mean position along an axis: the limit is 7\.5 Å, .*cube of 15 Å"
    with pytest.raises(StructureInputError, match=message):
        sites_voxels(long, ["Bi", "Se"])


def test_a_foreign_element_is_named() -> None:
    with pytest.raises(StructureInputError, match="contains Se: these voxels are for Bi, O"):
        sites_voxels(rocksalt(), ["Bi", "O"])


@pytest.mark.parametrize("distance", [0.75, 1.0, 1.5])
def test_close_pairs_are_two_atoms(distance: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, direction = rng.uniform(-5, 5, 3), rng.normal(size=3)
        points = np.array([first, first + distance * direction / np.linalg.norm(direction)])
        voxels = positions_voxels(points, np.zeros(2, dtype=int), 1)[..., 0]
        assert shift(points, find_peaks(voxels, 2)[0]) < 0.05


def test_a_split_peak_is_one_atom() -> None:
    """An atom whose middle was lost: two maxima half a distance apart, one atom between them."""
    voxels = positions_voxels(np.array([[0.1, 0.0, 0.0]]), np.zeros(1, dtype=int), 1)[..., 0]
    voxels[32, 31:34, 31:34] *= 0.6
    voxels[32, 32, 32] = 0.2
    positions = find_peaks(voxels)[0]
    assert len(positions) == 1
    assert np.linalg.norm(positions[0] - [0.1, 0, 0]) < 0.15


def test_a_count_is_kept_whatever_the_image() -> None:
    rng = np.random.default_rng(0)
    points = np.array([[0, 0, 0], [0.55, 0, 0], [4, 4, 4]])
    merged = positions_voxels(points, np.zeros(3, dtype=int), 1)[..., 0]
    assert shift(points, find_peaks(merged, 3)[0]) < 0.1
    for image in (np.zeros((64, 64, 64)), rng.normal(size=(64, 64, 64)), np.full((64, 64, 64), np.nan)):
        positions, heights = find_peaks(image, 5)
        assert positions.shape == (5, 3)
        assert np.isfinite(positions).all()
        assert np.abs(positions).max() <= CUBE / 2
        assert heights.shape == (5,)


def test_an_empty_image_holds_no_atoms() -> None:
    assert find_peaks(np.zeros((64, 64, 64)))[0].shape == (0, 3)
    assert lattice_from_voxels(np.zeros((32, 32, 32, 1))) is None
    assert lattice_from_voxels(np.full((32, 32, 32, 1), np.nan)) is None
    assert lattice_from_voxels(np.ones((32, 32, 32, 1))) is None


def test_wrong_shapes_are_the_callers_error() -> None:
    with pytest.raises(ValueError, match=r"\(64, 64, 64, 1\): one channel .* \(grid, grid, grid\)"):
        find_peaks(np.zeros((64, 64, 64, 1)))
    with pytest.raises(ValueError, match=r"\(32, 32\): a lattice image .* \(grid, grid, grid, 1\)"):
        lattice_from_voxels(np.zeros((32, 32)))


def test_figures_of_the_paper() -> None:
    """Sigma 0.26 Å: an atom's values fall to 0.02 at 0.727 Å, and one grid spacing (15 / 64 Å) from it they are 0.666."""
    assert reach() == pytest.approx(0.7272, abs=1e-4)
    voxels = positions_voxels(np.zeros((1, 3)), np.zeros(1, dtype=int), 1)[..., 0]
    assert voxels[32, 32, 32] == 1
    assert voxels[33, 32, 32] == pytest.approx(np.exp(-((15 / 64) ** 2) / (2 * 0.26**2)))
    assert voxels[36, 32, 32] == 0
    assert (voxels > 0).sum() == 123
