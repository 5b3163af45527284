"""Structure <-> voxel images as published (Long et al. 2021): Gaussians on a grid, and the numbers read back from them. It compresses nothing.

The lattice image samples the cell in fractional coordinates, so that the cell's metric shows as the width of one Gaussian at
its centre. The sites image samples a cube of 15 Å, one channel an element, with a Gaussian at each atom. A Gaussian is a product
of one-dimensional ones, and each atom's values below `CUT` are 0: so an atom costs one outer product of a few points an axis.

Two choices that the published text leaves open. An image of the metric has no orientation, so atoms are put into the cube with the cell
oriented as `Lattice.from_parameters` does. And of each atom's periodic images the one nearest to the atoms' mean is taken, so that
large oblique cells fit the cube too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.types import FloatArray

LATTICE_GRID, SITES_GRID = 32, 64  # Long et al. 2021: points an edge
CUBE = 15.0  # Å, edge of the sites image
SIGMA = 0.26  # Å, of every Gaussian
CUT = 0.02  # an atom's values below it are 0
MIN_DISTANCE = 0.5  # Å: nearer peaks are one split peak; the published check on output refuses such atoms
_SEEN = 5.0  # sigma: what a lattice image shows of its Gaussian, down to 4e-6; it is not cut
_REFINEMENTS = 10  # at most; three do for the image of real atoms
_FIT_FROM = 0.1  # values from which a lattice image is fitted: the logarithm of lower ones is mostly noise
_RECENTRINGS = 10  # at most; two or three do
_TIE = 1e-6  # Å^2: of images as near as each other the first is taken, whatever the rounding
_ON_FACE = 1e-6  # fractional: as near to 1 is 0, whatever the rounding of a reduction


def reach(sigma: float = SIGMA) -> float:
    """Distance (Å) at which a Gaussian of height 1 falls to `CUT`: 0.727 Å as published."""
    return sigma * math.sqrt(-2 * math.log(CUT))


def lattice_voxels(lattice: Lattice, grid: int = LATTICE_GRID, sigma: float = SIGMA) -> NDArray[np.float32]:
    """Image of a cell: one Gaussian at its centre, sampled at the fractional coordinates i / grid.

    Parameters
    ----------
    lattice : Lattice
        Any cell; distances are those of the nearest periodic image in its metric.
    grid : int, default LATTICE_GRID
        Points an edge.
    sigma : float, default SIGMA
        Of the Gaussian (Å).

    Returns
    -------
    ndarray of float32, shape (grid, grid, grid, 1)
        Values in [0, 1], axes a, b, c.
    """
    metric = lattice.matrix @ lattice.matrix.T / grid**2  # of steps of the grid
    half = [math.floor(_SEEN * sigma * grid / spacing) for spacing in _plane_spacings(lattice)]
    steps = np.stack(np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij"), axis=-1).reshape(-1, 3)
    squared = np.einsum("ni,ij,nj->n", steps, metric, steps)
    values = np.exp(-squared / (2 * sigma**2))
    voxels = np.zeros((grid, grid, grid), dtype=np.float32)
    # a cell thinner than the Gaussian holds several images of it: the nearest counts
    np.maximum.at(voxels, tuple(((steps + grid // 2) % grid).T), values.astype(np.float32))
    return voxels[..., None]


def _plane_spacings(lattice: Lattice) -> FloatArray:
    """Distances (Å) between the cell's opposite faces, (3,)."""
    return 1 / np.linalg.norm(np.linalg.inv(lattice.matrix), axis=0)


