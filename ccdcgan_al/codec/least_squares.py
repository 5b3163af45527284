"""Levenberg-Marquardt with a stop after few steps: what the codecs' decoders refine positions and cells with. It knows no crystals.

SciPy's `least_squares` has no such short form: a decoder calls this for every atom that it adds, for three steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
