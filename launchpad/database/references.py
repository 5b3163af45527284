"""Reference entries in MongoDB: stored once, read as phases for the hull of a VASP campaign. It asks no server and computes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import HullError, MixedMethodsError, StructureInputError
from ccdcgan_al.seeds.materials_project import subsystems
from ccdcgan_al.seeds.starting import withheld
from ccdcgan_al.structures.matching import StructureIndex
from ccdcgan_al.types import DFT, Method, Phase
from launchpad.database.reference_checks import (
    FAMILIES,
    FILE,
    MATERIALS_PROJECT,
    bare,
    check_entries,
    family_of,
    fitting_correction,
    functional_of,
    named,
    same_crystal,
    same_phase,
)

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    from launchpad.database.store import CampaignStore

__all__ = [
    "FILE",
    "MATERIALS_PROJECT",
    "campaign_phases",
    "functional_of",
    "plain",
    "read_entries",
    "reference_counts",
    "reference_phases",
    "save_entries",
]

MOST_BYTES = 500_000_000  # of a file of entries


def save_entries(
    store: CampaignStore,
    entries: Sequence[ComputedStructureEntry],
    source: str,
    *,
    thermo_type: str | None = None,
    database_version: str | None = None,
    systems: Sequence[str] = (),
) -> int:
    """Store entries, each once, and return how many were not there before.

    Parameters
    ----------
    store : CampaignStore
        The database.
    entries : sequence of ComputedStructureEntry
        With structures, an entry_id and a run type.
    source : str
        `MATERIALS_PROJECT` or `FILE`.
    thermo_type, database_version : str, optional
        Of the Materials Project.
    systems : sequence of str, optional
        Chemical systems that were asked for; what an earlier version gave for them and this one does not is
        `superseded`.

    Raises
    ------
    StructureInputError
        An entry without id or run type, of a functional that no hull here takes, disordered, with an energy that is
        not finite, or, of PBE, with other U values or POTCARs than the Materials Project's; two phases with one
        entry_id, among these or, of a file, one of them stored before; nothing is stored then.
    """
    now, writes, keys = datetime.now(UTC), [], []
    check_entries(entries)
    if source == FILE:
        _check_against_stored(store, entries)
    for entry in entries:
        functional, name = functional_of(entry), str(entry.entry_id)
        fitting_correction(entry, source)
        keys.append(f"{source}/{functional}/{name}")
        document = {
            "state": "current",
            "chemical_system": entry.composition.element_composition.chemical_system,
            "formula": entry.composition.element_composition.reduced_formula,
            "source": source,
            "thermo_type": thermo_type,
            "functional": functional,
            "entry_id": name,
            "entry": plain(entry),
            "database_version": database_version,
            "fetched": now,
            "last_updated": now,
        }
        writes.append(UpdateOne({"key": keys[-1]}, {"$set": document}, upsert=True))
    if not writes:
        return 0
    new = store.references.bulk_write(writes).upserted_count
    earlier = {"source": source, "thermo_type": thermo_type, "chemical_system": {"$in": list(systems)}}
    store.references.update_many(
        {**earlier, "state": "current", "key": {"$nin": keys}}, {"$set": {"state": "superseded", "last_updated": now}}
    )
    return new


def _check_against_stored(store: CampaignStore, entries: Sequence[ComputedStructureEntry]) -> None:
    """Raise where an entry stored from a file has the entry_id of one of these and is another phase: it would be overwritten."""
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    given = {(family_of(functional_of(entry)), str(entry.entry_id)): entry for entry in entries}
    for document in store.references.find({"source": FILE, "entry_id": {"$in": [name for _, name in given]}}):
        entry = given.get((family_of(document["functional"]), document["entry_id"]))
        stored = ComputedStructureEntry.from_dict(document["entry"])
        if entry is not None and not same_phase(stored, entry):
            remove = f"db.references.deleteOne({{key: {json.dumps(document['key'])}}})"
            raise StructureInputError(
                f"{named(entry)} has the entry_id of another phase that is stored, {named(stored)}; give it a name of its "
                f"own, or remove the stored one ({remove} in mongosh)"
            )


def plain(entry: ComputedStructureEntry) -> dict[str, Any]:
    """Return an entry as plain JSON, with its correction and parameters."""
    from monty.json import MontyEncoder

    document: dict[str, Any] = json.loads(json.dumps(entry.as_dict(), cls=MontyEncoder))
    return document


def read_entries(path: Path) -> list[ComputedStructureEntry]:
    """Read pymatgen's `ComputedStructureEntry` dictionaries from a JSON file, a list or one under the key `entries`.

    Raises
    ------
    StructureInputError
        A file that is missing, too large, no JSON, or holds something else, or entries that `check_entries` refuses;
        the message says which entry.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if not path.is_file():
        raise StructureInputError(f"{path}: no such file; give a JSON file of pymatgen ComputedStructureEntry objects")
    if path.stat().st_size > MOST_BYTES:
        raise StructureInputError(f"{path}: {path.stat().st_size} bytes; at most {MOST_BYTES} are read")
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise StructureInputError(f"{path}: no JSON ({str(error)[:100]})") from None
    items = found.get("entries") if isinstance(found, dict) else found
    if not isinstance(items, list) or not items:
        raise StructureInputError(f"{path}: wanted a list of entries, got {type(items).__name__}, empty or none")
    entries = []
    for number, item in enumerate(items):
        try:
            entry = ComputedStructureEntry.from_dict(item)
            functional_of(entry)
        except StructureInputError as error:
            raise StructureInputError(f"{path}: {error}") from None
        except Exception as error:  # noqa: BLE001 - readers of free dictionaries fail in many ways
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            raise StructureInputError(f"{path}: entry {number} is no ComputedStructureEntry ({reason})") from None
        entries.append(entry)
    try:
        check_entries(entries)
    except StructureInputError as error:
        raise StructureInputError(f"{path}: {error}") from None
    return entries


