"""Measure the constraint's error on unseen structure families against the size of the training set, and compare it with two baselines.

The data are relaxed Bi-Se structures in the package (`relaxed_set`), so nothing is relaxed here. Families are divided into ten folds. A
split holds out one fold. The training set is drawn at random from the other nine folds. A smaller training set is part of a larger one.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccdcgan_al.benchmarks.outcome import Outcome, timed
from ccdcgan_al.benchmarks.relaxed_set import SHIPPED, LabelledStructure, read_set
from ccdcgan_al.types import FloatArray

ELEMENTS = ("Bi", "Se")
SPLITS = 10  # folds of whole families; each split holds out one fold, so there are 10 splits
GOAL, GOAL_SIZE = 40.0, 500  # the project's goal: meV/atom on held-out structures, and the size of the training set


@dataclass(frozen=True)
class ConstraintData:
    """Training data of the constraint.

    Attributes
    ----------
    graphs : ndarray of float, shape (n, side, side, 1)
        Crystal graphs of the relaxed structures in their standard setting.
    energies : ndarray of float, shape (n,)
        Formation energies (eV/atom).
    fractions : ndarray of float, shape (n,)
        Atomic fractions of the first element.
    families : tuple of str
        Family label of each structure (n labels).
    """

    graphs: FloatArray
    energies: FloatArray
    fractions: FloatArray
    families: tuple[str, ...]


def constraint_data(structures: Sequence[LabelledStructure]) -> ConstraintData:
    """Encode the relaxed structures. Structures outside the codec's limits are left out."""
    from ccdcgan_al.codec.crystal_codec import CrystalCodec
    from ccdcgan_al.structures.families import standard_setting

    codec = CrystalCodec.load("fast", ELEMENTS)
    batch = codec.encode_batch([standard_setting(item.relaxed) for item in structures])
    kept = [structures[number] for number in batch.indices]
    return ConstraintData(
        batch.graphs,
        np.array([item.formation_energy for item in kept]),
        np.array([item.relaxed.composition.get_atomic_fraction(ELEMENTS[0]) for item in kept]),
        tuple(item.family for item in kept),
    )


