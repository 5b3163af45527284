"""A data set of relaxed structures of one system, from a pool of starting structures and a cache of relaxations. It chooses no structure.

`ccdcgan_al.benchmarks.relaxed_set` reads the data set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from ccdcgan_al.benchmarks.relaxed_set import LICENCE, LabelledStructure, plain
from ccdcgan_al.benchmarks.starting_pool import Start
from ccdcgan_al.hull.element_references import energy_of_elements, references_of
from ccdcgan_al.hull.validity import find_problem
from ccdcgan_al.structures.families import merged_families, structure_family
from ccdcgan_al.structures.matching import StructureIndex
from ccdcgan_al.types import Method, Relaxed
from workflows.documents import read_relaxation
from workflows.result_cache import ResultCache

if TYPE_CHECKING:
    from workflows.relax import GuardedForceFieldRelaxMaker

_Kept = tuple[Start, Structure, float]  # start, relaxed structure, energy (eV/atom)


def relax_pool(
    pool: Sequence[Start], cache: ResultCache, maker: GuardedForceFieldRelaxMaker
) -> Iterable[tuple[Start, dict[str, Any]]]:
    """Yield each start of a pool with its relaxation document. Relax the structures that are not in the cache."""
    for start in pool:
        yield start, cache.relax(start.structure, maker)


def relaxed_set(relaxations: Iterable[tuple[Start, dict[str, Any]]], elements: Sequence[str]) -> dict[str, Any]:
    """Return the data set as plain JSON.

    Parameters
    ----------
    relaxations : iterable of tuple of (Start, dict)
        Starts and their documents, all of one method. Failures, and structures that are no crystal of these elements
        (`find_problem`), are only counted.
    elements : sequence of str
        Symbols of the system.

    Returns
    -------
    dict
        `method`, `maker`, `versions`, `element_references` (the scheme), `references` (eV/atom, the energies of the elements that
        set the zero), `own_elements` (eV/atom, the lowest of each element), `licence`, `left_out` (reason -> number) and
        `structures`, each with `label`, `kind`, `family`, `formation_energy` (eV/atom), `relaxed` and `start`.

    Raises
    ------
    ValueError
        If the relaxations are of two methods, or if there is none of an element.
    """
    left_out: Counter[str] = Counter()
    kept: list[_Kept] = []
    about: dict[str, Any] = {}
    for start, document in relaxations:
        result = read_relaxation(document)
        if not isinstance(result, Relaxed):
            left_out[result.reason] += 1
            continue
        about = about or _about(document)
        _same_method(document["method"], about["method"])
        if find_problem(result.structure, elements) is not None:
            left_out["no crystal"] += 1
            continue
        kept.append((start, result.structure, result.energy_per_atom))
    return _collected(kept, about, left_out, elements)


def extended_set(
    structures: Sequence[LabelledStructure],
    about: dict[str, Any],
    documents: Iterable[dict[str, Any]],
    elements: Sequence[str],
) -> dict[str, Any]:
    """Return a data set with new structures from a cache: all relaxations of these elements by the same Maker that are no copies.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        Structures of the data set, from `ccdcgan_al.benchmarks.relaxed_set.read_set`.
    about : dict
        All other data of the data set, from the same function.
    documents : iterable of dict
        Documents of a cache of relaxations, each with its `start`. Their kind is ``campaign``. Their label is the relaxation's.
    elements : sequence of str
        Symbols of the system.

    Returns
    -------
    dict
        Data set as in `relaxed_set`. Copies are counted as left out.

    Raises
    ------
    ValueError
        If a relaxation by the same Maker has another method, for instance of another version, or if the data set has another
        zero, from other energies of the elements.
    """
    references = references_of(Method(**about["method"]), elements)
    zero = {symbol: references.energies.get(symbol, own) for symbol, own in about["own_elements"].items()}
    if about["element_references"] != references.scheme or about["references"] != zero:
        raise ValueError(
            f"one data set, one zero: its elements are {about['element_references']} ({about['references']}), wanted "
            f"{references.scheme} ({zero}); make it again: benchmark relaxed-set"
        )
    left_out = Counter(about["left_out"])
    kept = [
        (
            Start(item.start, item.kind, item.label),
            item.relaxed,
            item.formation_energy + _zero(item.relaxed, about["references"], about["own_elements"]),
        )
        for item in structures
    ]
    seen = StructureIndex(item.relaxed for item in structures)
    for document in documents:
        start = Structure.from_dict(document["start"])
        if document["maker"] != about["maker"] or not set(start.symbol_set) <= set(elements):
            continue
        result = read_relaxation(document)
        if not isinstance(result, Relaxed):
            left_out[result.reason] += 1
            continue
        _same_method(document["method"], about["method"])
        if find_problem(result.structure, elements) is not None:
            left_out["no crystal"] += 1
        elif result.structure in seen:
            left_out["copy"] += 1
        else:
            seen.add(result.structure)
            kept.append((Start(start, "campaign", document["structure_id"]), result.structure, result.energy_per_atom))
    return _collected(kept, about, left_out, elements)


def _about(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("method", "maker", "versions")}


def _same_method(method: dict[str, Any], wanted: dict[str, Any]) -> None:
    if method != wanted:
        raise ValueError(f"one data set, one method: got {method} beside {wanted}")


def _collected(
    kept: Sequence[_Kept], about: dict[str, Any], left_out: Counter[str], elements: Sequence[str]
) -> dict[str, Any]:
    """Return one document with formation energies and families of the relaxed structures."""
    own = {symbol: _reference(symbol, kept) for symbol in elements}
    scheme = references_of(Method(**about["method"]), elements)
    references = {symbol: scheme.energies.get(symbol, energy) for symbol, energy in own.items()}
    energies = [energy - _zero(structure, references, own) for _, structure, energy in kept]
    structures = [structure for _, structure, _ in kept]
    families = merged_families(structures, [structure_family(structure) for structure in structures], energies)
    return {
        **_about(about),
        "element_references": scheme.scheme,
        "references": references,
        "own_elements": own,
        "licence": LICENCE,
        "left_out": dict(sorted(left_out.items())),
        "structures": [
            {
                "label": start.label,
                "kind": start.kind,
                "family": family,
                "formation_energy": round(energy, 5),
                "relaxed": plain(structure),
                "start": plain(start.structure),
            }
            for (start, structure, _), energy, family in zip(kept, energies, families, strict=True)
        ],
    }


def _reference(symbol: str, kept: Sequence[_Kept]) -> float:
    """Return the lowest energy of an element (eV/atom)."""
    own = [energy for _, structure, energy in kept if structure.symbol_set == (symbol,)]
    if not own:
        raise ValueError(f"no relaxed structure of {symbol} alone: formation energies need one")
    return min(own)


def _zero(structure: Structure, references: dict[str, float], own: dict[str, float]) -> float:
    """Return the zero of a formation energy (eV/atom). As in a hull, phases of one element use its own lowest phase."""
    energy = energy_of_elements(structure.composition, own if len(structure.symbol_set) == 1 else references)
    if energy is None:
        raise ValueError(f"no energy of one of the elements of {structure.formula}")
    return energy
