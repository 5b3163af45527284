"""A data set of relaxed structures of one system, from the pool of starting structures and the cache of relaxations. It chooses no structure.

`ccdcgan_al.benchmarks.relaxed_set` reads what is written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from ccdcgan_al.benchmarks.relaxed_set import LICENCE, LabelledStructure, plain
from ccdcgan_al.families import merged_families
from ccdcgan_al.generate import structure_family
from ccdcgan_al.sanity import sanity
from ccdcgan_al.seen import SeenStructures
from ccdcgan_al.starting_pool import Start
from ccdcgan_al.types import Relaxed
from workflows.documents import read_relaxation
from workflows.relaxed_cache import RelaxedCache

if TYPE_CHECKING:
    from workflows.relax import RelaxMaker

_Kept = tuple[Start, Structure, float]  # what was relaxed, what it became, eV/atom


def relax_pool(pool: Sequence[Start], cache: RelaxedCache, maker: RelaxMaker) -> Iterable[tuple[Start, dict[str, Any]]]:
    """Yield each start of a pool with its relaxation document, relaxing what the cache does not hold."""
    for start in pool:
        yield start, cache.relax(start.structure, maker)


def relaxed_set(relaxations: Iterable[tuple[Start, dict[str, Any]]], elements: Sequence[str]) -> dict[str, Any]:
    """Return the data set as plain JSON.

    Parameters
    ----------
    relaxations : starts and their documents, of one method; failures are counted, and what is no crystal of these elements (`sanity.sanity`) too
    elements : symbols of the system

    Returns
    -------
    dict
        `method`, `maker`, `versions`, `references` (eV/atom: the lowest of each element), `licence`, `left_out` (reason -> how many) and
        `structures`, each with `label`, `kind`, `family`, `formation_energy` (eV/atom), `relaxed` and `start`.

    Raises
    ------
    ValueError
        Relaxations of two methods, or none of an element.
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
        if sanity(result.structure, elements) is not None:
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
    """Return a data set and what a cache holds beside it: every relaxation by the same Maker of these elements that is no copy of what is there.

    Parameters
    ----------
    structures, about : the data set, as `ccdcgan_al.benchmarks.relaxed_set.read_set` returns it
    documents : of a cache of relaxations, each with its `start`; their kind is ``campaign``, their label the relaxation's
    elements : symbols of the system

    Returns
    -------
    dict
        As `relaxed_set`; copies are counted among what was left out.

    Raises
    ------
    ValueError
        A relaxation by the same Maker has another method, one of another version for instance.
    """
    references: dict[str, float] = about["references"]
    left_out = Counter(about["left_out"])
    kept = [
        (
            Start(item.start, item.kind, item.label),
            item.relaxed,
            item.formation_energy + _of_elements(item.relaxed, references),
        )
        for item in structures
    ]
    seen = SeenStructures(item.relaxed for item in structures)
    for document in documents:
        start = Structure.from_dict(document["start"])
        if document["maker"] != about["maker"] or not set(start.symbol_set) <= set(elements):
            continue
        result = read_relaxation(document)
        if not isinstance(result, Relaxed):
            left_out[result.reason] += 1
            continue
        _same_method(document["method"], about["method"])
        if sanity(result.structure, elements) is not None:
            left_out["no crystal"] += 1
        elif seen.holds(result.structure):
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
    """Put formation energies and families of relaxed structures into one document."""
    references = {symbol: _reference(symbol, kept) for symbol in elements}
    energies = [energy - _of_elements(structure, references) for _, structure, energy in kept]
    structures = [structure for _, structure, _ in kept]
    families = merged_families(structures, [structure_family(structure) for structure in structures], energies)
    return {
        **_about(about),
        "references": references,
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
    """Lowest energy of an element (eV/atom)."""
    own = [energy for _, structure, energy in kept if structure.symbol_set == (symbol,)]
    if not own:
        raise ValueError(f"no relaxed structure of {symbol} alone: formation energies need one")
    return min(own)


def _of_elements(structure: Structure, references: dict[str, float]) -> float:
    """Energy (eV/atom) that a structure's elements have apart."""
    fractions = structure.composition.fractional_composition
    return sum(float(fraction) * references[element.symbol] for element, fraction in fractions.items())
