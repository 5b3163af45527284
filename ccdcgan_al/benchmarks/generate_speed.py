"""Crystal graphs generated and screened a second, and how much of the cores' peak that is. Networks here are untrained: their cost is the same."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from typing import Any, Literal

from ccdcgan_al.benchmarks.outcome import Outcome, timed

MILLION = 1_000_000
GOALS = {"default": 10.0, "published": 45.0}  # minutes for a million graphs on two cores
MAX_MEMORY = 4.0  # GB
_SQUARE = 2048  # side of the matrices whose product stands for the peak
SIDE = 28  # of a binary's crystal graph


def measure_generate_speed(
    counts: Sequence[int],
    networks: Literal["default", "published"] = "default",
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Outcome:
    """Draw graphs and screen each by the whole constraint ensemble, for each of `counts`.

    Parameters
    ----------
    counts : sequence of int
        Numbers of graphs, measured one after the other.
    networks : {"default", "published"}, optional
        The GAN's: default or published.
    precision : {"float32", "bfloat16"}, optional
        Of the generator's products.

    Raises
    ------
    ValueError
        Networks or a precision of another name.
    """
    if networks not in GOALS or precision not in {"float32", "bfloat16"}:
        raise ValueError(
            f"wanted networks default or published and float32 or bfloat16, got {networks!r} and {precision!r}"
        )
    from ccdcgan_al.models import runtime
    from ccdcgan_al.models.constraint import FormationEnergyConstraint
    from ccdcgan_al.models.gan import GanSettings, GraphGenerator
    from ccdcgan_al.models.stream import BATCH_SIZE, best_graphs, screened_batches, screening_function

    runtime.start(0)
    settings = GanSettings.published() if networks == "published" else GanSettings()
    gan, constraint = GraphGenerator(SIDE, settings), FormationEnergyConstraint(SIDE)
    screen = screening_function(gan, constraint, precision=precision)
    work = _operations(screen) / BATCH_SIZE
    rows: list[dict[str, Any]] = []
    wall = cpu = peak_wall = peak_cpu = 0.0
    best_graphs(screened_batches(screen, 2 * BATCH_SIZE, 0), 1)  # compiles
    for count in counts:
        with timed() as peak:
            products = _multiply(20)
        with timed() as timing:
            best_graphs(screened_batches(screen, count, 0), keep=1000)
        rates = [products / peak.seconds, products / peak.cpu_seconds]
        peak_wall, peak_cpu = rates
        wall, cpu = timing.seconds / count, timing.cpu_seconds / count
        rows.append(
            {
                "graphs": count,
                "seconds": round(timing.seconds, 2),
                "cpu seconds": round(timing.cpu_seconds, 2),
                "graphs/s": round(1 / wall, 1),
                "min a million": round(wall * MILLION / 60, 2),
                "share of peak": round(work / wall / peak_wall, 3),
                "of a core's": round(work / cpu / peak_cpu, 3),
                "memory, GB": round(_most_memory(), 2),
            }
        )
    measured = max(counts) >= MILLION
    minutes = wall * MILLION / 60
    memory = _most_memory()
    return Outcome(
        benchmark="generate",
        rows=rows,
        ratio=GOALS[networks] / minutes,
        ratio_of=f"{GOALS[networks]:g} minutes over the minutes for a million graphs ({minutes:.2f}), {networks} networks",
        goal=f">= 1 on two cores, memory <= {MAX_MEMORY:g} GB",
        met=minutes <= GOALS[networks] and memory <= MAX_MEMORY,
        notes=[
            (
                f"each graph is drawn ({precision}) and judged by all {constraint.settings.members} members; the best 1,000 stay in memory, "
                "no file is written"
            ),
            (
                f"{work / 1e6:.1f} million operations a graph, counted by TensorFlow; peak: the product of two float32 {_SQUARE} x {_SQUARE} "
                f"matrices, timed before each row: {peak_wall / 1e9:.0f} GFLOP/s of wall time, {peak_cpu / 1e9:.0f} of a core's own time"
            ),
            "measured, not extrapolated"
            if measured
            else "the time for a million is the last row's, times its share of a million; the rows show whether the cost is linear",
        ],
        figures={
            "networks": networks,
            "precision": precision,
            "minutes_for_a_million": minutes,
            "cpu_minutes_for_a_million": cpu * MILLION / 60,
            "memory_gb": memory,
            "extrapolated": not measured,
        },
    )


def _operations(function: Any) -> int:
    """Floating-point operations of one call, by TensorFlow's own count."""
    import tensorflow as tf

    options = tf.compat.v1.profiler.ProfileOptionBuilder(
        tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    graph = function.get_concrete_function().graph
    return int(tf.compat.v1.profiler.profile(graph, options=options.build()).total_float_ops)


def _multiply(times: int) -> float:
    """Multiply two large matrices and return the operations that took."""
    import tensorflow as tf

    square = tf.ones((_SQUARE, _SQUARE))
    for _ in range(times):
        tf.linalg.matmul(square, square)[0, 0].numpy()
    return 2.0 * times * _SQUARE**3


def _most_memory() -> float:
    """Largest resident memory of this process so far (GB)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
