"""Look-ups in `CampaignStore` for the commands that only read: the campaign, its hull, a structure's lineage. It writes and prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ccdcgan_al.hull.hull import ON_HULL
from launchpad.database.hull_records import distortion_outcomes
from launchpad.database.queries import structure_filter
from launchpad.database.structures import DESCENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from launchpad.database.store import CampaignStore

ENTRY = (
    "structure_id", "formula", "space_group", "n_sites", "origin", "round_number", "formation_energy_per_atom",
    "energy_above_hull", "corrected_formation_energy_per_atom", "corrected_energy_above_hull", "correction_driven",
    "own_elements_formation_energy_per_atom", "own_elements_energy_above_hull", "element_driven",
)  # fmt: skip
_SHOWN = 5  # maximum number of names in an error message


def campaigns_of(store: CampaignStore, system: str, method: str | None = None) -> list[dict[str, Any]]:
    """Return the campaigns on a chemical system, oldest first.

    Parameters
    ----------
    store : CampaignStore
        Database of the campaigns.
    system : str
        Elements in alphabetical order, e.g. `Bi-Se`.
    method : str, optional
        Return only campaigns with this method.

    Raises
    ------
    ValueError
        If there is none. The message names the existing campaigns.
    """
    there = store.campaigns_on(system)
    found = [document for document in there if method is None or document["method"] == method]
    if found:
        return found
    if there:
        methods = ", ".join(sorted({document["method"] for document in there}))
        raise ValueError(f"no campaign on {system} by {method!r}; there are some by {methods}")
    systems = ", ".join(store.chemical_systems()[:_SHOWN]) or "none"
    raise ValueError(f"no campaign on {system} in {store.name}; systems with campaigns: {systems}")


def campaign_of(store: CampaignStore, system: str, campaign_id: str | None, method: str | None = None) -> str:
    """Return a campaign: the given one, otherwise the newest on the system.

    Raises
    ------
    ValueError
        If there is no campaign of this name, or if it is on another system.
    """
    names = [document["_id"] for document in campaigns_of(store, system, method)]
    if campaign_id is None:
        return str(names[-1])
    if campaign_id not in names:
        listed = ", ".join(names[-_SHOWN:])
        raise ValueError(
            f"no campaign {campaign_id!r} on {system}{f' by {method}' if method else ''}; there are {listed}"
        )
    return campaign_id


def stored_hull(store: CampaignStore, campaign_id: str, round_number: int | None = None) -> dict[str, Any]:
    """Return a campaign's stored uncorrected hull after a round. None means the newest.

    Raises
    ------
    ValueError
        If there is none. The message names the rounds that have hulls.
    """
    hull = store.stored_hull(campaign_id, round_number)
    if hull is None:
        rounds = [str(item["round"]) for item in store.ask("hull_changes", campaign_id=campaign_id)]
        after = "" if round_number is None else f" after round {round_number}"
        raise ValueError(
            f"no hull of {campaign_id}{after}; there are hulls after rounds {', '.join(rounds) or '(none yet)'}"
        )
    return hull


def hull_rows(
    store: CampaignStore, campaign_id: str, within: float, round_number: int | None = None
) -> list[dict[str, Any]]:
    """Return the structures on or near a campaign's hull, lowest first. Matching structures are represented by one of them.

    Parameters
    ----------
    store : CampaignStore
        Database of the campaigns.
    campaign_id : str
        Name of the campaign.
    within : float
        Maximum energy above hull (eV/atom).
    round_number : int, optional
        Round whose hull is used. None means the newest hull.

    Returns
    -------
    list of dict
        Fields of `ccdcgan_al.types.HullEntry`, and `is_new_phase`, `confirmed_energy_above_hull` (eV/atom, or None), `source`, `strategy`,
        `operation`, `parents` and `problem` (why it does not relax back after a distortion, or None). If several structures relaxed into
        one phase, the phase is included if the lowest of them is near enough. The energies are those of its representative.

    Raises
    ------
    ValueError
        If there is no hull of this round, or if `within` is larger than the limit of the stored hulls.
    """
    hull = stored_hull(store, campaign_id, round_number)
    if within > hull["within"]:
        raise ValueError(
            f"a stored hull holds what lies within {hull['within']} eV/atom of it, asked for {within}; "
            "`ccdcgan-al structures find --within` has no such bound"
        )
    entries = {entry["structure_id"]: {name: entry.get(name) for name in ENTRY} for entry in hull["entries"]}
    known = store.stored_figures(campaign_id, list(entries))
    lowest: dict[str, float] = {}
    for name, entry in entries.items():
        copied = str(known.get(name, {}).get("duplicate_of"))
        phase = copied if copied in entries else name
        lowest[phase] = min(entry["energy_above_hull"], lowest.get(phase, entry["energy_above_hull"]))
    rows, unstable = [], distortion_outcomes(store.distorted(campaign_id))
    for name, above in lowest.items():
        if above <= within + ON_HULL:
            document = known.get(name, {})
            current = document.get("hull_round") == hull["round"]
            more = {
                "is_new_phase": bool(document.get("is_new_phase")) if current else None,
                "confirmed_energy_above_hull": (document.get("confirmed") or {}).get("energy_above_hull"),
                "source": document.get("source", "stored reference"),
                **{name: document.get(name) for name in DESCENT},
                "problem": unstable.get(name),
            }
            rows.append({**entries[name], **more})
    return sorted(rows, key=lambda row: (row["energy_above_hull"], row["structure_id"]))


def descent(document: dict[str, Any]) -> str:
    """Return the descent of a structure in words: ``rock salt``, ``ccdcgan``, ``ccdcgan: slip of Bi-Se-r1-0003``."""
    strategy, operation, parents = (document[name] for name in DESCENT)
    made = f": {operation} of {' and '.join(parents)}" if operation else ""
    return f"{strategy}{made}" if strategy else str(document["source"])


def lineage(store: CampaignStore, structure_id: str, campaign_id: str | None = None) -> dict[str, Any]:
    """Return the origin of a structure, its relaxations and their results.

    Parameters
    ----------
    store : CampaignStore
        Database of the campaigns.
    structure_id : str
        Id of the structure.
    campaign_id : str, optional
        Name of its campaign. It is needed if several campaigns have a structure with this id.

    Returns
    -------
    dict
        The structure's document without geometry, with `models` (name, sha256, bytes), `learnt_from` (number of relaxed
        structures on which these models were trained), `copies` (structure_ids), `problem` (why it does not relax back after a
        distortion, or None) and `attempts` (kind, state, reason, energy_per_atom, seconds).

    Raises
    ------
    ValueError
        If there is no such structure, or if several campaigns have one of this id.
    """
    names = store.campaign_ids() if campaign_id is None else [campaign_id]
    found = store.structures_named(structure_id, names)
    if not found:
        place = f"campaign {campaign_id}" if campaign_id else store.name
        raise ValueError(f"no structure {structure_id!r} in {place}; `ccdcgan-al structures find` lists them")
    if len(found) > 1:
        several = ", ".join(document["campaign_id"] for document in found)
        raise ValueError(f"{len(found)} campaigns have a {structure_id}: {several}; name one with --campaign")
    document = found[0]
    asked = {"campaign_id": document["campaign_id"], "round_number": document["round"], "structure_id": structure_id}
    attempts = [
        {name: attempt.get(name) for name in ("kind", "state", "reason", "energy_per_atom", "seconds")}
        for attempt in document.get("attempts", [])
    ]
    drew = store.ask("models", **asked) if document["origin"] == "generated" else []
    learnt = store.ask("learnt_from", **asked) if drew else []
    hidden = ("_id", "start", "relaxation", "confirmation", "distortion", "attempts")
    return {
        **{name: value for name, value in document.items() if name not in hidden},
        "models": drew,
        "learnt_from": len(learnt),
        "copies": [copy["structure_id"] for copy in store.ask("copies", **asked)],
        "problem": distortion_outcomes([document] if "distortion" in document else []).get(structure_id),
        "attempts": attempts,
    }


def relaxed_documents(
    store: CampaignStore, campaign_id: str, within: float, *, new: bool = False, ids: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the complete documents of a campaign's relaxed phases near its hull, one for each phase, lowest first.

    Parameters
    ----------
    store : CampaignStore
        Database of the campaigns.
    campaign_id : str
        Name of the campaign.
    within : float
        Maximum energy above hull (eV/atom).
    new : bool, default False
        Return only new phases.
    ids : sequence of str, optional
        Return these structures, whatever their energy above hull.

    Raises
    ------
    ValueError
        If one of `ids` does not exist, or is not relaxed.
    """
    if ids:
        where: dict[str, Any] = {"campaign_id": campaign_id, "structure_id": {"$in": list(ids)}, "state": "relaxed"}
        found = store.matching(where)
        missing = sorted(set(ids) - {document["structure_id"] for document in found})
        if missing:
            raise ValueError(f"not among the relaxed structures of {campaign_id}: {', '.join(missing[:_SHOWN])}")
    else:
        where = structure_filter([campaign_id], within=within + ON_HULL, state="relaxed", new=new)
        found = store.matching(where)
        present = {document["structure_id"] for document in found}
        phases = {document.get("duplicate_of") for document in found} - present - {None}
        where = {"campaign_id": campaign_id, "structure_id": {"$in": sorted(phases)}}
        found += store.matching(where)
        found = _each_once(found)
    return sorted(found, key=_height)


def _height(document: dict[str, Any]) -> tuple[float, str]:
    return document.get("energy_above_hull", 0.0), document["structure_id"]


def _each_once(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the document that represents each phase. If a stored reference represents it, return the lowest relaxed one."""
    present = {document["structure_id"] for document in documents}
    once: dict[str, dict[str, Any]] = {}
    for document in sorted(documents, key=_height):
        phase = document.get("duplicate_of") or document["structure_id"]
        if phase == document["structure_id"] or phase not in present:
            once.setdefault(phase, document)
    return list(once.values())


def discovery_counts(store: CampaignStore, campaign_id: str, within: float) -> list[int]:
    """Return the number of new phases after each relaxation of a campaign, in the order of rounds and ranks.

    Of matching structures, the lowest counts (`is_new_phase`), at the time when it was relaxed.
    """
    counts, total = [], 0
    for document in store.tried(campaign_id):
        total += bool(document.get("is_new_phase")) and document["energy_above_hull"] <= within + ON_HULL
        counts.append(total)
    return counts
