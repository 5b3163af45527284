"""LaunchPad time per structure as a function of the round's size: real workflows and database, relaxations that return at once.

``python -m launchpad.benchmarks.round_size`` runs this module as the worker: FireWorks' own `rapidfire`, timed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
from jobflow import Response, job
from pymatgen.core import Lattice, Structure

from ccdcgan_al.benchmarks.outcome import Outcome, timed
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.types import Candidate, Method, Relaxed
from launchpad.batches import put, split
from launchpad.benchmarks.temporary_database import TemporaryDatabase, temporary_database
from launchpad.database.store import CampaignStore
from launchpad.returned import ReturnedDocuments
from launchpad.service.configure import open_launchpad, worker_environment
from workflows.flows import RoundMaker
from workflows.jobs import Relaxer

GOAL, GOAL_SIZES = 1.5, (50, 5000)
NOTHING = Method("none", "returns its structure unrelaxed, for benchmark round-size", "1")
CELL = Structure(Lattice.cubic(9.0), ["Bi"] * 4 + ["Se"] * 8, [[i / 12, i / 7, i / 5] for i in range(12)])


@dataclass
class NoRelaxation(Relaxer):
    """A relaxer that relaxes nothing and returns at once. Only this benchmark uses it."""

    method: str = NOTHING.name

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:  # noqa: ARG002 - as every relaxer
        """Return the structure unchanged."""
        return Relaxed(structure, -1.0, NOTHING, 0, 0.0, converged=True)


@job
def record_batch(campaign_id: str, batch: int, relaxations: ReturnedDocuments) -> Response:
    """Close a batch without the science: record its results, and record that it is back."""
    store = CampaignStore.of_worker()
    store.record(campaign_id, [document for document in relaxations.values() if document])
    return Response(stored_data={"last": store.returned(campaign_id, 0, batch)})


def measure_round_size(sizes: list[int], repeats: int = 3) -> Outcome:
    """Time rounds of several sizes. The smallest is timed before and after each of the others, because timings fluctuate.

    Parameters
    ----------
    sizes : list of int
        Numbers of structures in a round.
    repeats : int, default 3
        Number of repeats of the smallest, each time.

    Returns
    -------
    Outcome
        Outcome whose ratio is the time per structure of the largest round over that of the smallest.
    """
    smallest, *others = sorted(set(sizes))
    order = [smallest] * repeats
    for size in others:
        order += [size, *([smallest] * repeats)]
    measured: dict[int, list[dict[str, float]]] = {size: [] for size in sorted(set(sizes))}
    with temporary_database() as where:
        for number, size in enumerate(order):
            measured[size].append(_round(where, Campaign("Bi-Se", seed=number), size))
    rows = []
    for size, results in measured.items():
        row: dict[str, Any] = {"structures": size, "workflows": len(split(range(size))), "rounds": len(results)}
        for name in ("put", "run", "total", "CPU"):
            row[f"{name}, ms"] = round(statistics.median(1000 * result[name] / size for result in results), 1)
        rows.append(row)
    ratio = rows[-1]["total, ms"] / rows[0]["total, ms"]
    cpu = rows[-1]["CPU, ms"] / rows[0]["CPU, ms"]
    return Outcome(
        benchmark="round-size",
        rows=rows,
        ratio=ratio,
        ratio_of=f"LaunchPad time per structure, round of {rows[-1]['structures']} over round of {smallest}",
        goal=f"<= {GOAL:g} for 5,000 over 50",
        met=ratio <= GOAL if (rows[0]["structures"], rows[-1]["structures"]) == GOAL_SIZES else None,
        notes=[
            "per structure, medians; put: stored and put on the LaunchPad; run: by one worker, recording included",
            "CPU: of worker and mongod while they run",
            f"the same ratio of CPU times, which other work on the machine disturbs less: {cpu:.3g}",
        ],
        figures={"cpu_ratio": cpu},
    )


def _round(where: TemporaryDatabase, campaign: Campaign, size: int) -> dict[str, float]:
    """Run one round and return its times (s)."""
    campaign_id = campaign.campaign_id
    where.store.add_campaign(campaign)
    candidates = [Candidate(f"Bi-Se-r0-{i:05d}", CELL, "seed", 0, "benchmark") for i in range(size)]
    parts = split(candidates)
    mongod = psutil.Process(where.mongod)
    with timed() as putting:
        where.store.submit(campaign_id, candidates, {})
        where.store.open_round(campaign_id, 0, {"submitted": size, "batches": len(parts)})
        for batch, part in enumerate(parts):
            name = f"{campaign_id}, batch {batch + 1}"
            described = {"campaign_id": campaign_id}
            closing = {"campaign_id": campaign_id, "batch": batch}
            maker = RoundMaker(name, NoRelaxation(), record_batch, closing, described)
            put(
                where.launchpad,
                name,
                partial(maker.make, part),
                described,
            )
    before = mongod.cpu_times()
    with tempfile.TemporaryDirectory(prefix="ccdcgan-al-launches-", ignore_cleanup_errors=True) as launches:
        done = subprocess.run(  # noqa: S603 - this interpreter, and this module
            [sys.executable, "-m", "launchpad.benchmarks.round_size", str(where.config)],
            cwd=launches,
            env=worker_environment(where.config, where.uri),
            capture_output=True,
            text=True,
            check=True,
        )
    after = mongod.cpu_times()
    states = where.store.ask("states", campaign_id=campaign_id)
    relaxed = sum(row["structures"] for row in states if row["_id"]["state"] == "relaxed")
    if relaxed != size:
        raise RuntimeError(f"{relaxed} of {size} structures were recorded: {done.stderr[-2000:]}")
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    server = after.user + after.system - before.user - before.system
    return {
        "put": putting.seconds,
        "run": figures["seconds"],
        "total": putting.seconds + figures["seconds"],
        "CPU": figures["cpu_seconds"] + server,
    }


def work(config: str) -> None:
    """Run everything that is ready, as `rlaunch rapidfire` does, and print the time without the imports (s)."""
    from pathlib import Path

    from fireworks import FWorker
    from fireworks.core.rocket_launcher import rapidfire

    launchpad = open_launchpad(Path(config))
    with timed() as timing:
        rapidfire(launchpad, FWorker(), nlaunches=0, sleep_time=0, strm_lvl="ERROR")
    sys.stdout.write(json.dumps({"seconds": timing.seconds, "cpu_seconds": timing.cpu_seconds}) + "\n")


if __name__ == "__main__":
    work(sys.argv[1])
