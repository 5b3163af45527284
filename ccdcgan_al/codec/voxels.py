"""Convert structures to the published voxel images (Long et al. 2021) and back: Gaussians on a grid. It compresses nothing.

The lattice image samples the cell in fractional coordinates. The width of one Gaussian at its centre shows the metric of the cell. The
sites image samples a cube of 15 Å with one channel for each element and a Gaussian at each atom. A Gaussian is a product of
one-dimensional Gaussians, and values below `CUT` are set to 0. So each atom costs one outer product of a few points on each axis.

The published text leaves two choices open. The lattice image has no orientation, so the cell is oriented in the cube as
`Lattice.from_parameters` does. For each atom the periodic image nearest to the mean of the atoms is used, so that large oblique cells also
fit into the cube.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.types import FloatArray

LATTICE_GRID, SITES_GRID = 32, 64  # grid points on an edge (Long et al. 2021)
CUBE = 15.0  # Å, edge of the sites image
SIGMA = 0.26  # Å, width of every Gaussian
CUT = 0.02  # an atom's values below this threshold are set to 0
MIN_DISTANCE = 0.5  # Å: peaks closer than this are one split peak; the published check of the output rejects such atoms
_SEEN = 5.0  # sigma: a lattice image contains its Gaussian up to this distance, down to 4e-6, without a cut
_REFINEMENTS = 10  # maximum; three are enough for the image of real atoms
_FIT_FROM = 0.1  # a lattice image is fitted above this value: the logarithm of lower values is mostly noise
_RECENTRINGS = 10  # maximum; two or three are enough
_TIE = 1e-6  # Å^2: tolerance for images at the same distance; the first is used, independent of rounding
_ON_FACE = 1e-6  # fractional: coordinates closer to 1 count as 0, independent of rounding in the cell reduction


def reach(sigma: float = SIGMA) -> float:
    """Return the distance (Å) at which a Gaussian of height 1 falls to `CUT`: 0.727 Å for the published width."""
    return sigma * math.sqrt(-2 * math.log(CUT))


def lattice_voxels(lattice: Lattice, grid: int = LATTICE_GRID, sigma: float = SIGMA) -> NDArray[np.float32]:
    """Return the image of a cell: one Gaussian at its centre, sampled at the fractional coordinates i / grid.

    Parameters
    ----------
    lattice : Lattice
        Any cell. Distances use its metric and the nearest periodic image.
    grid : int, default LATTICE_GRID
        Number of grid points on an edge.
    sigma : float, default SIGMA
        Width of the Gaussian (Å).

    Returns
    -------
    ndarray of float32, shape (grid, grid, grid, 1)
        Values in [0, 1]. The axes are a, b and c.
    """
    metric = lattice.matrix @ lattice.matrix.T / grid**2  # metric of the grid's steps
    half = [math.floor(_SEEN * sigma * grid / spacing) for spacing in _plane_spacings(lattice)]
    steps = np.stack(np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij"), axis=-1).reshape(-1, 3)
    squared = np.einsum("ni,ij,nj->n", steps, metric, steps)
    values = np.exp(-squared / (2 * sigma**2))
    voxels = np.zeros((grid, grid, grid), dtype=np.float32)
    # a cell thinner than the Gaussian contains several of its images: the nearest one counts
    np.maximum.at(voxels, tuple(((steps + grid // 2) % grid).T), values.astype(np.float32))
    return voxels[..., None]


def _plane_spacings(lattice: Lattice) -> FloatArray:
    """Return the distances (3,) between opposite faces of the cell, in Å."""
    return 1 / np.linalg.norm(np.linalg.inv(lattice.matrix), axis=0)


def lattice_from_voxels(voxels: FloatArray, sigma: float = SIGMA) -> Lattice | None:
    """Fit the cell of a lattice image.

    The logarithm of the image is a quadratic form in the steps from its centre. The six coefficients of this form are the metric. The
    published method reads them from single values on the three axes and the three face diagonals. Here least squares fits all values above
    0.1, or above `CUT` if these are too few. Large values have more weight.

    Parameters
    ----------
    voxels : ndarray of float, shape (grid, grid, grid, 1)
        Lattice image, possibly with noise. The shape (grid, grid, grid) is also accepted.
    sigma : float, default SIGMA
        Width of the Gaussian (Å).

    Returns
    -------
    Lattice or None
        Cell, oriented as `Lattice.from_parameters` does. None if the values do not describe a cell.

    Raises
    ------
    ValueError
        The image is not cubic.
    """
    image = np.asarray(voxels, dtype=float)
    image = image[..., 0] if image.ndim == 4 else image  # noqa: PLR2004  the channel
    grid = len(image)
    if image.shape != (grid, grid, grid):
        raise ValueError(
            f"got an array of shape {np.shape(voxels)}: a lattice image has shape (grid, grid, grid, 1), with equal edges"
        )
    if not np.isfinite(image).all():
        return None
    # within a quarter of a reduced cell from the centre, no other periodic image is closer
    quarter = np.stack(np.meshgrid(*[np.arange(-grid // 4, grid // 4 + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    metric = _fit_metric(image, quarter, sigma)
    for _ in range(2):
        if metric is None:
            return None
        metric = _fit_metric(image, _nearest_steps(image >= CUT, metric), sigma)
    return None if metric is None else _lattice_of_metric(metric * grid**2)


def _fit_metric(image: FloatArray, steps: NDArray[np.int_], sigma: float) -> FloatArray | None:
    """Fit the metric (3, 3) of the grid's steps (Å^2) by least squares over the steps (n, 3) from the centre, or return None."""
    all_values = image[tuple(((steps + len(image) // 2) % len(image)).T)]
    i, j = np.triu_indices(3)
    for least in (_FIT_FROM, CUT):  # long cells have too few values above the first threshold
        near, values = steps[all_values >= least], all_values[all_values >= least]
        # the seventh unknown is the height, which noise also changes
        columns = np.column_stack([near[:, i] * near[:, j] * np.where(i == j, 1, 2), np.ones(len(near))])
        if len(near) >= columns.shape[1] and np.linalg.matrix_rank(columns) == columns.shape[1]:
            break
    else:
        return None
    # an error of the logarithm is the error of the image divided by its value
    squared = -2 * sigma**2 * np.log(values)
    solution = np.linalg.lstsq(columns * values[:, None], squared * values, rcond=None)[0]
    metric = np.zeros((3, 3))
    metric[i, j] = metric[j, i] = solution[:6]
    return metric if np.linalg.eigvalsh(metric)[0] > 0 else None


def _nearest_steps(near: NDArray[np.bool_], metric: FloatArray) -> NDArray[np.int_]:
    """Return the shortest steps (n, 3) from the centre to the marked points, over their periodic images."""
    grid = len(near)
    steps = np.argwhere(near) - grid // 2
    images = steps[:, None] + grid * (np.array(list(np.ndindex(3, 3, 3))) - 1)
    lengths = ((images @ metric) * images).sum(axis=2)
    return images[np.arange(len(steps)), lengths.argmin(axis=1)]


def _lattice_of_metric(metric: FloatArray) -> Lattice | None:
    """Return the cell of a metric (Å^2), or None if its angles give no cell."""
    lengths = np.sqrt(np.diag(metric))
    cosines = np.array([metric[1, 2], metric[0, 2], metric[0, 1]]) / lengths[[1, 0, 0]] / lengths[[2, 2, 1]]
    if not np.isfinite(cosines).all() or np.abs(cosines).max() >= 1:
        return None
    return Lattice.from_parameters(*lengths, *np.degrees(np.arccos(cosines)))


def cube_positions(structure: Structure) -> FloatArray:
    """Return the positions of the atoms in the cube, relative to its centre, which is their mean.

    Parameters
    ----------
    structure : Structure
        Structure in the cell to use. The cell is oriented as `Lattice.from_parameters` does.

    Returns
    -------
    ndarray of float, shape (n, 3)
        Cartesian coordinates (Å) in [-7.5, 7.5].

    Raises
    ------
    StructureInputError
        An atom is outside the cube.
    """
    lattice = Lattice.from_parameters(*structure.lattice.parameters)
    fractional = structure.frac_coords % 1.0
    fractional[fractional > 1 - _ON_FACE] = 0.0
    positions = fractional @ lattice.matrix
    images = (fractional[:, None] + np.array(list(np.ndindex(3, 3, 3))) - 1) @ lattice.matrix
    for _ in range(_RECENTRINGS):
        squared = ((images - positions.mean(axis=0)) ** 2).sum(axis=2)
        nearest = images[np.arange(len(images)), (squared > squared.min(axis=1, keepdims=True) + _TIE).argmin(axis=1)]
        if np.array_equal(nearest, positions):
            break
        positions = nearest
    positions -= positions.mean(axis=0)
    if np.abs(positions).max() > CUBE / 2:
        raise StructureInputError(
            f"{structure.formula} has an atom {np.abs(positions).max():.2f} Å from the mean position along an axis: the limit is "
            f"{CUBE / 2:g} Å, because the sites image is a cube of {CUBE:g} Å; try its reduced cell"
        )
    return positions


def sites_voxels(
    structure: Structure, elements: Sequence[str], grid: int = SITES_GRID, sigma: float = SIGMA
) -> NDArray[np.float32]:
    """Return the image of the sites: a sum of Gaussians of height 1 in the cube, with one channel for each element.

    Parameters
    ----------
    structure : Structure
        Ordered structure of these elements, in the cell to use.
    elements : sequence of str
        Element symbols in the order of the channels.
    grid : int, default SITES_GRID
        Number of grid points on an edge of the cube.
    sigma : float, default SIGMA
        Width of the Gaussians (Å).

    Returns
    -------
    ndarray of float32, shape (grid, grid, grid, n_elements)
        Sites image.

    Raises
    ------
    StructureInputError
        An atom is outside the cube, or an element has no channel.
    """
    symbols = [site.specie.symbol for site in structure]
    foreign = set(symbols) - set(elements)
    if foreign:
        raise StructureInputError(
            f"{structure.formula} contains {', '.join(sorted(foreign))}: these voxels are for {', '.join(elements)}"
        )
    channels = np.array([list(elements).index(symbol) for symbol in symbols])
    return positions_voxels(cube_positions(structure), channels, len(elements), grid, sigma)


def positions_voxels(
    positions: FloatArray, channels: NDArray[np.int_], n_channels: int, grid: int = SITES_GRID, sigma: float = SIGMA
) -> NDArray[np.float32]:
    """Return the image of points in the cube. `sites_voxels` uses it.

    Parameters
    ----------
    positions : ndarray of float, shape (n, 3)
        Positions relative to the cube's centre (Å). Distances use the cube's nearest periodic image.
    channels : ndarray of int, shape (n,)
        Channel of each point.
    n_channels : int
        Number of channels.
    grid : int, default SITES_GRID
        Number of grid points on an edge of the cube.
    sigma : float, default SIGMA
        Width of the Gaussians (Å).

    Returns
    -------
    ndarray of float32, shape (grid, grid, grid, n_channels)
        Image of the points.
    """
    voxels = np.zeros((grid, grid, grid, n_channels), dtype=np.float32)
    step = CUBE / grid
    (x, y, z), values, _ = _gaussians(np.asarray(positions, dtype=float) / step + grid // 2, sigma / step, grid)
    # no grid point repeats within one atom, so adding by index is correct for one atom at a time
    for i, channel in enumerate(channels):
        voxels[x[i], y[i], z[i], channel] += values[i].astype(np.float32)
    return voxels


def _gaussians(
    points: FloatArray, sigma: float, grid: int
) -> tuple[tuple[NDArray[np.int_], ...], FloatArray, tuple[FloatArray, ...]]:
    """Return Gaussians of height 1 around points, on the few grid points with values of at least `CUT`.

    Parameters
    ----------
    points : ndarray of float, shape (n, 3)
        Points, in steps of the grid.
    sigma : float
        Width of the Gaussians, in steps of the grid.
    grid : int
        Number of grid points on an edge.

    Returns
    -------
    tuple of (tuple of ndarray of int, ndarray of float, tuple of ndarray of float)
        The first part are the wrapped indices along x, y and z, with shapes (n, m, 1, 1), (n, 1, m, 1) and
        (n, 1, 1, m). The second part are the values (n, m, m, m). The third part are the signed distances from the point
        along x, y and z, in steps, with the shapes of the indices.
    """
    half = math.floor(reach(sigma) + 0.5)
    points = points.reshape(-1, 3)
    indices = np.rint(points).astype(int)[..., None] + np.arange(-half, half + 1)
    away = indices - points[..., None]
    shapes = ((slice(None), None, None), (None, slice(None), None), (None, None, slice(None)))
    apart = tuple(away[:, axis][(slice(None), *shapes[axis])] for axis in range(3))
    # the product of exponentials is the exponential of the sum: one outer product for each atom
    values = np.prod(np.broadcast_arrays(*(np.exp(-(d**2) / (2 * sigma**2)) for d in apart)), axis=0)
    values[values < CUT] = 0.0
    indices %= grid
    return tuple(indices[:, axis][(slice(None), *shapes[axis])] for axis in range(3)), values, apart


def find_peaks(
    voxels: FloatArray, count: int | None = None, sigma: float = SIGMA, smoothing: float = 0.1, least: float = 0.3
) -> tuple[FloatArray, FloatArray]:
    """Find the positions and heights of the Gaussians in one channel of a sites image.

    The highest local maximum of the smoothed image is an atom. Its Gaussian is subtracted, and the search repeats. Each new atom is at
    least `MIN_DISTANCE` from the others, so that a split peak is one atom. If `count` is larger than the number of maxima, the remaining
    atoms are placed at the maximum of the unexplained image. At the end, least squares refines all positions and heights together.

    Parameters
    ----------
    voxels : ndarray of float, shape (grid, grid, grid)
        Periodic image, possibly with noise.
    count : int, optional
        Number of atoms. None means every peak above `least`.
    sigma : float, default SIGMA
        Width of the image's Gaussians (Å).
    smoothing : float, default 0.1
        Width of the Gaussian that smooths the image before the search (Å).
    least : float, default 0.3
        Threshold of the peak height of an atom if `count` is None. A real atom has height 1.

    Returns
    -------
    tuple of (ndarray of float, ndarray of float)
        Positions (n, 3) relative to the cube's centre, each coordinate in [-7.5, 7.5) Å, and heights (n,), in the order
        in which they were found. If `count` is given, n equals `count`, and a low height means that there was no peak.

    Raises
    ------
    ValueError
        The image is not one cubic channel.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    image = np.nan_to_num(np.asarray(voxels, dtype=float), nan=0.0, posinf=1.0, neginf=0.0)
    grid = len(image)
    if image.shape != (grid, grid, grid):
        raise ValueError(
            f"got an array of shape {np.shape(voxels)}: one channel of a sites image has shape (grid, grid, grid), with equal edges"
        )
    step = CUBE / grid
    wide = math.hypot(sigma, smoothing)
    rest = gaussian_filter(image, smoothing / step, mode="wrap", truncate=3) * (wide / sigma) ** 3
    maxima = (rest == maximum_filter(rest, size=3, mode="wrap")) & (rest >= least)
    free = np.ones(image.shape, dtype=bool)
    points: FloatArray = np.zeros((0, 3))
    heights: FloatArray = np.zeros(0)
    while count is None or len(points) < count:
        highest = _highest(rest, maxima & free)
        if highest is None or rest[highest] < least:
            if count is None:
                break
            highest = _highest(rest, free) or (0, 0, 0)
        point, height = _parabola(rest, highest)
        window, values, _ = _gaussians(point, wide / step, grid)
        rest[window] -= height * values
        window, values, _ = _gaussians(np.array(highest, dtype=float), MIN_DISTANCE / step, grid)
        free[window] &= values < math.exp(-0.5)  # the value at one sigma, which is MIN_DISTANCE here
        points, heights = np.vstack([points, point]), np.append(heights, height)
    points, heights = _refine(image, points, heights, sigma / step)
    if count is None:
        points, heights = points[heights >= least / 2], heights[heights >= least / 2]
    return (points % grid - grid // 2) * step, heights


def _highest(image: FloatArray, allowed: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Return the index of the highest allowed point, or None if no point is allowed."""
    candidates = np.flatnonzero(allowed)
    if len(candidates) == 0:
        return None
    best = candidates[int(image.reshape(-1)[candidates].argmax())]
    return tuple(int(i) for i in np.unravel_index(best, image.shape))


def _parabola(image: FloatArray, index: tuple[int, ...]) -> tuple[FloatArray, float]:
    """Return the position (in steps) and height of a peak near a grid point, from a parabola through three logarithms on each axis."""
    grid, point = len(image), np.array(index, dtype=float)
    top = max(float(image[index]), 1e-6)
    rise = 0.0
    for axis in range(3):
        sides = [list(index), list(index)]
        sides[0][axis], sides[1][axis] = (index[axis] - 1) % grid, (index[axis] + 1) % grid
        below, above = (math.log(max(float(image[tuple(side)]), 1e-3 * top) / top) for side in sides)
        curvature = below + above
        if curvature < 0:
            shift = min(max((below - above) / (2 * curvature), -0.5), 0.5)
            point[axis] += shift
            rise -= curvature * shift**2 / 2
    return point, top * math.exp(min(rise, 1.0))


def _refine(image: FloatArray, points: FloatArray, heights: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Refine positions (n, 3), in steps, and heights (n,) of Gaussians by Gauss-Newton. Each atom's four unknowns are solved separately."""
    grid = len(image)
    for _ in range(_REFINEMENTS if len(points) else 0):
        (x, y, z), values, away = _gaussians(points, sigma, grid)
        explained = np.zeros_like(image)
        for i, height in enumerate(heights):
            explained[x[i], y[i], z[i]] += height * values[i]
        residual = (image[x, y, z] - explained[x, y, z]).reshape(len(points), 1, -1)
        slopes = [np.maximum(heights, 0.2)[:, None, None, None] * values * d / sigma**2 for d in away]
        jacobian = np.stack([values, *slopes], axis=1).reshape(len(points), 4, -1)
        normal = jacobian @ jacobian.transpose(0, 2, 1) + 1e-6 * np.eye(4)
        move = np.linalg.solve(normal, (jacobian * residual).sum(axis=2)[..., None])[..., 0]
        heights = heights + move[:, 0]
        points = points + np.clip(move[:, 1:], -0.5, 0.5)
        if np.abs(move).max() < 1e-5:  # noqa: PLR2004  steps
            break
    return points, heights
