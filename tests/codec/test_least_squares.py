from collections.abc import Callable

import numpy as np
import pytest

from ccdcgan_al.codec.least_squares import Evaluate, levenberg_marquardt, levenberg_marquardt_batch


def line(target: np.ndarray, places: np.ndarray, largest: float = np.inf) -> Evaluate:
    """Slope and offset of a line through points; no model where one of them is above `largest`."""

    def evaluate(parameters: np.ndarray) -> tuple[np.ndarray, Callable[[], np.ndarray]] | None:
        if np.abs(parameters).max() > largest:
            return None
        model = parameters[0] * places + parameters[1]
        return target - model, lambda: np.stack([places, np.ones_like(places)])

    return evaluate


PLACES = np.array([0.0, 1.0, 2.0, 4.0])


def test_a_line_through_points_is_found() -> None:
    found, left = levenberg_marquardt(line(3 * PLACES - 2, PLACES), np.zeros(2), 50)
    np.testing.assert_allclose(found, [3, -2], atol=1e-6)
    np.testing.assert_allclose(left, 0, atol=1e-6)


def test_no_step_is_longer_than_allowed() -> None:
    found, _ = levenberg_marquardt(line(3 * PLACES - 2, PLACES), np.zeros(2), 2, longest=0.5)
    assert np.abs(found).max() <= 1


def test_parameters_that_make_no_model_are_never_returned() -> None:
    found, left = levenberg_marquardt(line(3 * PLACES - 2, PLACES, largest=2.0), np.zeros(2), 50)
    assert np.abs(found).max() <= 2
    assert left @ left < ((3 * PLACES - 2) ** 2).sum()
    with pytest.raises(ValueError, match="the start of a refinement makes no model"):
        levenberg_marquardt(line(PLACES, PLACES, largest=1.0), np.array([5.0, 0.0]), 3)


def test_a_batch_takes_the_path_of_each_alone() -> None:
    """Decays exp(-k t) of several rates, from starts near and far; some have few steps."""
    times, rates = np.linspace(0, 3, 20), np.array([0.5, 2.0, 5.0, 0.1])
    targets = np.exp(-rates[:, None] * times)
    starts, steps = np.array([[1.0], [0.01], [1.0], [4.0]]), np.array([50, 50, 2, 50])

    def alone(target: np.ndarray) -> Evaluate:
        def evaluate(rate: np.ndarray) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
            model = np.exp(-rate[0] * times)
            return target - model, lambda: (-times * model)[None]

        return evaluate

    def normal_equations(models: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slopes = (-times * models)[:, None]
        return slopes @ slopes.transpose(0, 2, 1), (slopes @ residuals[:, :, None])[:, :, 0]

    def evaluate(parameters: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        models = np.exp(-parameters * times)
        return targets[chosen] - models, models

    found, left = levenberg_marquardt_batch(evaluate, normal_equations, starts, steps)
    for number, target in enumerate(targets):
        wanted, unexplained = levenberg_marquardt(alone(target), starts[number], int(steps[number]))
        np.testing.assert_allclose(found[number], wanted, rtol=1e-9)
        np.testing.assert_allclose(left[number], unexplained, atol=1e-9)
    np.testing.assert_allclose(found[[0, 1, 3], 0], rates[[0, 1, 3]], rtol=1e-4)
