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
from ccdcgan_al.corrections import mp2020_correction_per_atom, mp_hubbard_u, mp_potcar_symbols
from ccdcgan_al.errors import HullError, MixedMethodsError, StructureInputError
from ccdcgan_al.materials_project import subsystems
from ccdcgan_al.seen import structure_matcher
from ccdcgan_al.starting import withheld
from ccdcgan_al.types import DFT, Method, Phase

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    from launchpad.store import CampaignStore

MATERIALS_PROJECT, FILE = "materials_project", "file"
MOST_BYTES = 500_000_000  # of a file of entries
_FUNCTIONALS = {"GGA": "PBE", "PBE": "PBE", "GGA+U": "PBE+U", "PBE+U": "PBE+U", "R2SCAN": "r2SCAN"}
_FAMILIES = {"PBE": ("PBE", "PBE+U"), "r2SCAN": ("r2SCAN",)}  # functional of a method -> those of its references


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
    store : the database
    entries : with structures, an entry_id and a run type
    source : `MATERIALS_PROJECT` or `FILE`
    thermo_type, database_version : of the Materials Project
    systems : chemical systems that were asked for; what an earlier version gave for them and this one does not is
        `superseded`

    Raises
    ------
    StructureInputError
        an entry without id or run type, of a functional that no hull here takes, or, of PBE, with other U values or
        POTCARs than the Materials Project's; nothing is stored then
    """
    now, writes, keys = datetime.now(UTC), [], []
    for entry in entries:
        functional, name = functional_of(entry), str(entry.entry_id)
        fitting_correction(entry, source)
        keys.append(f"{source}/{functional}/{name}")
        document = {
            "state": "current",
            "chemical_system": entry.composition.chemical_system,
            "formula": entry.composition.reduced_formula,
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


def functional_of(entry: ComputedStructureEntry) -> str:
    """Return the functional of an entry, by its run type: PBE, PBE+U or r2SCAN."""
    run_type = str(getattr(entry.parameters.get("run_type"), "value", entry.parameters.get("run_type")))
    if entry.entry_id is None or run_type.upper() not in _FUNCTIONALS:
        raise StructureInputError(
            f"entry {entry.entry_id} ({entry.composition.reduced_formula}) has the run type {run_type}; wanted an entry_id "
            "and parameters['run_type'] of GGA, GGA+U or r2SCAN"
        )
    return _FUNCTIONALS[run_type.upper()]


def fitting_correction(entry: ComputedStructureEntry, source: str) -> float | None:
    """Return the MP2020 correction (eV/atom) of a PBE or PBE + U entry by its own parameters; None for r2SCAN, which has none.

    An entry of a file has to name its POTCARs. The Materials Project's own may come without: it chose them itself, and
    then U values and run type alone are checked.

    Raises
    ------
    StructureInputError
        U values, POTCARs or run type are not those with which the Materials Project, and so the method ``vasp``, computes
        this composition
    """
    functional = functional_of(entry)
    if functional not in _FAMILIES["PBE"]:
        return None
    hubbard_u, potcar = _hubbard_u(entry), _potcar(entry)
    run_type = functional.replace("PBE", "GGA")  # the scheme's word for it
    problem = "" if potcar or source != FILE else "an entry of a file has to name its POTCARs"
    if not problem:
        try:
            return mp2020_correction_per_atom(
                entry.structure, hubbard_u=hubbard_u, run_type=run_type, potcar=potcar or None
            )
        except HullError as error:
            problem = str(error).partition(": ")[2].partition(";")[0]
    wanted_u, wanted_potcar = mp_hubbard_u(entry.structure), mp_potcar_symbols(entry.structure)
    raise StructureInputError(
        f"entry {entry.entry_id} ({entry.composition.reduced_formula}) cannot share a hull with the Materials Project's "
        f"settings: it has run type {run_type}, {_told(hubbard_u, [title.split()[1] for title in potcar])}; wanted run type "
        f"{'GGA+U' if wanted_u else 'GGA'}, {_told(wanted_u, wanted_potcar)} ({problem})"
    )


def _hubbard_u(entry: ComputedStructureEntry) -> dict[str, float]:
    """Return the U values (eV) of an entry that are not 0, by symbol."""
    found = entry.parameters.get("hubbards") or {}
    try:
        return {str(symbol): float(value) for symbol, value in found.items() if value}
    except (AttributeError, TypeError, ValueError):
        raise StructureInputError(
            f"entry {entry.entry_id} has the hubbards {str(found)[:80]}; wanted U (eV) by symbol, e.g. {{'V': 3.25}}"
        ) from None


def _potcar(entry: ComputedStructureEntry) -> list[str]:
    """Return the TITELs of an entry's POTCARs, from `potcar_spec` or `potcar_symbols`; empty where it names none."""
    specs, symbols = entry.parameters.get("potcar_spec") or [], entry.parameters.get("potcar_symbols") or []
    try:
        titles = [str(title) for title in [_titel(spec) for spec in specs if spec] or symbols if title]
    except (AttributeError, KeyError, TypeError):
        raise StructureInputError(
            f"entry {entry.entry_id} has the potcar_spec {str(specs)[:80]}; wanted a list of {{'titel': 'PAW_PBE V_pv ...'}}"
        ) from None
    return [title if len(title.split()) > 1 else f"PAW_PBE {title}" for title in titles]


