"""A large, varied pool of starting structures of a binary system, for data sets and benchmarks. It relaxes nothing and knows no energy.

A campaign starts from `seeds.choose.choose_seeds`; this pool is wider: all AFLOW prototypes and the distinct prototypes among a table's binaries (the
Materials Project's, say), both ways round; prototypes among its ternaries with two of their elements made one; the elements' own structures;
and random symmetric crystals.
"""

from __future__ import annotations

import csv
import gzip
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations, product
from pathlib import Path
from typing import Literal

import numpy as np
from pymatgen.core import Composition, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.choose import (
    MAX_SEED_LENGTH,
    MAX_SITES,
    Seed,
    element_structures,
    fits_limits,
    prototype_structures,
    reduced_primitive,
    substitute,
    without_duplicates,
)
from ccdcgan_al.strategies.random_search import random_structures

Kind = Literal["element", "aflow", "binary", "ternary", "random", "campaign"]
_SIZE_BIAS = 30  # sites by which a structure moves back through the whole pool: small, cheap ones come somewhat earlier


@dataclass(frozen=True)
class Start:
    """A starting structure of the pool.

    Attributes
    ----------
    structure : Structure
        Niggli-reduced primitive cell at its predicted volume.
    kind : Kind
        Where it is from.
    label : str
        AFLOW label and formula, or the table's id and formula, or the number of the draw.
    """

    structure: Structure
    kind: Kind
    label: str


def starting_pool(
    elements: Sequence[str],
    table: Path | None = None,
    ternary_count: int = 400,
    random_count: int = 150,
    per_element: int = 20,
    seed: int = 0,
) -> list[Start]:
    """Return the pool in a random order that favours small cells, so that any first part of it is a varied set.

    Parameters
    ----------
    elements : sequence of str
        Two symbols.
    table : Path, optional
        CSV (may be gzipped) with the columns `material_id`, `pretty_formula` and `cif`; None: no such prototypes.
    ternary_count : int, default 400
        Prototypes of ternaries, the first of the table; which of their elements become one is drawn.
    random_count : int, default 150
        Random symmetric crystals.
    per_element : int, default 20
        Structures of each element, its ground state first.
    seed : int, default 0
        Of what is drawn, and of the order.

    Returns
    -------
    list of Start
        Without duplicates by pymatgen's StructureMatcher, except among the random crystals.

    Raises
    ------
    ValueError
        Not two elements.
    StructureInputError
        The table lacks a column.
    """
    if len(elements) != 2:  # noqa: PLR2004
        raise ValueError(f"the pool is one of a binary system, got {len(elements)} elements: {', '.join(elements)}")
    generator = np.random.default_rng(seed)
    starts = [
        Start(item.structure, "element", item.label)
        for element in elements
        for item in element_structures(element, MAX_SITES, MAX_SEED_LENGTH)[:per_element]
    ]
    known = prototype_structures(elements)
    kinds: dict[str, Kind] = {item.label: "aflow" for item in known}
    if table is not None:
        binaries = _substituted(table_prototypes(table, 2), list(permutations(elements)))
        kinds |= {item.label: "binary" for item in binaries}
        merged = [(one, two, other) for one, two, other in product(elements, repeat=3) if len({one, two, other}) > 1]
        ternaries = _substituted(islice(table_prototypes(table, 3), ternary_count), merged, generator)
        kinds |= {item.label: "ternary" for item in ternaries}
        known += binaries + ternaries
    starts += [Start(item.structure, kinds[item.label], item.label) for item in without_duplicates(known)]
    drawn = random_structures(elements, random_count, seed)
    starts += [Start(structure, "random", f"random {seed}-{i:04d}") for i, structure in enumerate(drawn)]
    keys = generator.random(len(starts)) + [len(start.structure) / _SIZE_BIAS for start in starts]
    return [starts[i] for i in np.argsort(keys, kind="stable")]


def table_prototypes(table: Path, n_elements: int) -> Iterator[tuple[Structure, str]]:
    """Yield one (primitive cell, material id) of each prototype among a table's ordered structures of so many elements, within the limits.

    A prototype here is an anonymous formula, a space group and the Wyckoff positions taken; the first in the table stands for it.
    """
    seen: set[str] = set()
    opened = gzip.open if table.suffix == ".gz" else Path.open
    with opened(table, "rt", encoding="utf-8", newline="") as text:
        rows = csv.DictReader(text)
        missing = {"material_id", "pretty_formula", "cif"} - set(rows.fieldnames or ())
        if missing:
            raise StructureInputError(f"{table}: no column {', '.join(sorted(missing))}; wanted a table of structures")
        for row in rows:
            if len(Composition(row["pretty_formula"])) != n_elements:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                structure = Structure.from_str(row["cif"], fmt="cif")
            if not structure.is_ordered or len(structure) > MAX_SITES:
                continue
            primitive = reduced_primitive(structure)
            label = _prototype(primitive)
            if max(primitive.lattice.abc) <= MAX_SEED_LENGTH and label not in seen:
                seen.add(label)
                yield primitive, row["material_id"]


def _prototype(structure: Structure) -> str:
    """Anonymous formula, space group number and Wyckoff letters by element."""
    dataset = SpacegroupAnalyzer(structure, symprec=0.1).get_symmetry_dataset()
    positions = sorted(
        "".join(
            sorted(letter for letter, site in zip(dataset.wyckoffs, structure, strict=True) if site.specie == element)
        )
        for element in structure.composition
    )
    return f"{structure.composition.anonymized_formula} {len(structure)} {dataset.number} {'-'.join(positions)}"


def _substituted(
    prototypes: Iterable[tuple[Structure, str]],
    orders: Sequence[Sequence[str]],
    generator: np.random.Generator | None = None,
) -> list[Seed]:
    """Return the prototypes with their elements replaced in each order (with a generator: in one that is drawn), at predicted volumes."""
    found = []
    for prototype, label in prototypes:
        chosen = orders if generator is None else [orders[int(generator.integers(len(orders)))]]
        for order in chosen:
            item = substitute(prototype, label, order, "seed")
            if item is None:
                continue
            primitive = reduced_primitive(item.structure)  # two elements made one may leave a smaller cell
            if fits_limits(primitive, MAX_SITES, MAX_SEED_LENGTH):
                found.append(replace(item, structure=primitive))
    return found
