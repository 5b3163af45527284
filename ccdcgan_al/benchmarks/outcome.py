"""What a benchmark measured: rows, one ratio, the goal it is held against. It measures nothing itself."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """A benchmark's result.

    Attributes
    ----------
    benchmark : str
        Its name on the command line.
    rows : list of dict
        One dict a line of the table, all with the same keys; values are what JSON holds.
    ratio : float or None
        The figure that the goal is about; None where this run could not measure it.
    ratio_of : str
        What the ratio is, in words.
    goal : str, default ""
        What was wanted, in words; empty where there is no goal.
    met : bool, optional
        Whether the ratio meets the goal; None where there is no goal or no ratio.
    notes : list of str
        Lines that a reader needs to judge the figures (source, denominator, what was left out).
    figures : dict
        Further numbers for the JSON line, by name.
    """

    benchmark: str
    rows: list[dict[str, Any]]
    ratio: float | None
    ratio_of: str
    goal: str = ""
    met: bool | None = None
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(row.keys() != self.rows[0].keys() for row in self.rows):
            raise ValueError(f"rows of benchmark {self.benchmark} differ in their keys: {self.rows}")

    def as_dict(self) -> dict[str, Any]:
        """Everything, for one line of JSON, with the machine beside it."""
        return {
            "benchmark": self.benchmark,
            "ratio": self.ratio,
            "ratio_of": self.ratio_of,
            "goal": self.goal,
            "met": self.met,
            **self.figures,
            "rows": self.rows,
            "notes": self.notes,
            "python": platform.python_version(),
            "processor": platform.machine(),
            "cores": os.cpu_count() or 1,
        }


@dataclass
class Timing:
    """Time that a `timed` block took, in seconds: wall clock, and of this process on all cores."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Timing]:
    """Time a block; the figures are there once it has ended."""
    timing = Timing()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield timing
    finally:
        timing.seconds, timing.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