def reference_phases(store: CampaignStore, elements: Sequence[str], method: Method) -> list[Phase]:
    """Return the stored references of a chemical system as phases of a VASP method, uncorrected.

    They count as of the campaign's method, whose input sets, POTCARs and U values are the Materials Project's and checked
    run by run (`workflows.vasp`); each entry's own are checked here again, and give its MP2020 correction. Their
    functional has to be the method's.

    Raises
    ------
    MixedMethodsError
        The method is none of VASP: a potential's energies do not share a hull with these.
    HullError
        An entry that an earlier version stored unchecked, with other U values or POTCARs.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if method.name != DFT:
        raise MixedMethodsError(
            f"the stored references are VASP energies, the hull's method is {method}: they do not share a hull; "
            f"a campaign by {method.name} relaxes its references itself"
        )
    families = list(FAMILIES.get(method.functional, (method.functional,)))
    query = {"chemical_system": {"$in": subsystems(elements)}, "state": "current", "functional": {"$in": families}}
    phases: dict[str, Phase] = {}
    for document in store.references.find(query).sort("key", 1):  # a file's entry comes before the same one fetched
        entry = ComputedStructureEntry.from_dict(document["entry"])
        energy = entry.uncorrected_energy / len(entry.structure)
        name = document["entry_id"]
        if name in phases:
            if same_crystal(phases[name].structure, entry.structure):
                continue
            name = f"{name}-{document['source']}"  # another phase by the same name: both are kept
        try:
            correction = fitting_correction(entry, document["source"])
        except StructureInputError as error:
            remove = f"db.references.deleteOne({{key: {json.dumps(document['key'])}}})"
            raise HullError(f"stored {error}; {remove} in mongosh removes it") from error
        phases[name] = Phase(name, bare(entry.structure), energy, method, "reference", correction_per_atom=correction)
    return list(phases.values())


def reference_counts(store: CampaignStore) -> list[dict[str, Any]]:
    """Return what is stored: chemical system, functional, source, thermo type, version, newest date and number of entries."""
    kind = ("chemical_system", "functional", "source", "thermo_type", "database_version")
    stages: list[dict[str, Any]] = [
        {"$match": {"state": "current"}},
        {
            "$group": {
                "_id": {name: f"${name}" for name in kind},
                "fetched": {"$max": "$fetched"},
                "entries": {"$sum": 1},
            }
        },
        {"$sort": {"_id.chemical_system": 1, "_id.functional": 1, "_id.source": 1}},
    ]
    return [{**row.pop("_id"), **row} for row in store.references.aggregate(stages)]


def campaign_phases(store: CampaignStore, campaign: Campaign, up_to_round: int) -> list[Phase]:
    """Return the phases of a campaign's hull: what it relaxed and, for a VASP campaign, the stored references that match nothing withheld."""
    own = store.phases(campaign.campaign_id, up_to_round)
    if campaign.method != DFT or not own:
        return own
    hidden = StructureIndex(withheld(campaign))
    references = reference_phases(store, campaign.elements, own[0].method)
    shown = [phase for phase in references if phase.structure not in hidden]
    return [*own, *(_named_apart(phase, campaign) for phase in shown)]


def stored_elements(store: CampaignStore, campaign: Campaign) -> set[str]:
    """Return the elements of which a VASP campaign's hull has a stored reference, whatever it relaxes itself; of a potential's campaign none."""
    if campaign.method != DFT:
        return set()
    query = {
        "chemical_system": {"$in": list(campaign.elements)},
        "state": "current",
        "functional": {"$in": [*FAMILIES["PBE"]]},
    }
    return set(store.references.distinct("chemical_system", query))


def _named_apart(phase: Phase, campaign: Campaign) -> Phase:
    """Return a reference by another name where it has one of a campaign on this system, whose exported entries may be imported."""
    of_campaigns = phase.structure_id.startswith(f"{campaign.chemical_system}-r")
    return replace(phase, structure_id=f"stored-{phase.structure_id}") if of_campaigns else phase
