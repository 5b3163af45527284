"""The accuracy of a method's formation energies for a table, with its own elements and with the Materials Project's.

The energies are single points at the table's structures, or relaxations from them. With a folder the relaxations are kept, so a
stopped run can continue. `ccdcgan_al.benchmarks.formation_energies` describes what is compared, and how.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from ccdcgan_al.benchmarks.formation_energies import (
    Comparison,
    TableCompound,
    chosen_rows,
    compound_of,
    polymorph_order,
    read_rows,
    scheme_figures,
)
from ccdcgan_al.benchmarks.outcome import Outcome
from ccdcgan_al.errors import HullError, StructureInputError
from ccdcgan_al.hull.corrections import mp2020_correction_per_atom
from ccdcgan_al.hull.element_references import materials_project_energies, potential_energies, references_of
from ccdcgan_al.seeds.choose import element_structures
from ccdcgan_al.structures.matching import structure_matcher
from ccdcgan_al.types import DEFAULT_METHOD, Relaxed
from workflows.documents import read_relaxation, relax_to_document
from workflows.potentials import POTENTIALS, load_calculator, method_of
from workflows.relax import GuardedForceFieldRelaxMaker
from workflows.result_cache import ResultCache

GOALS = {"mae": 12.0, "bias": 4.0, "class_mae": 20.0, "class_bias": 10.0}
"""meV/atom; goals for all compounds without U, and for each class."""

STRUCTURES_PER_ELEMENT = 2


def measure_formation_energies(
    table: Path,
    count: int | None = 300,
    method: str = DEFAULT_METHOD,
    seed: int = 0,
    work: Path | None = None,
    *,
    relax: bool = False,
    polymorphs: bool = False,
) -> Outcome:
    """Compare a method's formation energies with a table's.

    Parameters
    ----------
    table : Path
        Table, see `ccdcgan_al.benchmarks.formation_energies.read_rows`.
    count : int or None
        Number of compounds drawn from the table. None means all.
    method : str
        Name of a potential, see `workflows.potentials.POTENTIALS`.
    seed : int
        Random seed of the draw.
    work : Path or None
        Folder for the relaxations. None means that they are not kept.
    relax : bool
        Whether to relax each compound from the table's structure, as a campaign does, instead of a single point.
    polymorphs : bool
        Whether to draw only formulas with several entries, and all entries of each.

    Raises
    ------
    ValueError
        If the table cannot be read.
    UnknownMethodError
        If the potential is unknown or not installed.
    """
    about = method_of(method)
    rows = chosen_rows(read_rows(table), count, seed, polymorphs=polymorphs)
    left_out: Counter[str] = Counter()
    comparisons: list[Comparison] = []
    started, kept_structure = time.process_time(), 0
    cache = None if work is None else ResultCache(work)
    for row in rows:
        try:
            compound = compound_of(row)
        except StructureInputError:
            left_out["no compound, or no MP2020 correction"] += 1
            continue
        if not relax:
            comparisons.append(Comparison(compound, single_point(compound.structure, method)))
            continue
        result = _relaxed(compound, GuardedForceFieldRelaxMaker(method=method), cache)
        if result is None:
            left_out["failed relaxation"] += 1
            continue
        kept_structure += bool(structure_matcher().fit(compound.structure, result.structure))
        comparisons.append(Comparison(compound, result.energy_per_atom))
    seconds = time.process_time() - started
    symbols = sorted(
        {symbol for item in comparisons for symbol in item.compound.structure.composition.get_el_amt_dict()}
    )
    own = potential_energies(about.calculator) or element_energies(method, symbols, cache)
    schemes = {"own": own, "materials_project": materials_project_energies()}
    figures = {name: scheme_figures(comparisons, energies) for name, energies in schemes.items()}
    default = references_of(about, []).scheme
    return _outcome(
        figures,
        default,
        {
            "method": about.__dict__,
            "relaxed": relax,
            "polymorphs": polymorph_order(comparisons),
            "cpu_seconds": round(seconds, 1),
            "kept_structure": kept_structure if relax else None,
            "left_out": dict(left_out),
            "data": table.name,
            "data_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
            "seed": seed,
        },
    )


def single_point(structure: Structure, method: str) -> float:
    """Return the energy of an unrelaxed structure by a potential, without corrections (eV/atom).

    Parameters
    ----------
    structure : Structure
        Ordered structure.
    method : str
        A name in `workflows.potentials.POTENTIALS`.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = load_calculator(method)
    energy = float(atoms.get_potential_energy()) / len(atoms)
    inside = POTENTIALS[method].corrections == "MP2020"
    return energy - mp2020_correction_per_atom(structure) if inside else energy


