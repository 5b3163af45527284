"""Relaxations per second: the service's relaxer and atomate2's `ForceFieldRelaxMaker`, in one run, on the same structures.

Both start from the same rattled structures, use SevenNet 7net-0 and stop at the same force. The service relaxes as its
workers do: one process per core, one thread for each, each model loaded once, CHGNet first. The other relaxes one by one in one
process with atomate2's defaults (a model for each relaxation, all cores as threads, FIRE with ASE's time step). Process
starts and imports are not counted on either side. Both first do one relaxation that is not measured.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from ccdcgan_al.benchmarks.outcome import Outcome
from workflows.guards import RelaxationError
from workflows.relax import GuardedForceFieldRelaxMaker, ready_structure

if TYPE_CHECKING:
    from pymatgen.core import Structure

GOAL, SAME = 3.0, 0.001  # SAME: two final energies agree within this (eV/atom)
RATTLE = 0.03  # Å, the service's rattle
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure_relaxations(count: int = 8, seed: int = 0, fmax: float = 0.05) -> Outcome:
    """Relax Bi-Se prototypes in both ways and compare times and energies.

    Parameters
    ----------
    count : int, default 8
        Number of structures: AFLOW prototypes of 4 to 12 atoms.
    seed : int, default 0
        Random seed of their choice.
    fmax : float, default 0.05
        Largest force at which both stop (eV/Å).

    Raises
    ------
    ValueError
        If fewer than one structure is requested.
    """
    structures = prototypes(count, seed)
    with threads_set_to(None), _pool(1) as pool:
        list(pool.map(by_default, structures[:1], [fmax]))
        load = pool.submit(model_load_seconds).result()
        started = time.perf_counter()
        plain = list(pool.map(by_default, structures, [fmax] * count))
        plain_seconds = time.perf_counter() - started
    cores = os.cpu_count() or 1
    with threads_set_to("1"), _pool(cores) as pool:
        list(pool.map(by_service, [structures[0]] * cores, [fmax] * cores))
        started = time.perf_counter()
        service = list(pool.map(by_service, structures, [fmax] * count))
        service_seconds = time.perf_counter() - started
    return outcome_of(structures, plain, service, (plain_seconds, service_seconds), load, cores=cores, fmax=fmax)


def outcome_of(
    structures: list[Structure],
    plain: list[dict[str, Any]],
    service: list[dict[str, Any]],
    wall_seconds: tuple[float, float],
    load: float,
    *,
    cores: int,
    fmax: float,
) -> Outcome:
    """Return the measurement as a report: a row for each structure, the ratio of the wall times, and the number of energies that agree."""
    plain_seconds, service_seconds = wall_seconds
    rows = []
    for structure, one, other in zip(structures, plain, service, strict=True):
        both = one["energy"] is not None and other["energy"] is not None
        rows.append(
            {
                "structure": structure.composition.reduced_formula,
                "atoms": len(structure),
                "default, s": one["seconds"],
                "service, s": other["seconds"],
                "default, steps": one["steps"],
                "service, steps": other["steps"],
                "service - default, meV/atom": 1000 * (other["energy"] - one["energy"]) if both else None,
            }
        )
    differences = [
        abs(row["service - default, meV/atom"]) for row in rows if row["service - default, meV/atom"] is not None
    ]
    same = sum(difference <= 1000 * SAME for difference in differences)
    ratio = plain_seconds / service_seconds
    notes = [
        f"{len(structures)} Bi-Se prototypes, each atom moved by {RATTLE} Å, 7net-0, both to {fmax} eV/Å; {cores} service processes",
        (
            f"wall time: default {plain_seconds:.1f} s, service {service_seconds:.1f} s; CPU time of all threads: default "
            f"{sum(item['cpu'] for item in plain):.1f} s, service {sum(item['cpu'] for item in service):.1f} s"
        ),
        f"7net-0 is loaded in {load:.1f} s: by the default for each relaxation, by the service once a process",
        (
            f"{same} of {len(structures)} final energies agree to {1000 * SAME:g} meV/atom; of the others the service's is lower in "
            f"{sum((row['service - default, meV/atom'] or 0) < -1000 * SAME for row in rows)}. Two paths from a rattled symmetric "
            "start may end in different minima, and within one minimum stop at different points of a flat valley"
        ),
    ]
    return Outcome(
        benchmark="relax",
        rows=rows,
        ratio=ratio,
        ratio_of="wall time of ForceFieldRelaxMaker one by one over that of the service's relaxer, same structures",
        goal=f">= {GOAL:g}",
        met=ratio >= GOAL,
        notes=notes,
        figures={"same_energy": same, "compared": len(differences), "cores": cores, "fmax": fmax},
    )


def prototypes(count: int, seed: int) -> list[Structure]:
    """Return rattled Bi-Se prototypes of 4 to 12 atoms. They are the same for the same seed.

    Raises
    ------
    ValueError
        If `count` is less than one, or more than the number of prototypes.
    """
    from ccdcgan_al.seeds.choose import choose_seeds

    found = [item.structure for item in choose_seeds(("Bi", "Se"), 120, seed, [], []) if 4 <= len(item.structure) <= 12]  # noqa: PLR2004
    if not 1 <= count <= len(found):
        raise ValueError(f"count must be from 1 to {len(found)}, got {count}")
    return [ready_structure(structure, f"benchmark {i}", RATTLE) for i, structure in enumerate(found[:count])]


def by_default(structure: Structure, fmax: float) -> dict[str, Any]:
    """Relax with atomate2's Maker and its defaults, except the force at which it stops. Making its task document is not timed."""
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    maker = ForceFieldRelaxMaker(
        force_field_name="SevenNet", calculator_kwargs={"model": "7net-0"}, relax_kwargs={"fmax": fmax}
    )
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        warnings.simplefilter("ignore")  # it writes final_atoms_object.xyz to the folder
        started, cpu = time.perf_counter(), time.process_time()
        result = maker.run_ase(structure)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "energy": float(result.trajectory.frame_properties[-1]["energy"] / len(structure)),
        "seconds": seconds,
        "cpu": cpu,
        "steps": len(result.trajectory),
    }


def model_load_seconds() -> float:
    """Return the time to load 7net-0 (s), without the import of its packages."""
    from atomate2.forcefields.utils import MLFF, ase_calculator

    started = time.perf_counter()
    ase_calculator(MLFF("SevenNet"), model="7net-0")
    return time.perf_counter() - started


def by_service(structure: Structure, fmax: float) -> dict[str, Any]:
    """Relax with `GuardedForceFieldRelaxMaker` as a worker does. The structures are already rattled."""
    started, cpu = time.perf_counter(), time.process_time()
    energy, steps = None, None
    with contextlib.suppress(RelaxationError):
        relaxed = GuardedForceFieldRelaxMaker(method="sevennet", fmax=fmax, rattle=0.0).relax(structure, "benchmark")
        energy, steps = relaxed.energy_per_atom, relaxed.n_steps
    return {
        "energy": energy,
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "steps": steps,
    }


def _pool(workers: int) -> ProcessPoolExecutor:
    """Return new processes. They take the environment at their start."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@contextlib.contextmanager
def threads_set_to(threads: str | None) -> Iterator[None]:
    """Set the number of threads for processes that start in this context. With None the libraries decide."""
    before = {name: os.environ.get(name) for name in THREADS}
    try:
        for name in THREADS:
            os.environ.pop(name, None)
            if threads is not None:
                os.environ[name] = threads
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
