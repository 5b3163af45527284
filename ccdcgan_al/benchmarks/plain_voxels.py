"""Compute the published voxels with the plain formula: the minimum-image distance of every grid point, without a shortcut.

Only the tests and `benchmark voxels` use it, as a reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.voxels import CUBE, CUT, LATTICE_GRID, SIGMA, SITES_GRID, cube_positions


def plain_lattice_voxels(lattice: Lattice, grid: int = LATTICE_GRID) -> NDArray[np.float32]:
    """Return the image (grid, grid, grid, 1) of a cell, as `lattice_voxels` does."""
    return _values(_grid_points(grid) - 0.5, lattice).astype(np.float32).reshape(grid, grid, grid, 1)


def plain_sites_voxels(structure: Structure, elements: Sequence[str], grid: int = SITES_GRID) -> NDArray[np.float32]:
    """Return the image (grid, grid, grid, n_elements) of the sites, as `sites_voxels` does."""
    cube, points = Lattice.cubic(CUBE), _grid_points(grid)
    voxels = np.zeros((grid**3, len(elements)), dtype=np.float32)
    for site, position in zip(structure, cube_positions(structure), strict=True):
        values = _values(points - (position / CUBE + 0.5), cube)
        voxels[:, elements.index(site.specie.symbol)] += np.where(values >= CUT, values, 0.0)
    return voxels.reshape(grid, grid, grid, len(elements))


def _grid_points(grid: int) -> NDArray[np.floating]:
    """Return the fractional coordinates i / grid (grid^3, 3) of all points."""
    axis = np.arange(grid) / grid
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def _values(fractional: NDArray[np.floating], lattice: Lattice) -> NDArray[np.floating]:
    """Return the Gaussian (n,) of the minimum-image length of each difference vector (n, 3)."""
    matrix = lattice.matrix
    orthogonal = np.allclose(matrix, np.diag(np.diag(matrix)))
    if not orthogonal:  # in a reduced basis the nearest image is one of the 27 around the wrapped vector
        reduced = lattice.get_lll_reduced_lattice()
        fractional, matrix = fractional @ matrix @ reduced.inv_matrix, reduced.matrix
    vectors = (fractional - np.rint(fractional)) @ matrix
    squared = (vectors**2).sum(axis=1)
    for shift in np.ndindex(*(() if orthogonal else (3, 3, 3))):
        image = vectors + (np.array(shift) - 1) @ matrix if shift else vectors
        squared = np.minimum(squared, (image**2).sum(axis=1))
    return np.exp(-squared / (2 * SIGMA**2))