def element_energies(method: str, symbols: Sequence[str], cache: ResultCache | None = None) -> dict[str, float]:
    """Return the energies of the elements by a potential: the lowest of the first structures of each element, relaxed.

    Parameters
    ----------
    method : str
        A name in `workflows.potentials.POTENTIALS`.
    symbols : sequence of str
        Element symbols.
    cache : ResultCache or None
        Cache for the relaxations.

    Returns
    -------
    dict of str to float
        Energies by symbol (eV/atom). An element without a relaxed structure is left out.
    """
    maker, found = GuardedForceFieldRelaxMaker(method=method), {}
    for symbol in symbols:
        starts = [seed.structure for seed in element_structures(symbol)[:STRUCTURES_PER_ELEMENT]]
        energies = [result.energy_per_atom for start in starts if (result := _result(start, maker, cache))]
        if energies:
            found[symbol] = round(min(energies), 5)
    return found


def _relaxed(compound: TableCompound, maker: GuardedForceFieldRelaxMaker, cache: ResultCache | None) -> Relaxed | None:
    """Relax a compound. Return None if it fails, or if its energy contains a correction that cannot be subtracted."""
    try:
        return _result(compound.structure, maker, cache)
    except HullError:
        return None


def _result(start: Structure, maker: GuardedForceFieldRelaxMaker, cache: ResultCache | None) -> Relaxed | None:
    document: dict[str, Any] = (
        relax_to_document(start, "benchmark", maker) if cache is None else cache.relax(start, maker)
    )
    result = read_relaxation(document)
    return result if isinstance(result, Relaxed) else None


def _outcome(figures: dict[str, dict[str, Any]], default: str, about: dict[str, Any]) -> Outcome:
    """Return the results as rows, one for each class, and compare the default scheme with the goals."""
    rows = []
    names = sorted({name for scheme in figures.values() for name in scheme["by_class"]})
    for name in ["all", *names, "with U, apart"]:
        row: dict[str, Any] = {"class": name}
        for scheme, label in (("own", "own"), ("materials_project", "MP's")):
            found = figures[scheme]
            part = {**found["by_class"], "all": found, "with U, apart": found["with_hubbard_u"]}[name]
            row |= {
                f"{label}: n": part["n"],
                f"{label}: bias": part["bias_mev_per_atom"],
                f"{label}: MAE": part["mae_mev_per_atom"],
            }
        rows.append(row)
    chosen = figures[default]
    order = about["polymorphs"]
    notes = [
        f"meV/atom, {about['method']['calculator']} {about['method']['version']}; {about['cpu_seconds']:.0f} s of CPU",
        f"{'relaxed from' if about['relaxed'] else 'single points at'} the structures of {about['data']}, MP2020 corrections taken off",
        f"left out: {about['left_out'] or 'none'}",
        f"the scheme of a hull by default: {default}; worst {chosen['worst_mev_per_atom']} ({chosen['worst_compound']})",
        f"polymorphs: {order['pairs']} pairs of one formula more than 5 meV/atom apart, share in the table's order: {order['share']}",
        f"mean absolute error of the differences of all pairs of one formula: {order['difference_mae_mev_per_atom']}",
    ]
    far = {
        symbol: item
        for symbol, item in chosen["by_element"].items()
        if item["n"] >= 5 and abs(item["bias_mev_per_atom"]) > GOALS["class_bias"]  # noqa: PLR2004
    }
    if far:
        listed = ", ".join(f"{symbol} {item['bias_mev_per_atom']:+.0f} ({item['n']})" for symbol, item in far.items())
        notes.append(f"elements whose compounds are off by more than 10 on average (5 or more compounds): {listed}")
    return Outcome(
        benchmark="formation-energies",
        rows=rows,
        ratio=chosen["mae_mev_per_atom"],
        ratio_of="mean absolute error of formation energies, compounds without U (meV/atom)",
        goal=f"<= {GOALS['mae']:g}, |bias| <= {GOALS['bias']:g}; each class <= {GOALS['class_mae']:g}, |bias| <= {GOALS['class_bias']:g}",
        met=_met(chosen) if chosen["n"] else None,
        notes=notes,
        figures={
            "n": chosen["n"],
            "mae_mev_per_atom": chosen["mae_mev_per_atom"],
            "bias_mev_per_atom": chosen["bias_mev_per_atom"],
            "elements": default,
            "schemes": figures,
            **about,
        },
    )


def _met(chosen: dict[str, Any]) -> bool:
    """Return whether all compounds and each class meet the goals."""
    parts = [(chosen, GOALS["mae"], GOALS["bias"])]
    parts += [(part, GOALS["class_mae"], GOALS["class_bias"]) for part in chosen["by_class"].values() if part["n"]]
    return all(part["mae_mev_per_atom"] <= mae and abs(part["bias_mev_per_atom"]) <= bias for part, mae, bias in parts)
