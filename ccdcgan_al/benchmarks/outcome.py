"""Define the result of a benchmark: rows, one ratio and its goal. It measures nothing except time."""

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
        Name on the command line.
    rows : list of dict
        Rows of the table, all with the same keys. Values are JSON types.
    ratio : float or None
        Figure that the goal refers to. None if this run could not measure it.
    ratio_of : str
        Description of the ratio.
    goal : str, default ""
        Description of the goal. Empty if there is no goal.
    met : bool, optional
        Whether the ratio meets the goal. None if there is no goal or no ratio.
    notes : list of str
        Notes that explain the figures (source, denominator, what is left out).
    figures : dict
        More numbers for the JSON line, by name.
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
            raise ValueError(f"the rows of benchmark {self.benchmark} must have the same keys, got {self.rows}")

    def as_dict(self) -> dict[str, Any]:
        """Return all fields and a description of the machine, for one line of JSON."""
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
    """Duration of a `timed` block in seconds: wall time, and CPU time of this process on all cores."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Timing]:
    """Time a block. The figures are set when the block ends."""
    timing = Timing()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield timing
    finally:
        timing.seconds, timing.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
