"""The campaign's documents in MongoDB. It computes nothing but fingerprints, and every write is an upsert that can be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pymatgen.core import Structure
from pymongo import ASCENDING, MongoClient, ReturnDocument, UpdateOne

from ccdcgan_al import __version__
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import MongoError
from ccdcgan_al.settings import Settings
from ccdcgan_al.structures.fingerprint import fingerprints
from ccdcgan_al.types import Candidate, FailedRelaxation, Method, Phase
from launchpad.database.attempts import appended
from launchpad.database.generated import insert_new
from launchpad.database.migrations import prepare
from launchpad.database.model_store import ModelStore
from launchpad.service.configure import database_name
from launchpad.service.connection import PATIENCE_SECONDS
from launchpad.service.mongod import DURABLE, redact
from workflows.documents import read_relaxation
from workflows.schemas import RelaxationDocument, plain

TIMEOUT_SECONDS = 30.0
ASKED_TO_STOP = ("stopped", "asked to stop")
"""State and reason of a campaign that was told to stop; one that stopped by itself has another reason."""


def _now() -> datetime:
    return datetime.now(UTC)


class CampaignStore:
    """Campaigns, structures, rounds, hulls, models and references of one database; docs/database.md has their fields.

    Parameters
    ----------
    mongo_uri : MongoDB URI that names the database
    timeout : seconds to wait for a server that does not answer

    Raises
    ------
    MongoError : the database is of a newer schema version
    """

    def __init__(self, mongo_uri: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self.uri = mongo_uri
        self.client: MongoClient[dict[str, Any]] = MongoClient(
            mongo_uri, serverSelectionTimeoutMS=int(1000 * timeout), tz_aware=True, **DURABLE
        )
        self.database = self.client[database_name(mongo_uri)]
        self.campaigns = self.database["campaigns"]
        self.structures = self.database["structures"]
        self.rounds = self.database["rounds"]
        self.hulls = self.database["hulls"]
        self.references = self.database["references"]
        self.models = ModelStore(self.database)
        prepare(self.database)

    @classmethod
    def of_worker(cls) -> CampaignStore:
        """Open the database that this worker's environment names; a worker waits for one that does not answer.

        Raises
        ------
        MongoError : `CCDCGAN_AL_MONGO_URI` is not set
        """
        uri = Settings().mongo_uri
        if uri is None:
            raise MongoError("a training worker needs CCDCGAN_AL_MONGO_URI: source environment.sh of the config folder")
        return cls(uri.get_secret_value(), PATIENCE_SECONDS)

    # campaigns

    def add_campaign(self, campaign: Campaign) -> bool:
        """Remember a campaign; False where it was there already."""
        document = {
            "campaign": campaign.as_dict(),
            "chemical_system": campaign.chemical_system,
            "method": campaign.method,
            "state": "running",
            "reason": None,
            "code_version": __version__,
            "created": _now(),
            "last_updated": _now(),
        }
        answer = self.campaigns.update_one({"_id": campaign.campaign_id}, {"$setOnInsert": document}, upsert=True)
        return answer.upserted_id is not None

    def campaign(self, campaign_id: str) -> Campaign:
        """Read a campaign back.

        Raises
        ------
        KeyError : there is none of this name
        """
        document = self.campaigns.find_one({"_id": campaign_id})
        if document is None:
            raise KeyError(f"no campaign {campaign_id!r} in {self.database.name}")
        return Campaign.from_dict(document["campaign"])

    def chemical_system(self, campaign_id: str) -> str:
        """Chemical system of a campaign.

        Raises
        ------
        KeyError : there is none of this name
        """
        document = self.campaigns.find_one({"_id": campaign_id}, {"chemical_system": 1})
        if document is None:
            raise KeyError(f"no campaign {campaign_id!r} in {self.database.name}")
        return str(document["chemical_system"])

    def campaign_ids(self) -> list[str]:
        """Names of all campaigns, oldest first."""
        return [document["_id"] for document in self.campaigns.find({}, {"_id": 1}).sort("created", ASCENDING)]

    def state(self, campaign_id: str) -> tuple[str, str | None]:
        """State of a campaign (``running``, ``completed``, ``stopped``) and the reason for it."""
        document = self.campaigns.find_one({"_id": campaign_id}, {"state": 1, "reason": 1})
        return ("absent", None) if document is None else (document["state"], document["reason"])

    def set_state(self, campaign_id: str, state: str, reason: str | None = None) -> bool:
        """Set the state of a campaign that is running, and return whether it was; a reason never holds a password."""
        change = {"state": state, "reason": redact(reason) if reason else None, "last_updated": _now()}
        answer = self.campaigns.update_one({"_id": campaign_id, "state": "running"}, {"$set": change})
        return answer.matched_count == 1

    # structures

    def submit(self, campaign_id: str, candidates: Sequence[Candidate], provenance: dict[str, Any]) -> None:
        """Store structures before they are relaxed; one that is there already stays as it is."""
        documents = _documents(candidates, self.chemical_system(campaign_id))
        names = fingerprints([candidate.structure for candidate in candidates])
        known = {"state": "submitted", "attempts": [], "provenance": provenance}
        writes = [
            UpdateOne(
                {"campaign_id": campaign_id, "structure_id": document["structure_id"]},
                {"$setOnInsert": {**document, "fingerprint": name, **known}},
                upsert=True,
            )
            for document, name in zip(documents, names, strict=True)
        ]
        if writes:
            self.structures.bulk_write(writes)

    def add_generated(self, campaign_id: str, candidates: Sequence[Candidate], provenance: dict[str, Any]) -> int:
        """Store what was generated, is valid and new, and is not relaxed; return how many are no exact copies (`launchpad.database.generated`).

        Their structure_id is made from their fingerprint, so that the campaign has each of them once.
        """
        made = _documents(candidates, self.chemical_system(campaign_id))
        documents = [{**document, "state": "generated", "provenance": provenance} for document in made]
        return insert_new(self.structures, campaign_id, documents)

    def record(
        self,
        campaign_id: str,
        documents: Iterable[RelaxationDocument | dict[str, Any]],
        *,
        as_field: str = "relaxation",
    ) -> None:
        """Add what came back from relaxations to the attempts; recording the same document twice changes nothing.

        The newest valid attempt counts: a failure never takes the place of an energy.

        Parameters
        ----------
        campaign_id : whose structures they are
        documents : as jobflow hands them over, or plain
        as_field : what it was relaxed for, one of `launchpad.database.schema.KINDS`
        """
        stored = [plain(document) for document in documents]
        if not stored:
            return
        fw_ids = self._fw_ids(campaign_id, [document["structure_id"] for document in stored], as_field)
        writes = []
        for document in stored:
            name = document["structure_id"]
            more = {f"fw_ids.{as_field}": fw_ids[name]} if name in fw_ids else {}
            writes.append(
                UpdateOne({"campaign_id": campaign_id, "structure_id": name}, appended(as_field, document, more))
            )
        self.structures.bulk_write(writes)

    def _fw_ids(self, campaign_id: str, structure_ids: list[str], kind: str) -> dict[str, int]:
        """Newest Firework of each structure that relaxed it for this purpose."""
        query = {"spec.campaign_id": campaign_id, "spec.structure_id": {"$in": structure_ids}}
        shown = {"_id": 0, "fw_id": 1, "spec.structure_id": 1, "spec.stage": 1}
        found = {}
        for firework in self.database["fireworks"].find(query, shown).sort("fw_id", ASCENDING):
            stage = str(firework["spec"].get("stage"))
            if (stage if stage in ("distortion", "confirmation") else "relaxation") == kind:
                found[firework["spec"]["structure_id"]] = firework["fw_id"]
        return found

    def mark_withheld(self, campaign_id: str, structure_ids: Sequence[str]) -> None:
        """Set relaxed structures aside that became what the campaign must not be given."""
        self._mark(campaign_id, structure_ids, "relaxed", "withheld", "relaxed into a withheld structure")

    def mark_withdrawn(self, campaign_id: str, structure_ids: Sequence[str]) -> None:
        """Note which submitted structures nobody will relax, since the campaign was asked to stop."""
        self._mark(campaign_id, structure_ids, "submitted", "withdrawn", ASKED_TO_STOP[1])

    def _mark(self, campaign_id: str, structure_ids: Sequence[str], was: str, state: str, reason: str) -> None:
        self.structures.update_many(
            {"campaign_id": campaign_id, "structure_id": {"$in": list(structure_ids)}, "state": was},
            {"$set": {"state": state, "reason": reason, "last_updated": _now()}},
        )

    def documents(self, campaign_id: str, up_to_round: int | None = None, **where: Any) -> list[dict[str, Any]]:
        """Structure documents in the order of their ids; those that were generated and not chosen are none of them."""
        query: dict[str, Any] = {"campaign_id": campaign_id, "state": {"$ne": "generated"}, **where}
        if up_to_round is not None:
            query["round"] = {"$lte": up_to_round}
        return list(self.structures.find(query, {"attempts": 0}).sort("structure_id", ASCENDING))

    def candidates(self, campaign_id: str, round_number: int) -> list[Candidate]:
        """Structures of a round as they were submitted, in the order of their ids."""
        return [
            Candidate(
                document["structure_id"],
                Structure.from_dict(document["start"]),
                document["origin"],
                document["round"],
                document["source"],
                document["predicted_energy"],
                document["uncertainty"],
            )
            for document in self.documents(campaign_id, round=round_number)
        ]

    def starting_structures(self, campaign_id: str) -> list[Structure]:
        """Seeds as they were given, also those that failed; not those set aside, which are for the campaign to find."""
        seeds = self.structures.find(
            {"campaign_id": campaign_id, "round": 0, "state": {"$ne": "withheld"}}, {"start": 1}
        )
        return [Structure.from_dict(document["start"]) for document in seeds.sort("structure_id", ASCENDING)]

    def phases(self, campaign_id: str, up_to_round: int, *, field: str = "relaxation") -> list[Phase]:
        """Relaxed structures as phases for a hull, in the order of their ids."""
        found = []
        for document in self.documents(campaign_id, up_to_round, state="relaxed"):
            if field not in document:
                continue
            relaxed = read_relaxation(document[field])
            if not isinstance(relaxed, FailedRelaxation):
                found.append(
                    Phase(
                        document["structure_id"],
                        relaxed.structure,
                        relaxed.energy_per_atom,
                        relaxed.method,
                        document["origin"],
                        document["round"],
                        **_analysed(document[field]),
                    )
                )
        return found

    def recorded_method(self, campaign_id: str, *, field: str = "relaxation") -> Method | None:
        """Return the method of the energies that a campaign has, by the first of its structures; None where it has none."""
        query = {"campaign_id": campaign_id, f"{field}.state": "relaxed"}
        first = self.structures.find_one(query, {f"{field}.method": 1}, sort=[("structure_id", ASCENDING)])
        return None if first is None else Method(**first[field]["method"])

    # rounds, hulls, models

    def open_round(self, campaign_id: str, round_number: int, counts: dict[str, Any]) -> None:
        """Store the counts of what was generated and chosen; the time of opening stays that of the first call."""
        where = {"campaign_id": campaign_id, "round": round_number}
        opening = {"opened": _now(), "state": "open", "code_version": __version__}
        change = {"$set": {**counts, "last_updated": _now()}, "$setOnInsert": opening}
        self.rounds.update_one(where, change, upsert=True)

    def close_round(self, campaign_id: str, round_number: int, counts: dict[str, Any]) -> None:
        """Store the counts of what came back."""
        where = {"campaign_id": campaign_id, "round": round_number}
        self.rounds.update_one(where, {"$set": {**counts, "state": "closed", "last_updated": _now()}})
        self.rounds.update_one({**where, "closed": {"$exists": False}}, {"$set": {"closed": _now()}})

    def returned(self, campaign_id: str, round_number: int, batch: int) -> bool:
        """Note that a batch of a round is back, and return whether this is the batch that closes the round.

        That is the one that completes the round's number of batches, for good: asked again, by whichever batch and
        how often, the answer stays the same.
        """
        back = {"$setUnion": [{"$ifNull": ["$returned", []]}, [batch]]}
        last = {"$cond": [{"$gte": [{"$size": "$returned"}, "$batches"]}, batch, None]}
        document = self.rounds.find_one_and_update(
            {"campaign_id": campaign_id, "round": round_number},
            [{"$set": {"returned": back}}, {"$set": {"closing_batch": {"$ifNull": ["$closing_batch", last]}}}],
            return_document=ReturnDocument.AFTER,
        )
        return document is not None and document["closing_batch"] == batch

    def add_further(self, campaign_id: str, elements: Sequence[str], structure_ids: Sequence[str]) -> dict[str, Any]:
        """Note, for good, which elements lacked a relaxed seed and which structures are relaxed for them; return round 0 as it is then.

        What was noted first stands. The structures count as the round's own, and so towards the budget.
        """
        where = {"campaign_id": campaign_id, "round": 0}
        more = {"lacking": list(elements), "further": list(structure_ids), "last_updated": _now()}
        counted = {"$add": ["$submitted", len(structure_ids)]}
        self.rounds.update_one({**where, "further": {"$exists": False}}, [{"$set": {**more, "submitted": counted}}])
        return self.rounds.find_one(where) or {}

    def further(self, campaign_id: str) -> list[str]:
        """Ids of the structures of round 0 that `add_further` noted."""
        document = self.rounds.find_one({"campaign_id": campaign_id, "round": 0}, {"further": 1}) or {}
        return list(document.get("further", []))

    def is_open(self, campaign_id: str, round_number: int) -> bool:
        """Whether a round was opened, closed since or not."""
        return self.rounds.find_one({"campaign_id": campaign_id, "round": round_number}, {"_id": 1}) is not None

    def round_documents(self, campaign_id: str) -> list[dict[str, Any]]:
        """Round documents in order."""
        return list(self.rounds.find({"campaign_id": campaign_id}, {"_id": 0}).sort("round", ASCENDING))

    def distorted(self, campaign_id: str) -> list[dict[str, Any]]:
        """Documents of the phases that were relaxed again from a small distortion."""
        query = {"campaign_id": campaign_id, "distortion": {"$exists": True}}
        return list(self.structures.find(query, {"attempts": 0}))

    def save_hull(self, campaign_id: str, round_number: int, documents: Sequence[dict[str, Any]]) -> bool:
        """Store a hull as it stands after a round, a document a scheme (`launchpad.database.hull_records.hull_documents`).

        Hulls of earlier rounds are superseded, unless this is one of them, closed again: False then, and it says nothing
        of how the campaign's structures stand.
        """
        newer = self.hulls.find_one({"campaign_id": campaign_id, "round": {"$gt": round_number}}, {"_id": 1})
        for document in documents:
            where = {
                "campaign_id": campaign_id,
                "round": round_number,
                "method.name": document["method"]["name"],
                "scheme": document["scheme"],
            }
            stored = {**document, "state": "superseded" if newer else "current", "last_updated": _now()}
            self.hulls.update_one(where, {"$set": stored}, upsert=True)
        self.hulls.update_many(
            {"campaign_id": campaign_id, "round": {"$lt": round_number}, "state": "current"},
            {"$set": {"state": "superseded", "last_updated": _now()}},
        )
        return newer is None

    def save_figures(self, campaign_id: str, figures: dict[str, dict[str, Any]]) -> None:
        """Store how structures stand against a hull, by structure_id (`launchpad.database.hull_records`)."""
        now = _now()
        writes = [
            UpdateOne({"campaign_id": campaign_id, "structure_id": name}, {"$set": {**fields, "last_updated": now}})
            for name, fields in figures.items()
        ]
        if writes:
            self.structures.bulk_write(writes, ordered=False)

    def rounds_of_other_elements(self, campaign_id: str, scheme: str) -> list[int]:
        """Return the rounds whose stored hull has other energies of the elements than `scheme`, in order."""
        query = {"campaign_id": campaign_id, "element_references.scheme": {"$ne": scheme}}
        return sorted(int(number) for number in self.hulls.distinct("round", query))

    def recount_round(self, campaign_id: str, round_number: int, counts: dict[str, int]) -> None:
        """Store the numbers of new phases of a closed round again, after its hull was judged again."""
        where = {"campaign_id": campaign_id, "round": round_number}
        self.rounds.update_one(where, {"$set": {**counts, "last_updated": _now()}})

    def drop_confirmed(self, campaign_id: str) -> None:
        """Take back the figures by the confirming method, where they no longer hold; its relaxations stay."""
        where = {"campaign_id": campaign_id, "confirmed": {"$exists": True}}
        self.structures.update_many(where, {"$unset": {"confirmed": ""}, "$set": {"last_updated": _now()}})

    def hull_changes(self, campaign_id: str) -> dict[int, dict[str, Any]]:
        """Return what each closed round changed in the hull (`ccdcgan_al.hull.changes.HullChanges`, as a document)."""
        query = {"campaign_id": campaign_id, "changes": {"$exists": True}}
        found = self.hulls.find(query, {"round": 1, "changes": 1}).sort("round", ASCENDING)
        return {document["round"]: document["changes"] for document in found}


def _documents(candidates: Sequence[Candidate], chemical_system: str) -> list[dict[str, Any]]:
    """Return what is known of structures before they are relaxed, less fingerprint, state and provenance."""
    return [
        {
            "structure_id": candidate.structure_id,
            "chemical_system": chemical_system,
            "elements": sorted(element.symbol for element in candidate.structure.composition.elements),
            "formula": candidate.structure.composition.reduced_formula,
            "n_sites": len(candidate.structure),
            "origin": candidate.origin,
            "round": candidate.round_number,
            "source": candidate.source,
            "start": candidate.structure.as_dict(),
            "predicted_energy": candidate.predicted_energy,
            "uncertainty": candidate.uncertainty,
            "last_updated": _now(),
        }
        for candidate in candidates
    ]


def _analysed(relaxation: dict[str, Any]) -> dict[str, Any]:
    """Return what the worker found out about a structure, where its pymatgen was this one: corrections come with it."""
    if (relaxation.get("versions") or {}).get("pymatgen") != version("pymatgen"):
        return {}
    correction = relaxation.get("mp2020_correction_per_atom")
    return {"space_group": relaxation.get("space_group"), "correction_per_atom": correction}
