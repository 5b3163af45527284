"""Overhead of the LaunchPad for ML relaxations: local workers, compared with a bare loop on the same number of processes, in one run.

Both relax the same structures. Both are timed from before the first process starts to the end of the last relaxation, so both load
the potential. The CPU time of all processes, mongod included, is also given: other work on the machine affects it less.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from jobflow import Response, job

from ccdcgan_al.benchmarks.outcome import Outcome, timed
from ccdcgan_al.seeds.choose import choose_seeds
from ccdcgan_al.types import DEFAULT_METHOD, Candidate
from launchpad.batches import put, relaxation_counts, split
from launchpad.benchmarks.temporary_database import TemporaryDatabase, temporary_database
from launchpad.returned import ReturnedDocuments
from launchpad.service.configure import worker_environment
from launchpad.service.workers import LocalWorkers
from workflows.documents import relax_to_document
from workflows.flows import RoundMaker
from workflows.methods import relaxer

GOAL = 1.10
ELEMENTS = ("Bi", "Se")


@job
def close_nothing(relaxations: ReturnedDocuments) -> Response:
    """Replace the close of a round. Learning is not measured here."""
    return Response(stored_data={"relaxations": sum(document is not None for document in relaxations.values())})


def measure_overhead(count: int = 32, repeats: int = 2, method: str = DEFAULT_METHOD, workers: int = 2) -> Outcome:
    """Time both, in the order A B B A A B ..., so that a machine that becomes slower or faster favours neither.

    Parameters
    ----------
    count : int, default 32
        Number of structures, which are seeds of Bi-Se.
    repeats : int, default 2
        Number of times that each is timed.
    method : str, default DEFAULT_METHOD
        Method that relaxes.
    workers : int, default 2
        Number of processes, with one thread each.
    """
    maker = relaxer(method)
    seeds = choose_seeds(ELEMENTS, count, 0, [], [])
    candidates = [
        Candidate(f"Bi-Se-r0-{i:05d}", seed.structure, seed.origin, 0, seed.label) for i, seed in enumerate(seeds)
    ]
    ways = {"LaunchPad": _by_launchpad, "bare loop": _by_loop}
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for repeat in range(repeats):
        for name in list(ways) if repeat % 2 == 0 else list(reversed(ways)):
            results[name].append(ways[name](candidates, maker, workers))
    rows = [
        {
            "way": name,
            "structures": len(candidates),
            "run": number + 1,
            "wall, s": round(result["wall"], 1),
            "CPU, s": round(result["cpu"], 1),
            "in relaxations, s": round(result["relaxing"], 1),
            "idle or other, share": round(1 - result["relaxing"] / (workers * result["wall"]), 3),
            "relaxed": result["relaxed"],
        }
        for name, found in results.items()
        for number, result in enumerate(found)
    ]
    ratios = [a["wall"] / b["wall"] for a, b in zip(*results.values(), strict=True)]
    ratio = statistics.median(ratios)
    cpu = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(*results.values(), strict=True))
    return Outcome(
        benchmark="overhead",
        rows=rows,
        ratio=ratio,
        ratio_of=f"wall time of {len(candidates)} relaxations through the LaunchPad over a bare loop, {workers} processes each",
        goal=f"<= {GOAL:.2f}",
        met=ratio <= GOAL,
        notes=[
            f"median of {repeats} pairs: {', '.join(f'{value:.3f}' for value in ratios)}; method {method}",
            f"the same ratio of CPU times: {cpu:.3f}",
        ],
        figures={"pairs": ratios, "cpu_ratio": cpu, "structures": len(candidates)},
    )


def _by_launchpad(candidates: list[Candidate], maker: Any, workers: int) -> dict[str, Any]:
    """Relax through the LaunchPad with local workers, as `ccdcgan-al run` does."""
    with temporary_database() as where:
        mongod = psutil.Process(where.mongod)
        before = _cpu_seconds() + sum(mongod.cpu_times()[:2])
        with timed() as timing:
            described = {"campaign_id": "benchmark"}
            for batch, part in enumerate(split(candidates)):
                flow_maker = RoundMaker(f"benchmark {batch}", maker, close_nothing, metadata=described)
                put(where.launchpad, f"benchmark {batch}", partial(flow_maker.make, part), described)
            running = LocalWorkers(where.config, where.uri, workers)
            running.start()
            _wait(where, running, len(candidates))
        running.stop()
        cpu = _cpu_seconds() + sum(mongod.cpu_times()[:2]) - before
        return _sums(timing.seconds, cpu, where.store.relaxation_outputs())


def _wait(where: TemporaryDatabase, running: LocalWorkers, count: int) -> None:
    """Wait until all relaxations have ended."""
    try:
        while relaxation_counts(where.launchpad, "benchmark")[0] < count:
            running.check()
            time.sleep(0.2)
    except BaseException:
        running.stop()
        raise


def _by_loop(candidates: list[Candidate], maker: Any, workers: int) -> dict[str, Any]:
    """Relax in a bare loop. Each process takes the next structure when it has finished one."""
    environment = worker_environment(Path(tempfile.gettempdir()), "mongodb://none/none")
    before = _cpu_seconds()
    with (
        mock.patch.dict(os.environ, {name: environment[name] for name in environment if name.endswith("_THREADS")}),
        timed() as timing,
    ):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            futures = [
                pool.submit(relax_to_document, candidate.structure, candidate.structure_id, maker)
                for candidate in candidates
            ]
            documents = [future.result() for future in futures]
    return _sums(timing.seconds, _cpu_seconds() - before, documents)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its ended children (s)."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _sums(wall: float, cpu: float, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the results of one run."""
    return {
        "wall": wall,
        "cpu": cpu,
        "relaxing": sum(document["seconds"] for document in documents),
        "relaxed": sum(document["state"] == "relaxed" for document in documents),
    }
