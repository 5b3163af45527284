"""Performance of the database and of related functions with a million structures: insertion, queries, duplicates, hull. The data are artificial.

Two in a hundred inserted structures are exact copies of earlier ones in another form. Alternatives that are compared are timed
alternately in one run.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from pymongo import UpdateOne

from ccdcgan_al import __version__
from ccdcgan_al.benchmarks.outcome import Outcome, timed
from ccdcgan_al.benchmarks.relaxed_set import read_set
from ccdcgan_al.hull.changes import hull_changes
from ccdcgan_al.hull.hull import METASTABLE, ON_HULL, build_hull
from ccdcgan_al.structures.matching import StructureIndex, structure_matcher
from ccdcgan_al.types import Method, Phase
from launchpad.benchmarks.temporary_database import TemporaryDatabase, temporary_database
from launchpad.database.generated import CHUNK, insert_new
from launchpad.database.hull_records import figures, hull_documents
from launchpad.database.queries import QUERIES

SYSTEM = ("Co", "Li", "O")
NAME = "-".join(SYSTEM)
COPIES = 0.02
RELAXED, NEW_PHASES = 0.02, 200  # share of the million that has energies, and number of new phases among them
QUERIES_TIMED = 50
PAIRS_TIMED = 2000
METHOD = Method("made-up", "made up for a benchmark", "0")
INSERT_GOAL, QUERY_GOAL, DUPLICATES_GOAL, HULL_GOAL = 0.6, 50.0, 100.0, 10.0  # ratio, ms, factor, s
GOAL = (
    f"insertion >= {INSERT_GOAL:g} of insert_many; query <= {QUERY_GOAL:g} ms, all by an index; "
    f"duplicates >= {DUPLICATES_GOAL:g} times, same answers; hull <= {HULL_GOAL:g} s"
)


@dataclass(frozen=True)
class Row:
    """One row of the table: what was measured, the number of items, the result, and whether it meets the goal."""

    what: str
    count: int
    figure: float
    unit: str
    met: bool
    note: str


def measure_database(count: int = 1_000_000, kept: int = 100_000, new: int = 1000, entries: int = 100_000) -> Outcome:
    """Measure insertion, queries, duplicates and hull.

    Parameters
    ----------
    count : int, default 1000000
        Number of structures to insert and to query.
    kept, new : int
        Number of structures to compare with, and number of structures to compare.
    entries : int, default 100000
        Number of entries of the hull.
    """
    with temporary_database() as where:
        rows = [_insertion(where, count), _query(where, count)]
        hull = _hull(where, entries)
    rows += [_duplicates(kept, new), hull]
    return Outcome(
        benchmark="database",
        rows=[{"what": r.what, "structures": r.count, "figure": r.figure, "unit": r.unit, "met": r.met} for r in rows],
        ratio=rows[0].figure,
        ratio_of="rate of insertion with duplicates checked over bare insert_many",
        goal=GOAL,
        met=all(row.met for row in rows),
        notes=[row.note for row in rows],
    )


def _generated(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield documents like a campaign's generated structures, of 2 to 12 sites. Some are copies in another form."""
    generator = np.random.default_rng(seed)
    now, last = datetime.now(UTC), None
    provenance = {"strategy": "ccdcgan", "round": 1, "seed": 0, "models": {}, "code_version": __version__}
    for _ in range(count):
        if last is not None and generator.random() < COPIES:
            structure = Structure(last.lattice, last.species[::-1], last.frac_coords[::-1] + generator.random(3))
        else:
            structure = _random_structure(generator, int(generator.integers(2, 13)))
        last = structure
        composition = structure.composition
        yield {
            "state": "generated",
            "chemical_system": NAME,
            "elements": sorted(element.symbol for element in composition),
            "formula": composition.reduced_formula,
            "n_sites": len(structure),
            "origin": "generated",
            "round": 1,
            "source": "",
            "strategy": "ccdcgan",
            "operation": None,
            "parents": [],
            "start": structure.as_dict(),
            "predicted_energy": float(generator.normal(-1, 0.5)),
            "uncertainty": 0.05,
            "provenance": provenance,
            "last_updated": now,
        }


def _random_structure(generator: np.random.Generator, n_sites: int) -> Structure:
    lattice = Lattice.from_parameters(*generator.uniform(3, 9, 3), *generator.uniform(65, 115, 3))
    return Structure(lattice, generator.choice(SYSTEM, n_sites), generator.random((n_sites, 3)))