def split(data: ConstraintData, size: int, seed: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the indices of at most `size` training structures and of the held-out structures. No family is in both."""
    from ccdcgan_al.models.constraint import assign_folds

    held_out = assign_folds(data.families, SPLITS) == seed % SPLITS
    rest = np.random.default_rng(seed).permutation(np.flatnonzero(~held_out))
    return rest[:size], np.flatnonzero(held_out)


def composition_baseline(fractions: FloatArray, energies: FloatArray, asked: FloatArray) -> FloatArray:
    """Predict energies (m,) at the fractions `asked` (m,) with a Gaussian process that knows only the composition.

    Its length scale, amplitude and noise maximise the likelihood.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(0.2, (0.02, 2.0)) + WhiteKernel(0.2, (1e-4, 10.0))
    process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length scale or the noise may end at its bound
        process.fit(fractions[:, None], energies)
    predicted: FloatArray = process.predict(asked[:, None])
    return predicted


def learn_once(data: ConstraintData, size: int, seed: int) -> dict[str, Any]:
    """Train on one split and score the held-out structures. Energies and errors are in eV/atom."""
    from ccdcgan_al.models import runtime
    from ccdcgan_al.models.constraint import FormationEnergyConstraint

    learnt, held_out = split(data, size, seed)
    runtime.start(seed)
    constraint = FormationEnergyConstraint(data.graphs.shape[1])
    with timed() as timing:
        constraint.fit(
            data.graphs[learnt][:, None], data.energies[learnt], [data.families[number] for number in learnt]
        )
    predicted, sigma = constraint.predict(data.graphs[held_out])
    true = data.energies[held_out]
    baseline = composition_baseline(data.fractions[learnt], data.energies[learnt], data.fractions[held_out])

    def error(values: FloatArray | float) -> float:
        return float(np.mean(np.abs(values - true)))

    return {
        "size": len(learnt),
        "seed": seed,
        "held_out": len(held_out),
        "mae": error(predicted),
        "mae_mean": error(float(data.energies[learnt].mean())),
        "mae_composition": error(baseline),
        "own_estimate": constraint.held_out_mae,
        "calibration": constraint.calibration,
        "within_1_sigma": float(np.mean(np.abs(predicted - true) <= sigma)),
        "within_2_sigma": float(np.mean(np.abs(predicted - true) <= 2 * sigma)),
        "seconds": round(timing.seconds, 1),
        "cpu_seconds": round(timing.cpu_seconds, 1),
        "true": true.round(4).tolist(),
        "predicted": predicted.round(4).tolist(),
        "sigma": sigma.round(4).tolist(),
    }


def measure_constraint(
    sizes: Sequence[int], seeds: Sequence[int], results: Path | None = None, file: Path = SHIPPED
) -> Outcome:
    """Measure the learning curve.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of training structures.
    seeds : sequence of int
        Numbers of the splits, 0 to 9.
    results : Path, optional
        Folder where the result of each training is saved and reused. None means nothing is saved.
    file : Path, default SHIPPED
        Data set.

    Raises
    ------
    ValueError
        The file is not a data set, or a split has too few structures for the largest size.
    """
    structures, about = read_set(file)
    data = constraint_data(structures)
    for seed in seeds:
        left = len(split(data, len(data.energies), seed)[0])
        if max(sizes) > left:
            raise ValueError(
                f"got a training size of {max(sizes)}: split {seed} has only {left} of {len(data.energies)} structures for training"
            )
    runs = [_kept(data, size, seed, results) for size in sizes for seed in seeds]
    rows = [_row(size, [run for run in runs if run["size"] == size]) for size in sizes]
    at_goal = [row for row in rows if row["learnt from"] == GOAL_SIZE]
    error = at_goal[0]["constraint"] if at_goal else None
    method = about["method"]
    return Outcome(
        "constraint",
        rows,
        error,
        f"mean absolute error with {GOAL_SIZE} training structures (meV/atom)",
        f"<= {GOAL:g}",
        None if error is None else error <= GOAL,
        [
            (
                f"data: {len(data.energies)} relaxed {'-'.join(ELEMENTS)} structures of {len(set(data.families))} families, relaxed with "
                f"{method['calculator']} {method['version']}"
            ),
            (
                f"errors: in meV/atom on a held-out tenth (about {runs[0]['held_out']} structures), mean over splits "
                f"{', '.join(map(str, seeds))} (+- standard deviation); a held-out family is not in the training set"
            ),
            "composition: a Gaussian process that knows only the composition; mean: the mean energy of the training set",
        ],
        {"runs": runs},
    )


def _kept(data: ConstraintData, size: int, seed: int, results: Path | None) -> dict[str, Any]:
    """Return the result of one training. A saved result is read again."""
    file = None if results is None else results / f"constraint-{len(data.energies)}-{size}-{seed}.json"
    if file is not None and file.is_file():
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    run = learn_once(data, size, seed)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".part")
        temporary.write_text(json.dumps(run), encoding="utf-8")
        temporary.replace(file)
    return run


def _row(size: int, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one row of the table, with errors in meV/atom."""
    means = {
        key: float(np.mean([run[key] for run in runs])) for key in runs[0] if key not in {"true", "predicted", "sigma"}
    }
    return {
        "learnt from": size,
        "mean": round(1e3 * means["mae_mean"], 1),
        "composition": round(1e3 * means["mae_composition"], 1),
        "constraint": round(1e3 * means["mae"], 1),
        "+-": round(1e3 * float(np.std([run["mae"] for run in runs])), 1),
        "of composition's": round(means["mae"] / means["mae_composition"], 2),
        "within 1 sigma": round(means["within_1_sigma"], 2),
        "within 2 sigma": round(means["within_2_sigma"], 2),
        "CPU s": round(means["cpu_seconds"], 1),
    }