def _titel(spec: Any) -> Any:
    """Return the TITEL of a POTCAR's description: a dictionary, or the object of emmet that mp-api makes of it."""
    return spec["titel"] if isinstance(spec, dict) else spec.titel


def _told(hubbard_u: dict[str, float], potcar: Sequence[str]) -> str:
    values = ", ".join(f"{symbol} {value:g}" for symbol, value in hubbard_u.items())
    return f"U {values or 'none'}, POTCARs {', '.join(potcar) or 'none'}"


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
        a file that is missing, too large, no JSON, or holds something else; the message says which entry
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
    return entries


def reference_phases(store: CampaignStore, elements: Sequence[str], method: Method) -> list[Phase]:
    """Return the stored references of a chemical system as phases of a VASP method, uncorrected.

    They count as of the campaign's method, whose input sets, POTCARs and U values are the Materials Project's and checked
    run by run (`workflows.vasp`); each entry's own are checked here again, and give its MP2020 correction. Their
    functional has to be the method's.

    Raises
    ------
    MixedMethodsError
        the method is none of VASP: a potential's energies do not share a hull with these
    HullError
        an entry that an earlier version stored unchecked, with other U values or POTCARs
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if method.name != DFT:
        raise MixedMethodsError(
            f"the stored references are VASP energies, the hull's method is {method}: they do not share a hull; "
            f"a campaign by {method.name} relaxes its references itself"
        )
    families = list(_FAMILIES.get(method.functional, (method.functional,)))
    query = {"chemical_system": {"$in": subsystems(elements)}, "state": "current", "functional": {"$in": families}}
    phases: dict[str, Phase] = {}
    for document in store.references.find(query).sort("key", 1):  # a file's entry comes before the same one fetched
        entry = ComputedStructureEntry.from_dict(document["entry"])
        energy = entry.uncorrected_energy / len(entry.structure)
        name = document["entry_id"]
        if name in phases:
            continue
        try:
            correction = fitting_correction(entry, document["source"])
        except StructureInputError as error:
            remove = f"db.references.deleteOne({{key: {json.dumps(document['key'])}}})"
            raise HullError(f"stored {error}; {remove} in mongosh removes it") from error
        phases[name] = Phase(name, entry.structure, energy, method, "reference", correction_per_atom=correction)
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
    hidden, matcher = withheld(campaign), structure_matcher()
    references = reference_phases(store, campaign.elements, own[0].method)
    shown = [phase for phase in references if not any(matcher.fit(other, phase.structure) for other in hidden)]
    return [*own, *(_named_apart(phase, campaign) for phase in shown)]


def stored_elements(store: CampaignStore, campaign: Campaign) -> set[str]:
    """Return the elements of which a VASP campaign's hull has a stored reference, whatever it relaxes itself; of a potential's campaign none."""
    if campaign.method != DFT:
        return set()
    query = {
        "chemical_system": {"$in": list(campaign.elements)},
        "state": "current",
        "functional": {"$in": [*_FAMILIES["PBE"]]},
    }
    return set(store.references.distinct("chemical_system", query))


def _named_apart(phase: Phase, campaign: Campaign) -> Phase:
    """Return a reference by another name where it has one of a campaign on this system, whose exported entries may be imported."""
    of_campaigns = phase.structure_id.startswith(f"{campaign.chemical_system}-r")
    return replace(phase, structure_id=f"stored-{phase.structure_id}") if of_campaigns else phase
