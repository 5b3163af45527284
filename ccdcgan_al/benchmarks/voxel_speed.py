"""Time of one structure's voxels at the published resolution, against the plain formula on the same structure in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from ccdcgan_al.benchmarks.outcome import Outcome, timed
from ccdcgan_al.benchmarks.plain_voxels import plain_lattice_voxels, plain_sites_voxels
from ccdcgan_al.codec.voxels import lattice_voxels, sites_voxels

GOAL, TOLERANCE = 20.0, 1e-5
PUBLISHED_SECONDS = 3.2  # the published script's sites voxel of five atoms on two cores


def measure_voxel_speed(repeats: int = 20) -> Outcome:
    """Time lattice and sites voxels of Bi2Se3's primitive cell, five atoms of two elements: medians over `repeats`.

    Parameters
    ----------
    repeats : int, default 20
        Of the separable form; the plain formula is repeated a fifth as often.
    """
    cell = Lattice.hexagonal(4.143, 28.636)  # Nakajima, J. Phys. Chem. Solids 24, 479 (1963)
    sites = [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]]
    structure = Structure.from_spacegroup("R-3m", cell, ["Bi", "Se", "Se"], sites).get_primitive_structure()
    structure, elements = structure.get_reduced_structure("niggli"), ["Bi", "Se"]
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "lattice 32^3": (lambda: lattice_voxels(structure.lattice), lambda: plain_lattice_voxels(structure.lattice)),
        "sites 64^3, 2 channels": (
            lambda: sites_voxels(structure, elements),
            lambda: plain_sites_voxels(structure, elements),
        ),
    }
    rows: list[dict[str, Any]] = []
    total, plain_total, worst = 0.0, 0.0, 0.0
    for name, (separable, plain) in pairs.items():
        difference = float(np.abs(separable() - plain()).max())
        seconds, plain_seconds = _median(separable, repeats), _median(plain, max(1, repeats // 5))
        total, plain_total, worst = total + seconds, plain_total + plain_seconds, max(worst, difference)
        rows.append(_row(name, seconds, plain_seconds, difference))
    rows.append(_row("both", total, plain_total, worst))
    ratio = plain_total / total
    return Outcome(
        benchmark="voxels",
        rows=rows,
        ratio=ratio,
        ratio_of="time of the plain formula over that of separable Gaussians, lattice and sites of one structure",
        goal=f">= {GOAL:g}, values equal to {TOLERANCE:g}",
        met=ratio >= GOAL and worst <= TOLERANCE,
        notes=[
            f"{structure.composition.reduced_formula}, {len(structure)} atoms; medians of {repeats} and {max(1, repeats // 5)} runs",
            f"published script, sites: {PUBLISHED_SECONDS} s for 5 atoms on two cores, {PUBLISHED_SECONDS / seconds:.0f} times the sites' time here",
        ],
        figures={"largest_difference": worst},
    )


def _row(name: str, seconds: float, plain_seconds: float, difference: float) -> dict[str, Any]:
    return {
        "voxels": name,
        "ms": round(1000 * seconds, 3),
        "plain ms": round(1000 * plain_seconds, 2),
        "times faster": round(plain_seconds / seconds, 1),
        "largest difference": float(f"{difference:.1e}"),
    }


def _median(call: Callable[[], Any], repeats: int) -> float:
    """Median time of a call in seconds."""
    seconds = []
    for _ in range(repeats):
        with timed() as timing:
            call()
        seconds.append(timing.seconds)
    return statistics.median(seconds)
