"""Reference entries in MongoDB: stored once, and read as phases of a VASP campaign's hull. It contacts no other server and computes nothing."""

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

MOST_BYTES = 500_000_000  # maximum size of a file with entries


def save_entries(
    store: CampaignStore,
    entries: Sequence[ComputedStructureEntry],
    source: str,
    *,
    thermo_type: str | None = None,
    database_version: str | None = None,
    systems: Sequence[str] = (),
) -> int:
    """Store each entry once, and return the number of new entries.

    Parameters
    ----------
    store : CampaignStore
        Database of the campaigns.
    entries : sequence of ComputedStructureEntry
        Entries with structure, entry_id and run type.
    source : str
        `MATERIALS_PROJECT` or `FILE`.
    thermo_type, database_version : str, optional
        Thermo type and database version of the Materials Project.
    systems : sequence of str, optional
        Chemical systems of the request. If the stored entries of an earlier version are not in this version, they become
        `superseded`.

    Raises
    ------
    StructureInputError
        If an entry has no id or run type, has a functional that no hull here uses, is disordered, has an energy that is not
        finite, or (for PBE) has other U values or POTCARs than the Materials Project's. Also if two phases have the same entry_id,
        among these entries or with an entry stored from a file. In these cases nothing is stored.
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
    """Raise an error if an entry stored from a file has the same entry_id but is another phase, because it would be overwritten."""
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
    """Read pymatgen's `ComputedStructureEntry` dictionaries from a JSON file. It is a list, or has a list under the key `entries`.

    Raises
    ------
    StructureInputError
        If the file is missing, too large, no JSON, or has other content, or if `check_entries` rejects an entry. The message
        names the entry.
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
        except Exception as error:  # noqa: BLE001 - reading free dictionaries can raise many kinds of errors
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

    They count as phases of the campaign's method. Its input sets, POTCARs and U values are the Materials Project's and are checked
    in each run (`workflows.vasp`). The U values and POTCARs of each entry are checked again here, and give its MP2020 correction.
    The entries must have the functional of the method.

    Raises
    ------
    MixedMethodsError
        If the method is not VASP, because a potential's energies do not share a hull with these entries.
    HullError
        If an earlier version stored an entry without checks, and it has other U values or POTCARs.
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
    for document in store.references.find(query).sort("key", 1):  # a file entry comes before the same downloaded one
        entry = ComputedStructureEntry.from_dict(document["entry"])
        energy = entry.uncorrected_energy / len(entry.structure)
        name = document["entry_id"]
        if name in phases:
            if same_crystal(phases[name].structure, entry.structure):
                continue
            name = f"{name}-{document['source']}"  # another phase with the same name: both are kept
        try:
            correction = fitting_correction(entry, document["source"])
        except StructureInputError as error:
            remove = f"db.references.deleteOne({{key: {json.dumps(document['key'])}}})"
            raise HullError(f"stored {error}; {remove} in mongosh removes it") from error
        phases[name] = Phase(name, bare(entry.structure), energy, method, "reference", correction_per_atom=correction)
    return list(phases.values())


def reference_counts(store: CampaignStore) -> list[dict[str, Any]]:
    """Return a summary of the stored entries: chemical system, functional, source, thermo type, version, newest date and number."""
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
    """Return the phases of a campaign's hull: relaxed ones and, for VASP, stored references, except those that match a withheld structure."""
    own = store.phases(campaign.campaign_id, up_to_round)
    if campaign.method != DFT or not own:
        return own
    hidden = StructureIndex(withheld(campaign))
    references = reference_phases(store, campaign.elements, own[0].method)
    shown = [phase for phase in references if phase.structure not in hidden]
    return [*own, *(_named_apart(phase, campaign) for phase in shown)]


def stored_elements(store: CampaignStore, campaign: Campaign) -> set[str]:
    """Return the elements with a stored reference for a VASP campaign's hull, relaxed or not. The set is empty for a potential's campaign."""
    if campaign.method != DFT:
        return set()
    query = {
        "chemical_system": {"$in": list(campaign.elements)},
        "state": "current",
        "functional": {"$in": [*FAMILIES["PBE"]]},
    }
    return set(store.references.distinct("chemical_system", query))


def _named_apart(phase: Phase, campaign: Campaign) -> Phase:
    """Return a reference, renamed if its name is like a campaign structure's on this system. It may come from an exported campaign."""
    of_campaigns = phase.structure_id.startswith(f"{campaign.chemical_system}-r")
    return replace(phase, structure_id=f"stored-{phase.structure_id}") if of_campaigns else phase