def _insertion(where: TemporaryDatabase, count: int) -> Row:
    """Insert the same documents in both ways, alternating in turns of ten chunks. Making the documents is not timed."""
    structures, bare = where.store.structures, where.store.database["bare"]
    source, seconds, new, offered = _generated(count, 0), {"checked": 0.0, "bare": 0.0}, 0, 0
    while part := [document for _, document in zip(range(10 * CHUNK), source, strict=False)]:
        offered += len(part)
        with timed() as checked:
            new += insert_new(structures, "benchmark", part)
        seconds["checked"] += checked.seconds
        for document in part:
            document.pop("_id", None)
        with timed() as plain:
            for start in range(0, len(part), CHUNK):
                bare.insert_many(part[start : start + CHUNK])
        seconds["bare"] += plain.seconds
    where.store.database.drop_collection("bare")
    ratio = seconds["bare"] / seconds["checked"]
    rates = {name: offered / value for name, value in seconds.items()}
    return Row(
        "insertion with duplicates checked, rate over bare insert_many",
        offered,
        round(ratio, 3),
        "ratio",
        ratio >= INSERT_GOAL,
        f"insertion: {rates['checked']:.0f} structures/s checked, into the collection with its validator and indexes, "
        f"against {rates['bare']:.0f} bare, into one without; {offered - new} of {offered} were exact copies and left out",
    )


