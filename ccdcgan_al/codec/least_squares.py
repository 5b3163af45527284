"""Levenberg-Marquardt with a stop after few steps: what the codecs' decoders refine positions and cells with. It knows no crystals.

SciPy's `least_squares` has no such short form: a decoder calls this for every atom that it adds, for three steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.types import FloatArray

Evaluate = Callable[[FloatArray], tuple[FloatArray, Callable[[], FloatArray]] | None]
"""Parameters (p,) -> what the model leaves unexplained (m,), and a function that gives its derivatives (p, m); None where they make no model."""

_ATTEMPTS = 6  # dampings tried in a step


def levenberg_marquardt(
    evaluate: Evaluate,
    start: FloatArray,
    steps: int,
    *,
    least_gain: tuple[float, float] = (1e-10, 1e-14),
    longest: float | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return parameters (p,) that leave little unexplained, and what they leave (m,).

    Parameters
    ----------
    evaluate : Evaluate
        See `Evaluate`.
    start : ndarray of float, shape (p,)
        For which `evaluate` gives a model.
    steps : int
        At most.
    least_gain : tuple of (float, float), default (1e-10, 1e-14)
        A step that lowers the sum of squares by less than this share of it and this much ends the descent.
    longest : float, optional
        Change of a parameter in one step, at most; None: any.

    Raises
    ------
    ValueError
        `start` makes no model.
    """
    first = evaluate(start)
    if first is None:
        raise ValueError("the start of a refinement makes no model")
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
