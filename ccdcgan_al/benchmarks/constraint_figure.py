"""The constraint's learning curve and calibration as a figure; it measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def constraint_figure(runs: Sequence[dict[str, Any]]) -> Figure:
    """Draw the runs of `constraint_error.measure_constraint`: errors by size, and for the largest size predictions and their calibration.

    Parameters
    ----------
    runs : sequence of dict
        What the outcome's JSON holds under `runs`.
    """
    from matplotlib.figure import Figure
    from scipy.stats import norm

    figure = Figure(figsize=(12, 3.9), layout="constrained")
    curve, parity, calibration = figure.subplots(1, 3)
    sizes = sorted({run["size"] for run in runs})
    for key, label, colour in (
        ("mae_mean", "mean", "0.6"),
        ("mae_composition", "composition only", "tab:orange"),
        ("mae", "constraint", "tab:blue"),
    ):
        values = [[1e3 * run[key] for run in runs if run["size"] == size] for size in sizes]
        curve.errorbar(
            sizes,
            [np.mean(v) for v in values],
            [np.std(v) for v in values],
            marker="o",
            ms=4,
            capsize=3,
            label=label,
            color=colour,
        )
    curve.axhline(40, color="0.4", lw=0.8, ls=":")
    curve.set(
        xlabel="structures learnt from", ylabel="MAE on held-out families (meV/atom)", xscale="log", ylim=(0, None)
    )
    curve.set_xticks(sizes, [str(size) for size in sizes], rotation=45)  # 400 and 500 stand close
    curve.minorticks_off()
    curve.legend()

    last = [run for run in runs if run["size"] == sizes[-1]]
    true, predicted, sigma = (np.concatenate([run[key] for run in last]) for key in ("true", "predicted", "sigma"))
    parity.errorbar(true, predicted, sigma, fmt="o", ms=3, lw=0.5, color="tab:blue", alpha=0.6)
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    parity.plot(ends, ends, color="0.4", lw=0.8)
    parity.set(
        xlabel="formation energy, 7net-0 (eV/atom)",
        ylabel="predicted, one sigma (eV/atom)",
        title=f"{len(true)} held out, {sizes[-1]} learnt from",
    )

    expected = np.linspace(0, 1, 41)
    within = [float(np.mean(np.abs(predicted - true) <= norm.ppf(0.5 + level / 2) * sigma)) for level in expected]
    calibration.plot(expected, within, color="tab:blue")
    calibration.plot([0, 1], [0, 1], color="0.4", lw=0.8)
    calibration.set(
        xlabel="share expected within the interval", ylabel="share found", xlim=(0, 1), ylim=(0, 1), aspect="equal"
    )
    return figure
