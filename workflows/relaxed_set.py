"""A data set of relaxed structures of one system, from the pool of starting structures and the cache of relaxations. It chooses no structure.

`ccdcgan_al.benchmarks.relaxed_set` reads what is written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ccdcgan_al.benchmarks.relaxed_set import LICENCE, plain
from ccdcgan_al.families import merged_families
from ccdcgan_al.generate import structure_family
from ccdcgan_al.sanity import sanity
from ccdcgan_al.types import Relaxed
from workflows.documents import read_relaxation
from workflows.relaxed_cache import RelaxedCache

if TYPE_CHECKING:
    from ccdcgan_al.starting_pool import Start
    from workflows.relax import RelaxMaker


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
    kept: list[tuple[Start, Relaxed]] = []
    about: dict[str, Any] = {}
    for start, document in relaxations:
        result = read_relaxation(document)
        if not isinstance(result, Relaxed):
            left_out[result.reason] += 1
            continue
        this = {key: document[key] for key in ("method", "maker", "versions")}
        about = about or this
        if this["method"] != about["method"]:
            raise ValueError(f"one data set, one method: got {this['method']} beside {about['method']}")
        if sanity(result.structure, elements) is not None:
            left_out["no crystal"] += 1
            continue
        kept.append((start, result))
    references = {symbol: _reference(symbol, [result for _, result in kept]) for symbol in elements}
    energies = [_formation_energy(result, references) for _, result in kept]
    structures = [result.structure for _, result in kept]
    families = merged_families(structures, [structure_family(structure) for structure in structures], energies)
    return {
        **about,
        "references": references,
        "licence": LICENCE,
        "left_out": dict(sorted(left_out.items())),
        "structures": [
            {
                "label": start.label,
                "kind": start.kind,
                "family": family,
                "formation_energy": round(energy, 5),
                "relaxed": plain(result.structure),
                "start": plain(start.structure),
            }
            for (start, result), energy, family in zip(kept, energies, families, strict=True)
        ],
    }


def _reference(symbol: str, results: Sequence[Relaxed]) -> float:
    """Lowest energy of an element (eV/atom)."""
    own = [result.energy_per_atom for result in results if result.structure.symbol_set == (symbol,)]
    if not own:
        raise ValueError(f"no relaxed structure of {symbol} alone: formation energies need one")
    return min(own)


def _formation_energy(result: Relaxed, references: dict[str, float]) -> float:
    fractions = result.structure.composition.fractional_composition
    return result.energy_per_atom - sum(
        fraction * references[element.symbol] for element, fraction in fractions.items()
    )