def lattice_from_voxels(voxels: FloatArray, sigma: float = SIGMA) -> Lattice | None:
    """Cell of a lattice image.

    The logarithm of the image is a quadratic form in the steps from its centre, and its six coefficients are the metric. The published way reads them
    from single values on the three axes and the three face diagonals; here all values above `CUT` are fitted, the large
    ones weighing more, and those six values are the start.

    Parameters
    ----------
    voxels : ndarray of float, shape (grid, grid, grid, 1)
        Or (grid, grid, grid), possibly with noise.
    sigma : float, default SIGMA
        Of its Gaussian (Å).

    Returns
    -------
    Lattice or None
        Oriented as `Lattice.from_parameters`; None where the values are those of no cell.
    """
    image = np.asarray(voxels, dtype=float)
    image = image[..., 0] if image.ndim == 4 else image  # noqa: PLR2004  the channel
    grid = len(image)
    if image.shape != (grid, grid, grid):
        raise ValueError(f"a lattice image is (grid, grid, grid, 1), got {np.shape(voxels)}")
    if not np.isfinite(image).all():
        return None
    # within a quarter of a reduced cell from the centre no other periodic image is nearer
    quarter = np.stack(np.meshgrid(*[np.arange(-grid // 4, grid // 4 + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    metric = _fit_metric(image, quarter, sigma)
    for _ in range(2):
        if metric is None:
            return None
        metric = _fit_metric(image, _nearest_steps(image >= CUT, metric), sigma)
    return None if metric is None else _lattice_of_metric(metric * grid**2)


def _fit_metric(image: FloatArray, steps: NDArray[np.int_], sigma: float) -> FloatArray | None:
    """Metric (3, 3) of the grid's steps (Å^2) by least squares over the steps (n, 3) from the centre; None where it is no metric."""
    all_values = image[tuple(((steps + len(image) // 2) % len(image)).T)]
    i, j = np.triu_indices(3)
    for least in (_FIT_FROM, CUT):  # long cells have too few values above the first
        near, values = steps[all_values >= least], all_values[all_values >= least]
        # the seventh unknown is the height, which noise changes too
        columns = np.column_stack([near[:, i] * near[:, j] * np.where(i == j, 1, 2), np.ones(len(near))])
        if len(near) >= columns.shape[1] and np.linalg.matrix_rank(columns) == columns.shape[1]:
            break
    else:
        return None
    # an error of the image is one of its logarithm divided by the value
    squared = -2 * sigma**2 * np.log(values)
    solution = np.linalg.lstsq(columns * values[:, None], squared * values, rcond=None)[0]
    metric = np.zeros((3, 3))
    metric[i, j] = metric[j, i] = solution[:6]
    return metric if np.linalg.eigvalsh(metric)[0] > 0 else None


def _nearest_steps(near: NDArray[np.bool_], metric: FloatArray) -> NDArray[np.int_]:
    """Shortest steps (n, 3) from the centre to the marked points, over their periodic images."""
    grid = len(near)
    steps = np.argwhere(near) - grid // 2
    images = steps[:, None] + grid * (np.array(list(np.ndindex(3, 3, 3))) - 1)
    lengths = ((images @ metric) * images).sum(axis=2)
    return images[np.arange(len(steps)), lengths.argmin(axis=1)]


def _lattice_of_metric(metric: FloatArray) -> Lattice | None:
    """Cell of a metric (Å^2), or None where its angles close none."""
    lengths = np.sqrt(np.diag(metric))
    cosines = np.array([metric[1, 2], metric[0, 2], metric[0, 1]]) / lengths[[1, 0, 0]] / lengths[[2, 2, 1]]
    if not np.isfinite(cosines).all() or np.abs(cosines).max() >= 1:
        return None
    return Lattice.from_parameters(*lengths, *np.degrees(np.arccos(cosines)))


def cube_positions(structure: Structure) -> FloatArray:
    """Positions in the cube, relative to its centre, which is their mean: (n, 3) in Å, each number in [-7.5, 7.5].

    Parameters
    ----------
    structure : Structure
        In the cell to use; the cell is oriented as `Lattice.from_parameters` does.

    Raises
    ------
    StructureInputError
        Atoms that do not fit the cube.
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
            f"{structure.formula} has an atom {np.abs(positions).max():.2f} Å from the atoms' mean along an axis: the sites image is a "
            f"cube of {CUBE:g} Å, wanted at most {CUBE / 2:g}; try its reduced cell"
        )
    return positions


def sites_voxels(
    structure: Structure, elements: Sequence[str], grid: int = SITES_GRID, sigma: float = SIGMA
) -> NDArray[np.float32]:
    """Image of the sites: the sum over atoms of Gaussians of height 1 in the cube, one channel an element.

    Parameters
    ----------
    structure : Structure
        Ordered structure of these elements, in the cell to use.
    elements : sequence of str
        Symbols, in the order of the channels.
    grid : int, default SITES_GRID
        Points an edge of the cube.
    sigma : float, default SIGMA
        Of the Gaussians (Å).

    Returns
    -------
    ndarray of float32, shape (grid, grid, grid, n_elements)
        See above.

    Raises
    ------
    StructureInputError
        Atoms that do not fit the cube, or an element that has no channel.
    """
    symbols = [site.specie.symbol for site in structure]
    foreign = set(symbols) - set(elements)
    if foreign:
        raise StructureInputError(
            f"{structure.formula} holds {', '.join(sorted(foreign))}: these voxels are for {', '.join(elements)}"
        )
    channels = np.array([list(elements).index(symbol) for symbol in symbols])
    return positions_voxels(cube_positions(structure), channels, len(elements), grid, sigma)


def positions_voxels(
    positions: FloatArray, channels: NDArray[np.int_], n_channels: int, grid: int = SITES_GRID, sigma: float = SIGMA
) -> NDArray[np.float32]:
    """Image of points in the cube, as `sites_voxels` makes it.

    Parameters
    ----------
    positions : ndarray of float, shape (n, 3)
        Relative to the cube's centre (Å); distances are those of the cube's nearest periodic image.
    channels : ndarray of int
        Channel of each point, (n,).
    n_channels, grid, sigma : int and int, default SITES_GRID and float, default SIGMA
        Number of channels, points an edge, width of the Gaussians (Å).

    Returns
    -------
    ndarray of float32, shape (grid, grid, grid, n_channels)
        See above.
    """
    voxels = np.zeros((grid, grid, grid, n_channels), dtype=np.float32)
    step = CUBE / grid
    (x, y, z), values, _ = _gaussians(np.asarray(positions, dtype=float) / step + grid // 2, sigma / step, grid)
    # within one atom no point repeats, so that adding by index, one atom after the other, is right
    for i, channel in enumerate(channels):
        voxels[x[i], y[i], z[i], channel] += values[i].astype(np.float32)
    return voxels


def _gaussians(
    points: FloatArray, sigma: float, grid: int
) -> tuple[tuple[NDArray[np.int_], ...], FloatArray, tuple[FloatArray, ...]]:
    """Gaussians of height 1 around points, each on the few grid points where it is at least `CUT`.

    Parameters
    ----------
    points : ndarray of float, shape (n, 3)
        In steps of the grid.
    sigma : float
        In steps of the grid.
    grid : int
        Points an edge.

    Returns
    -------
    tuple of (tuple of ndarray of int, ndarray of float, tuple of ndarray of float)
        Index, values, away Along x, y and z the wrapped indices, shapes (n, m, 1, 1), (n, 1, m, 1), (n, 1, 1, m); the
        values (n, m, m, m); along x, y and z the signed distances from the point in steps, shaped as the indices.
    """
    half = math.floor(reach(sigma) + 0.5)
    points = points.reshape(-1, 3)
    indices = np.rint(points).astype(int)[..., None] + np.arange(-half, half + 1)
    away = indices - points[..., None]
    shapes = ((slice(None), None, None), (None, slice(None), None), (None, None, slice(None)))
    apart = tuple(away[:, axis][(slice(None), *shapes[axis])] for axis in range(3))
    # the product of exponentials is the exponential of the sum: one outer product an atom
    values = np.prod(np.broadcast_arrays(*(np.exp(-(d**2) / (2 * sigma**2)) for d in apart)), axis=0)
    values[values < CUT] = 0.0
    indices %= grid
    return tuple(indices[:, axis][(slice(None), *shapes[axis])] for axis in range(3)), values, apart


def find_peaks(
    voxels: FloatArray, count: int | None = None, sigma: float = SIGMA, smoothing: float = 0.1, least: float = 0.3
) -> tuple[FloatArray, FloatArray]:
    """Positions and heights of the Gaussians whose sum one channel of a sites image is.

    The highest local maximum of the smoothed image is an atom. Its Gaussian is taken off, and the next follows, at least `MIN_DISTANCE` from
    those before, so that a split peak is one atom. Where a count asks for more atoms than there are maxima, they are put where most
    of the image is unexplained. At last all positions and heights are refined together by least squares.

    Parameters
    ----------
    voxels : ndarray of float, shape (grid, grid, grid)
        Possibly with noise; periodic.
    count : int, optional
        How many atoms there are; None: as many as rise above `least`.
    sigma : float, default SIGMA
        Of the image's Gaussians (Å).
    smoothing : float, default 0.1
        Of the image in which peaks are searched (Å).
    least : float, default 0.3
        Height of the lowest peak that is an atom, where no count is given; an atom's is 1.

    Returns
    -------
    tuple of (ndarray of float, ndarray of float)
        Positions, heights (n, 3) relative to the cube's centre (Å), each number in [-7.5, 7.5), and (n,), in the
        order found. With a count n is that count, and a low height says that there was no peak.

    Raises
    ------
    ValueError
        Not one cubic channel.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    image = np.nan_to_num(np.asarray(voxels, dtype=float), nan=0.0, posinf=1.0, neginf=0.0)
    grid = len(image)
    if image.shape != (grid, grid, grid):
        raise ValueError(f"one channel of a sites image is (grid, grid, grid), got {np.shape(voxels)}")
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
        free[window] &= values < math.exp(-0.5)  # one sigma, here MIN_DISTANCE, away
        points, heights = np.vstack([points, point]), np.append(heights, height)
    points, heights = _refine(image, points, heights, sigma / step)
    if count is None:
        points, heights = points[heights >= least / 2], heights[heights >= least / 2]
    return (points % grid - grid // 2) * step, heights


def _highest(image: FloatArray, allowed: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Index of the highest allowed point, or None where none is allowed."""
    candidates = np.flatnonzero(allowed)
    if len(candidates) == 0:
        return None
    best = candidates[int(image.reshape(-1)[candidates].argmax())]
    return tuple(int(i) for i in np.unravel_index(best, image.shape))


def _parabola(image: FloatArray, index: tuple[int, ...]) -> tuple[FloatArray, float]:
    """Place (in steps) and height of a peak near a grid point: along each axis a parabola through the logarithms of three values."""
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
    """Refine positions (n, 3) and heights (n,) of Gaussians, in steps of the grid, by Gauss-Newton; each atom's four unknowns on their own."""
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
