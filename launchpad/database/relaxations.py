"""Results of relaxations: they are added to the structures as attempts, and read as phases of one method. This module relaxes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from pymongo import ASCENDING, UpdateOne

from ccdcgan_al.types import FailedRelaxation, Method, Phase
from launchpad.database.attempts import append_attempt_update
from launchpad.database.structures import Structures
from workflows.documents import read_relaxation
from workflows.schemas import RelaxationDocument, plain


class Relaxations(Structures):
    """The relaxations of a campaign's structures: by its own method, from a distortion, and by the confirming method."""

    def record(
        self,
        campaign_id: str,
        documents: Iterable[RelaxationDocument | dict[str, Any]],
        *,
        as_field: str = "relaxation",
    ) -> None:
        """Add the documents of relaxations to the attempts. Recording the same document twice changes nothing.

        The newest valid attempt counts. A failure never replaces an energy.

        Parameters
        ----------
        campaign_id : str
            Campaign of the structures.
        documents : iterable of RelaxationDocument or dict
            Documents from jobflow, or as plain JSON.
        as_field : str
            Purpose of the relaxations, one of `launchpad.database.schema.KINDS`.
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
                UpdateOne(
                    {"campaign_id": campaign_id, "structure_id": name}, append_attempt_update(as_field, document, more)
                )
            )
        self.structures.bulk_write(writes)

    def _fw_ids(self, campaign_id: str, structure_ids: list[str], kind: str) -> dict[str, int]:
        """Return the newest Firework of each structure that relaxed it for this purpose."""
        query = {"spec.campaign_id": campaign_id, "spec.structure_id": {"$in": structure_ids}}
        shown = {"_id": 0, "fw_id": 1, "spec.structure_id": 1, "spec.stage": 1}
        found = {}
        for firework in self.database["fireworks"].find(query, shown).sort("fw_id", ASCENDING):
            stage = str(firework["spec"].get("stage"))
            if (stage if stage in ("distortion", "confirmation") else "relaxation") == kind:
                found[firework["spec"]["structure_id"]] = firework["fw_id"]
        return found

    def phases(self, campaign_id: str, up_to_round: int, *, field: str = "relaxation") -> list[Phase]:
        """Return relaxed structures as phases of a hull, in the order of their ids."""
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
        """Return the method of a campaign's energies, from its first structure. Return None if it has no energies."""
        query = {"campaign_id": campaign_id, f"{field}.state": "relaxed"}
        first = self.structures.find_one(query, {f"{field}.method": 1}, sort=[("structure_id", ASCENDING)])
        return None if first is None else Method(**first[field]["method"])

    def distorted(self, campaign_id: str) -> list[dict[str, Any]]:
        """Return the documents of the phases that were relaxed from a small distortion."""
        query = {"campaign_id": campaign_id, "distortion": {"$exists": True}}
        return list(self.structures.find(query, {"attempts": 0}))

    def not_confirmed(self, campaign_id: str) -> list[dict[str, Any]]:
        """Return the documents of the structures for which the confirming relaxation failed."""
        return self.documents(campaign_id, None, **{"confirmation.state": "failed"})

    def mean_seconds(self, campaign_id: str) -> float | None:
        """Return the mean time of a campaign's relaxations (s), including those that are not recorded yet. Return None if there are none."""
        timed = {"metadata.campaign_id": campaign_id, "output.seconds": {"$gt": 0}}
        mean = {"$group": {"_id": None, "mean": {"$avg": "$output.seconds"}}}
        found = list(self.database["jobflow_outputs"].aggregate([{"$match": timed}, mean]))
        return float(found[0]["mean"]) if found else None

    def relaxation_outputs(self) -> list[dict[str, Any]]:
        """Return the outputs of all relaxations of the database, as jobflow stored them (`workflows.documents`)."""
        found = self.database["jobflow_outputs"].find({"output.structure_id": {"$exists": True}}, {"output": 1})
        return [document["output"] for document in found]


def _analysed(relaxation: dict[str, Any]) -> dict[str, Any]:
    """Return the worker's analysis of a structure, if its pymatgen version was the same, because pymatgen contains the corrections."""
    if (relaxation.get("versions") or {}).get("pymatgen") != version("pymatgen"):
        return {}
    correction = relaxation.get("mp2020_correction_per_atom")
    return {"space_group": relaxation.get("space_group"), "correction_per_atom": correction}