def _query(where: TemporaryDatabase, count: int) -> Row:
    """Give some of the structures energies, and time the query for new phases. Explain all documented queries."""
    structures, generator = where.store.structures, np.random.default_rng(1)
    chosen = [item["_id"] for item in structures.find({}, {"_id": 1}).limit(max(int(RELAXED * count), 2))]
    new = min(NEW_PHASES, len(chosen) // 2)
    writes = []
    for number, name in enumerate(chosen):
        above = float(generator.exponential(0.02 if number < new else 0.3))
        change = {"state": "relaxed", "method": "made-up", "energy_above_hull": above, "is_new_phase": number < new}
        writes.append(UpdateOne({"_id": name}, {"$set": change}))
    structures.bulk_write(writes, ordered=False)
    values = {
        "system": NAME,
        "campaign_id": "benchmark",
        "structure_id": structures.find_one({}, {"structure_id": 1})["structure_id"],  # type: ignore[index]
        "round_number": 1,
        "within": 0.05,
    }
    times, found = [], 0
    for number in range(QUERIES_TIMED):
        with timed() as timing:
            found = len(QUERIES["new_phases"].run(where.store.database, **{**values, "within": 0.05 + number * 1e-6}))
        times.append(1000 * timing.seconds)
    scanning = [name for name, query in QUERIES.items() if scans(where, query.command(values))]
    median = statistics.median(times)
    return Row(
        "query for new phases within 50 meV/atom, median",
        structures.estimated_document_count(),
        round(median, 2),
        "ms",
        median <= QUERY_GOAL and not scanning,
        f"query: {found} new phases found, slowest of {QUERIES_TIMED}: {max(times):.1f} ms; "
        f"{len(QUERIES) - len(scanning)} of {len(QUERIES)} documented queries use an index"
        + (f"; not {', '.join(scanning)}" if scanning else ""),
    )


def scans(where: TemporaryDatabase, command: dict[str, Any]) -> bool:
    """Return whether MongoDB would read a whole collection for a query."""
    plan = where.store.database.command("explain", command, verbosity="queryPlanner")
    return "'COLLSCAN'" in str(plan)


def _duplicates(kept: int, new: int) -> Row:
    """Compare new structures with kept ones, which are distorted copies of the package's relaxed ones. Also time single comparisons.

    Every second new structure has random positions in such a cell, so that mostly nothing matches it. This costs most.
    """
    generator = np.random.default_rng(2)
    shipped = [item.relaxed for item in read_set()[0]]
    make = partial(_distorted, shipped, generator)
    known, asked = [make() for _ in range(kept)], [make() for _ in range(new)]
    for number in range(0, new, 2):
        cell = asked[number]
        asked[number] = Structure(cell.lattice, cell.species, generator.random((len(cell), 3)))
    with timed() as indexing:
        seen = StructureIndex(known)
        for formula in {structure.composition.reduced_formula for structure in asked}:
            seen.reduce(formula)
    with timed() as timing:
        answers = [structure in seen for structure in asked]
    matcher = structure_matcher()
    with timed() as single:
        for i, k in zip(generator.integers(0, new, PAIRS_TIMED), generator.integers(0, kept, PAIRS_TIMED), strict=True):
            matcher.fit(asked[i], known[k])
    sample = [int(k) for k in generator.integers(0, new, 5)]
    wanted = [any(matcher.fit(asked[k], other) for other in known) for k in sample]
    same = wanted == [answers[k] for k in sample]
    half = StructureIndex(known[: kept // 2])
    for formula in {structure.composition.reduced_formula for structure in asked}:
        half.reduce(formula)
    with timed() as half_timing:
        for structure in asked:
            _ = structure in half
    pairwise = single.seconds / PAIRS_TIMED * kept * new
    ratio, whole = pairwise / timing.seconds, pairwise / (timing.seconds + indexing.seconds)
    return Row(
        f"exact duplicates of {new} new structures among those kept, times faster than pairwise",
        kept,
        round(ratio, 1),
        "times",
        ratio >= DUPLICATES_GOAL and same,
        f"duplicates: {timing.seconds:.1f} s, after {indexing.seconds:.1f} s in which the kept ones were reduced, once for all; "
        f"pairwise {pairwise:.0f} s by {PAIRS_TIMED} random pairs ({whole:.0f} times with the reduction counted); "
        f"{sum(answers)} of {new} are duplicates, {len(sample)} checked pair by pair: {'the same' if same else 'NOT the same'}; "
        f"among half as many {half_timing.seconds:.1f} s",
    )


def _distorted(shipped: list[Structure], generator: np.random.Generator) -> Structure:
    """Return one of the package's structures, strained by up to 8 %, with atoms moved by up to 0.5 Å."""
    structure = shipped[int(generator.integers(len(shipped)))].copy()
    structure.apply_strain(generator.uniform(-0.08, 0.08, 3))
    return structure.perturb(float(generator.uniform(0, 0.5)))


def _hull(where: TemporaryDatabase, entries: int) -> Row:
    """Build the hull of a ternary as the close of a round does, and write the same documents."""
    generator = np.random.default_rng(3)
    phases = [_phase(generator, number) for number in range(entries)]
    build_hull(phases[:10], SYSTEM)  # imports the modules before the timing
    with timed() as building:
        hull = build_hull(phases, SYSTEM)
    with timed() as judging:
        stands, documents = figures(hull, 1), hull_documents(hull, hull_changes(hull, 1))
    with timed() as writing:
        where.store.save_figures("benchmark-hull", stands)
        where.store.save_hull("benchmark-hull", 1, documents)
    near = sum(entry.energy_above_hull <= METASTABLE for entry in hull.entries)
    on_hull = sum(entry.energy_above_hull <= ON_HULL for entry in hull.entries)
    return Row(
        "hull of a ternary rebuilt, self-test and every energy above hull included",
        entries,
        round(building.seconds, 2),
        "s",
        building.seconds <= HULL_GOAL,
        f"hull: {building.cpu_seconds:.1f} s of CPU; then {judging.seconds:.1f} s ({judging.cpu_seconds:.1f} of CPU) for new phases, "
        f"duplicates and changes ({near} within 0.1 eV/atom, {on_hull} on it), and {writing.seconds:.1f} s to write; "
        "the workers found space groups and corrections",
    )


def _phase(generator: np.random.Generator, number: int) -> Phase:
    """Return a phase with an artificial energy. The first phases are elements. Few phases are near the hull, as in a real search."""
    structure = _random_structure(generator, int(generator.integers(2, 13)))
    if number < len(SYSTEM):
        structure = Structure(structure.lattice, [SYSTEM[number]], [[0, 0, 0]])
    fractions = np.array([structure.composition.get_atomic_fraction(element) for element in SYSTEM])
    energy = -4.0 - (1 - (fractions**2).sum()) + float(generator.gamma(3.0, 0.15)) * (number >= len(SYSTEM))
    origin = "reference" if number < len(SYSTEM) else "generated"
    phase = Phase(f"{NAME}-r1-{number:06d}", structure, energy, METHOD, "generated", int(number >= len(SYSTEM)))
    return replace(phase, origin=origin, space_group="P1", correction_per_atom=0.0)  # type: ignore[arg-type]
