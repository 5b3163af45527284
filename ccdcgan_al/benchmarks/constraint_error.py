"""How wrong the constraint is about structures of families it has not seen, by the number it learnt from, beside two baselines.

The data are relaxed Bi-Se structures that ship with the package (`relaxed_set`), so nothing is relaxed here. A split holds out one of ten folds of
whole families; what is learnt from is drawn at random from the other nine, the smaller sets within the larger.
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
SPLITS = 10  # folds of whole families, one of which is held out: the number of splits that can be asked for
GOAL, GOAL_SIZE = 40.0, 500  # meV/atom on held-out structures, learnt from so many: the project's own


@dataclass(frozen=True)
class ConstraintData:
    """Structures ready to be learnt.

    Attributes
    ----------
    graphs : ndarray of float, shape (n, side, side, 1)
        Of the relaxed structures in their standard setting.
    energies : ndarray of float, shape (n,)
        Formation energies (eV/atom).
    fractions : ndarray of float, shape (n,)
        Share of the first element.
    families : tuple of str
        n labels.
    """

    graphs: FloatArray
    energies: FloatArray
    fractions: FloatArray
    families: tuple[str, ...]


def constraint_data(structures: Sequence[LabelledStructure]) -> ConstraintData:
    """Encode the relaxed structures; those beyond the codec's limits are left out."""
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
    """Return which structures to learn from (at most `size`) and which are held out: no family on both sides."""
    from ccdcgan_al.models.constraint import assign_folds

    held_out = assign_folds(data.families, SPLITS) == seed % SPLITS
    rest = np.random.default_rng(seed).permutation(np.flatnonzero(~held_out))
    return rest[:size], np.flatnonzero(held_out)


def composition_baseline(fractions: FloatArray, energies: FloatArray, asked: FloatArray) -> FloatArray:
    """Energies (m,) of a Gaussian process on the composition alone at fractions `asked` (m,); length, amplitude and noise maximise the likelihood."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(0.2, (0.02, 2.0)) + WhiteKernel(0.2, (1e-4, 10.0))
    process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where a length or the noise ends at its bound
        process.fit(fractions[:, None], energies)
    predicted: FloatArray = process.predict(asked[:, None])
    return predicted


def learn_once(data: ConstraintData, size: int, seed: int) -> dict[str, Any]:
    """Train on one split and score the held-out structures; energies and errors in eV/atom."""
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
        Structures to learn from.
    seeds : sequence of int
        One split each, 0 to 9.
    results : Path, optional
        Folder where each training's result is kept, and found again; None: nothing is kept.
    file : Path, default SHIPPED
        The data set.
    """
    structures, about = read_set(file)
    data = constraint_data(structures)
    for seed in seeds:
        left = len(split(data, len(data.energies), seed)[0])
        if max(sizes) > left:
            raise ValueError(
                f"split {seed} leaves {left} of {len(data.energies)} structures to learn from, fewer than {max(sizes)}"
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
        f"mean absolute error with {GOAL_SIZE} structures, meV/atom",
        f"<= {GOAL:g}",
        None if error is None else error <= GOAL,
        [
            (
                f"{len(data.energies)} relaxed {'-'.join(ELEMENTS)} structures of {len(set(data.families))} families, {method['calculator']} "
                f"{method['version']}; errors in meV/atom on the {runs[0]['held_out']} or so of a held-out tenth, mean over splits "
                f"{', '.join(map(str, seeds))} (+- their standard deviation); no family on both sides"
            ),
            "composition: a Gaussian process on the composition alone; mean: the mean of what is learnt from",
        ],
        {"runs": runs},
    )


def _kept(data: ConstraintData, size: int, seed: int, results: Path | None) -> dict[str, Any]:
    """Return the result of one training, read where it was done before."""
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
    """One line of the table, errors in meV/atom."""
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
