"""Run Levenberg-Marquardt for a few steps. The decoders of the codecs refine positions and cells with it. It knows no crystals.

A decoder calls it for three steps after each atom that it adds. SciPy's `least_squares` has no such short form.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.types import FloatArray

Evaluate = Callable[[FloatArray], tuple[FloatArray, Callable[[], FloatArray]] | None]
"""Function of the parameters (p,). It returns the residual (m,) and a function for the model's derivatives (p, m), or None if they are invalid."""

_ATTEMPTS = 6  # damping values tried in one step


def levenberg_marquardt(
    evaluate: Evaluate,
    start: FloatArray,
    steps: int,
    *,
    least_gain: tuple[float, float] = (1e-10, 1e-14),
    longest: float | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Minimise the sum of squares of a residual.

    Parameters
    ----------
    evaluate : Evaluate
        Residual and derivatives of the model (see `Evaluate`).
    start : ndarray of float, shape (p,)
        Initial parameters. They must be valid for `evaluate`.
    steps : int
        Maximum number of steps.
    least_gain : tuple of (float, float), default (1e-10, 1e-14)
        Relative and absolute tolerance of the convergence. The descent ends if a step lowers the sum of squares by less than the relative
        tolerance times the sum plus the absolute tolerance.
    longest : float, optional
        Maximum change of a parameter in one step. None means no limit.

    Returns
    -------
    tuple of (ndarray of float, ndarray of float)
        Refined parameters (p,) and their residual (m,).

    Raises
    ------
    ValueError
        `start` is not valid for `evaluate`.
    """
    first = evaluate(start)
    if first is None:
        raise ValueError("the initial parameters of a refinement are not valid for the model")
    parameters, (residual, derivatives), damping = start, first, 1e-2
    cost = residual @ residual
    for _ in range(steps):
        jacobian = derivatives()
        normal, gradient = jacobian @ jacobian.T, jacobian @ residual
        for _attempt in range(_ATTEMPTS):
            move = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-6), gradient)
            moved = parameters + (move if longest is None else np.clip(move, -longest, longest))
            tried = evaluate(moved)
            if tried is not None and tried[0] @ tried[0] < cost:
                break
            damping *= 5
        else:
            break
        damping = max(damping / 5, 1e-8)
        parameters, (residual, derivatives) = moved, tried
        gain, cost = cost - residual @ residual, residual @ residual
        if gain < least_gain[0] * cost + least_gain[1]:
            break
    return parameters, residual


def levenberg_marquardt_batch(
    evaluate: Callable[[FloatArray, NDArray[np.int_]], tuple[FloatArray, FloatArray]],
    normal_equations: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
    start: FloatArray,
    steps: NDArray[np.int_],
    *,
    least_gain: tuple[float, float] = (1e-10, 1e-14),
) -> tuple[FloatArray, FloatArray]:
    """Fit k independent sets of parameters together. Each follows the path that `levenberg_marquardt` would take with it.

    Parameters
    ----------
    evaluate : callable
        Parameters (j, p) of some of the sets, and which sets these are (j,) -> what the model leaves unexplained (j, m),
        and an array (j, ...) from which the derivatives follow.
    normal_equations : callable
        That array and what is unexplained -> J J^T (j, p, p) and J r (j, p), for the derivatives J (j, p, m).
    start : ndarray of float, shape (k, p)
        Where each fit starts.
    steps : ndarray of int, shape (k,)
        Largest number of steps of each fit.
    least_gain : tuple of (float, float), default (1e-10, 1e-14)
        As for `levenberg_marquardt`.

    Returns
    -------
    tuple of (ndarray of float, ndarray of float)
        Parameters (k, p), and what they leave unexplained (k, m).
    """
    active = np.arange(len(start))
    parameters = start.copy()
    residuals, models = evaluate(start, active)
    damping, costs = np.full(len(start), 1e-2), _squares(residuals)
    diagonal = np.arange(start.shape[1])
    for step in range(int(steps.max(initial=0))):
        active = active[steps[active] > step]
        if len(active) == 0:
            break
        normal, gradient = normal_equations(models[active], residuals[active])
        pending, gains = np.arange(len(active)), np.full(len(active), -np.inf)  # positions in `active`
        for _attempt in range(_ATTEMPTS):
            sets, damped = active[pending], normal[pending]
            damped[:, diagonal, diagonal] += damping[sets, None] * (damped[:, diagonal, diagonal] + 1e-6)
            moved = parameters[sets] + np.linalg.solve(damped, gradient[pending][:, :, None])[:, :, 0]
            tried, model = evaluate(moved, sets)
            cost = _squares(tried)
            better = cost < costs[sets]
            taken = sets[better]
            gains[pending[better]] = costs[taken] - cost[better]
            parameters[taken], residuals[taken], models[taken] = moved[better], tried[better], model[better]
            costs[taken] = cost[better]
            damping[taken] = np.maximum(damping[taken] / 5, 1e-8)
            pending = pending[~better]
            damping[active[pending]] *= 5
            if len(pending) == 0:
                break
        active = active[gains >= least_gain[0] * costs[active] + least_gain[1]]
    return parameters, residuals


def _squares(residuals: FloatArray) -> FloatArray:
    """Sum of squares of each row."""
    return np.einsum("ij,ij->i", residuals, residuals)
