"""The table of the elements: energies relaxed with a potential, compared with the Materials Project's. This module builds no hull."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ccdcgan_al.benchmarks.outcome import Outcome
from ccdcgan_al.errors import ChemicalSystemError
from ccdcgan_al.hull.element_references import OFF, deviations, materials_project_energies
from workflows.experiments.formation_energies import STRUCTURES_PER_ELEMENT, element_energies
from workflows.potentials import method_of
from workflows.result_cache import ResultCache


def measure_elements(method: str, symbols: Sequence[str] = (), work: Path | None = None) -> Outcome:
    """Relax the elements with a potential and compare their energies with the Materials Project's.

    Parameters
    ----------
    method : str
        A name in `workflows.potentials.POTENTIALS`.
    symbols : sequence of str
        Element symbols. If empty, all elements of the Materials Project's table.
    work : Path or None
        Folder that keeps the relaxations.

    Raises
    ------
    ChemicalSystemError
        If the Materials Project's table has no energy for a symbol.
    UnknownMethodError
        If the potential is unknown or not installed.
    """
    about, known = method_of(method), materials_project_energies()
    unknown = [symbol for symbol in symbols if symbol not in known]
    if unknown:
        raise ChemicalSystemError(
            f"the Materials Project has no energy of {', '.join(unknown)}; known: {' '.join(known)}"
        )
    wanted = list(symbols or known)
    energies = element_energies(method, wanted, None if work is None else ResultCache(work))
    off = deviations(energies)
    rows: list[dict[str, Any]] = [
        {
            "element": symbol,
            about.calculator: energies.get(symbol),
            "Materials Project": known[symbol],
            "above it, meV/atom": None if symbol not in off else round(1000 * off[symbol], 1),
        }
        for symbol in wanted
    ]
    far = [symbol for symbol, value in off.items() if abs(value) > OFF]
    return Outcome(
        benchmark="elements",
        rows=rows,
        ratio=len(far) / len(off) if off else None,
        ratio_of=f"share of elements off by more than {1000 * OFF:g} meV/atom",
        notes=[
            f"eV/atom; {about.calculator} {about.version}: the lowest of the first {STRUCTURES_PER_ELEMENT} structures of each element, relaxed",
            f"nothing relaxed of: {', '.join(symbol for symbol in wanted if symbol not in energies) or 'none'}",
        ],
        figures={
            "method": about.__dict__,
            "energies": energies,
            "off": sorted(far, key=lambda symbol: -abs(off[symbol])),
        },
    )
