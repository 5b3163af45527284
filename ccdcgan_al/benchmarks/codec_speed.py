"""Structures a second through a codec, and whether the cost grows linearly with their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ccdcgan_al.benchmarks.hard_cases import SYMBOLS, with_symbols
from ccdcgan_al.benchmarks.outcome import Outcome, timed
from ccdcgan_al.benchmarks.structures import prototypes
from ccdcgan_al.codec.crystal_codec import CODECS, CrystalCodec
from ccdcgan_al.seeds.choose import MAX_SEED_LENGTH, MAX_SITES

GOAL = 8.0  # times that `fast` is to be faster than `paper`
ELEMENTS = SYMBOLS[:2]


def measure_codec_speed(
    direction: Literal["encode", "decode"], counts: Sequence[int], codecs: Sequence[str]
) -> Outcome:
    """Time the codecs on prototypes of one binary system, each repeated until the count is full.

    Parameters
    ----------
    direction : {"encode", "decode"}
        Encode or decode.
    counts : sequence of int
        Numbers of structures, measured one after the other.
    codecs : sequence of str
        Names of codecs; `paper`, which is slow, is timed at the smallest count only.

    Raises
    ------
    ValueError
        A name that is no codec's.
    """
    unknown = set(codecs) - set(CODECS)
    if unknown:
        raise ValueError(f"unknown codec {', '.join(sorted(unknown))}: wanted some of {', '.join(sorted(CODECS))}")
    structures = [
        with_symbols(structure) for _, structure in prototypes() if len(structure.composition) == len(ELEMENTS)
    ]
    rows: list[dict[str, Any]] = []
    per_second: dict[str, float] = {}
    growth: dict[str, float] = {}
    for name in codecs:
        each: list[float] = []  # CPU seconds
        codec = CrystalCodec.load(name, ELEMENTS)
        graphs = codec.encode(structures)
        codec.decode(graphs[:1])
        for count in sorted(counts) if name == "fast" else [min(counts)]:
            order = np.arange(count) % len(structures)
            if direction == "encode":
                with timed() as timing:
                    codec.encode([structures[i] for i in order])
            else:
                with timed() as timing:
                    codec.decode(graphs[order])
            per_second.setdefault(name, count / timing.cpu_seconds)
            each.append(timing.cpu_seconds / count)
            rows.append(
                {
                    "codec": name,
                    "structures": count,
                    "seconds": round(timing.seconds, 3),
                    "cpu seconds": round(timing.cpu_seconds, 3),
                    "ms each": round(1000 * timing.seconds / count, 3),
                    "cpu ms each": round(1000 * timing.cpu_seconds / count, 3),
                    "per second": round(count / timing.seconds, 1),
                }
            )
        if len(each) > 1:
            growth[name] = round(each[-1] / each[0], 3)
    ratio = per_second["fast"] / per_second["paper"] if {"fast", "paper"} <= per_second.keys() else None
    return Outcome(
        benchmark=direction,
        rows=rows,
        ratio=ratio,
        ratio_of=f"structures {direction}d in a second of CPU time, fast over paper, {min(counts)} each",
        goal=f"fast >= {GOAL:g} times paper",
        met=None if ratio is None else ratio >= GOAL,
        notes=[
            f"{len(structures)} binary AFLOW prototypes of at most {MAX_SITES} sites and {MAX_SEED_LENGTH:g} Å, repeated in order",
            *(
                f"{name}: one costs {times:g} times as much among {max(counts)} as among {min(counts)} (CPU time; 1 is linear growth)"
                for name, times in growth.items()
            ),
        ],
        figures={"growth": growth},
    )
