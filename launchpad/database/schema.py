"""The fields of each collection's documents, in one table. Validators and docs/database.md are made from it. This module reads no database.

`python -m launchpad.database.indexes` prints the tables of docs/database.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STRUCTURE_STATES = ("generated", "submitted", "relaxed", "failed", "withheld", "withdrawn")
KINDS = ("relaxation", "confirmation", "distortion")
"""Purposes of a relaxation: energy by the campaign's method, energy by the confirming method, return from a distortion."""


@dataclass(frozen=True)
class Field:
    """One field of a document.

    Attributes
    ----------
    types : str
        Names of BSON types, separated by `|`. ``null`` means not known.
    meaning : str
        Description with the unit.
    required : bool, default False
        Whether every document has the field.
    among : tuple of str, optional
        Allowed values, if they are limited.
    """

    types: str
    meaning: str
    required: bool = False
    among: tuple[str, ...] = ()

    def as_schema(self) -> dict[str, Any]:
        """Return the field's part of a JSON schema."""
        types = self.types.split("|")
        schema: dict[str, Any] = {"bsonType": types if len(types) > 1 else types[0], "description": self.meaning}
        return schema | ({"enum": list(self.among)} if self.among else {})


_UPDATED = Field("date", "time of the last change", required=True)
_CAMPAIGN = Field("string", "campaign of the document", required=True)
_SYSTEM = Field(
    "string", "chemical system of the campaign, with the elements in alphabetical order: `Bi-Se`", required=True
)
_ROUND = Field("int|long", "round of the campaign; 0 for the seeds", required=True)
_PROVENANCE = Field("object", "origin of the document: `code_version`, and more if it is known", required=True)
_ENERGY, _COUNT = "double|int|long|null", "int|long"

SCHEMA: dict[str, dict[str, Field]] = {
    "campaigns": {
        "_id": Field("string", "name of the campaign: system, strategy, seed, hash of all choices", required=True),
        "state": Field("string", "state of the campaign", required=True, among=("running", "completed", "stopped")),
        "reason": Field("string|null", "reason for the end"),
        "chemical_system": _SYSTEM,
        "method": Field("string", "method that relaxes: `sevennet`, `vasp`, ...", required=True),
        "campaign": Field("object", "all choices (`ccdcgan_al.campaign.Campaign`)", required=True),
        "code_version": Field("string", "version of ccdcgan-al that created it", required=True),
        "created": Field("date", "time of creation", required=True),
        "last_updated": _UPDATED,
    },
    "structures": {
        "campaign_id": _CAMPAIGN,
        "structure_id": Field(
            "string",
            "name in the campaign: system, round and rank (`Bi-Se-r1-0007`), or `Bi-Se-g-` and the fingerprint if it was not selected",
            required=True,
        ),
        "state": Field(
            "string",
            "`generated`: valid and new, not selected; `submitted`: waits for relaxation; then `relaxed` or `failed`; `withheld`: "
            "relaxed into a withheld structure; `withdrawn`: the campaign was stopped before the relaxation began",
            required=True,
            among=STRUCTURE_STATES,
        ),
        "reason": Field(
            "string|null", "reason of the states failed, withheld and withdrawn: `unphysical`, `not_converged`, ..."
        ),
        "message": Field("string|null", "details of a failure"),
        "chemical_system": _SYSTEM,
        "elements": Field("array", "elements of the structure, in alphabetical order", required=True),
        "formula": Field("string", "reduced formula", required=True),
        "n_sites": Field(_COUNT, "number of sites in the unrelaxed cell", required=True),
        "fingerprint": Field(
            "string|null",
            "the same for exact copies of the unrelaxed structure, also with another order, origin or cell vectors",
        ),
        "origin": Field(
            "string", "how the structure entered the loop", required=True, among=("reference", "seed", "generated")
        ),
        "round": _ROUND,
        "source": Field(
            "string",
            "label of a seed: its prototype or file name; empty for a structure that a strategy proposed",
            required=True,
        ),
        "strategy": Field("string|null", "strategy that proposed it; null for seeds", required=True),
        "operation": Field(
            "string|null",
            "operation on the parents: `swap`, `transmute` or `slip`; null without parents",
            required=True,
        ),
        "parents": Field("array", "structure_ids of the structures from which it was made", required=True),
        "start": Field("object", "the unrelaxed structure (pymatgen dict)", required=True),
        "predicted_energy": Field(_ENERGY, "formation energy predicted by the constraint (eV/atom)"),
        "uncertainty": Field(_ENERGY, "standard deviation of that prediction (eV/atom)"),
        "provenance": Field(
            "object",
            "`strategy`, `round`, `seed` (random), `code_version`, and `models`: name -> sha256 of the models that generated it",
            required=True,
        ),
        "fw_ids": Field("object", "Fireworks that relaxed it: `relaxation`, `confirmation`, `distortion` -> fw_id"),
        "attempts": Field(
            "array",
            "all results in order, none is overwritten: `attempt_id`, `kind`, and the relaxation document",
        ),
        "relaxation": Field("object", "newest valid attempt by the campaign's method, otherwise the newest failure"),
        "confirmation": Field("object", "the same, by the confirming method"),
        "distortion": Field("object", "the same, from a small distortion of the relaxed structure"),
        "method": Field("string|null", "name of the method of the energies below"),
        "functional": Field("string|null", "functional of the method: `PBE`, ..."),
        "energy_per_atom": Field(_ENERGY, "total energy, uncorrected (eV/atom)"),
        "formation_energy_per_atom": Field(_ENERGY, "relative to the elements named by `element_references` (eV/atom)"),
        "energy_above_hull": Field(_ENERGY, "above the campaign's uncorrected hull after `hull_round` (eV/atom, >= 0)"),
        "corrected_formation_energy_per_atom": Field(_ENERGY, "the same with MP2020 corrections (eV/atom)"),
        "corrected_energy_above_hull": Field(_ENERGY, "the same with MP2020 corrections (eV/atom)"),
        "correction_driven": Field("bool|null", "on the corrected hull only: no discovery"),
        "element_references": Field(
            "string|null",
            "source of the element energies: `materials_project`, or `own` for the method's own",
        ),
        "own_elements_formation_energy_per_atom": Field(_ENERGY, "relative to the method's own elements (eV/atom)"),
        "own_elements_energy_above_hull": Field(_ENERGY, "above the hull with the method's own elements (eV/atom)"),
        "element_driven": Field("bool|null", "on one of the two uncorrected hulls only: no discovery"),
        "space_group": Field("string|null", "Hermann-Mauguin symbol of the relaxed structure (symprec 0.1 Å)"),
        "hull_round": Field("int|long|null", "round of the hull to which the energies above refer"),
        "is_new_phase": Field(
            "bool|null",
            "true for a generated structure that (1) lies within 0.1 eV/atom of the hull, also with the method's own elements, "
            "(2) is the lowest of the structures that match it, (3) matches no reference and no seed, (4) passes the geometry checks, "
            "(5) is not correction_driven, and (6) survives a small distortion",
        ),
        "duplicate_of": Field(
            "string|null",
            "structure_id of another structure that relaxed into the same phase (compared within 0.1 eV/atom of the hull)",
        ),
        "confirmed": Field(
            "object",
            "`method`, `energy_per_atom`, `formation_energy_per_atom`, `energy_above_hull` (eV/atom), `element_references` by the confirming "
            "method, relative to that method's own hull; or `method` and `problem`, if it relaxes into another structure or not at all",
        ),
        "last_updated": _UPDATED,
    },
    "rounds": {
        "campaign_id": _CAMPAIGN,
        "round": _ROUND,
        "state": Field("string", "state of the round", required=True, among=("open", "closed")),
        "opened": Field("date", "time of opening", required=True),
        "closed": Field("date", "time at which the last relaxation was recorded"),
        "batches": Field(_COUNT, "number of workflows of the round"),
        "returned": Field("array", "numbers of the batches that have returned"),
        "closing_batch": Field("int|long|null", "the batch that closes the round"),
        "lacking": Field("array", "elements without a relaxed seed, in round 0"),
        "further": Field(
            "array",
            "structure_ids of further prototypes of these elements, relaxed before the round was closed",
        ),
        "not_learnt": Field(
            "int|long|null",
            "number of relaxed structures outside the limits of the codec; nothing is learned from them",
        ),
        "screened": Field("int|long|null", "number of crystal graphs that the constraint screened"),
        "generated": Field("int|long|null", "number of decoded crystal graphs, drawn crystals and mutants"),
        "mutants": Field(
            "int|long|null",
            "number of mutants among them: known structures with swapped or transmuted atoms, or slipped layers",
        ),
        "decoded": Field("int|long|null", "number of generated structures within the limits of the codec"),
        "decode_failures": Field("object|null", "reasons of the others: reason -> number"),
        "valid": Field("int|long|null", "number of decoded structures with distances >= 0.5 Å and volume >= 0.1 Å^3"),
        "strict": Field("int|long|null", "number of these with distances >= 0.7 times the sum of covalent radii"),
        "unique": Field("int|long|null", "number of these that match no other of them"),
        "novel": Field("int|long|null", "number of these that match nothing submitted before"),
        "submitted": Field("int|long|null", "number of relaxations"),
        "relaxed": Field("int|long|null", "number of relaxations with an energy"),
        "failed": Field("int|long|null", "number of failed relaxations"),
        "failures": Field("object|null", "reasons of failure: reason -> number"),
        "stable": Field("int|long|null", "number of new phases on the hull whose first copy belongs to this round"),
        "within_50_mev": Field("int|long|null", "the same within 50 meV/atom of the hull"),
        "within_100_mev": Field("int|long|null", "the same within 100 meV/atom of the hull"),
        "constraint_mae_ev_per_atom": Field(
            _ENERGY, "mean absolute error of the constraint on held-out structures (eV/atom)"
        ),
        "constraint_mae_structures": Field("int|long|null", "number of held-out structures"),
        "diversity": Field("object|null", "diversity of the drawn graphs (`ccdcgan_al.models.diversity`)"),
        "warning": Field("string|null", "warning, for example of mode collapse"),
        "models": Field("object|null", "name -> sha256 of the models trained for this round"),
        "code_version": Field("string", "version of ccdcgan-al that opened the round", required=True),
        "last_updated": _UPDATED,
    },
    "hulls": {
        "campaign_id": _CAMPAIGN,
        "round": _ROUND,
        "chemical_system": _SYSTEM,
        "method": Field("object", "`name`, `calculator`, `version`, `functional`, `corrections`", required=True),
        "scheme": Field("string", "correction scheme of the energies", required=True, among=("uncorrected", "MP2020")),
        "element_references": Field(
            "object",
            "references of the formation energies: `scheme` (`materials_project` or `own`), `energies` at the corners, `deviations` of the method's "
            "elements from the Materials Project's (eV/atom, by symbol), `warnings`",
        ),
        "reason": Field("string|null", "reason for an empty corrected hull"),
        "state": Field(
            "string", "`current` for the newest round of a campaign", required=True, among=("current", "superseded")
        ),
        "vertices": Field("array", "structure_ids of the vertices of the hull", required=True),
        "entries": Field(
            "array", "phases on or near the hull, lowest first (`ccdcgan_al.types.HullEntry`)", required=True
        ),
        "changes": Field("object", "changes of the uncorrected hull in this round (`ccdcgan_al.hull.changes`)"),
        "within": Field("double", "largest energy above the hull of the entries (eV/atom)", required=True),
        "total": Field(
            _COUNT,
            "number of relaxed structures from which the hull was built; `structures` has the energies of all",
            required=True,
        ),
        "code_version": Field("string", "version of ccdcgan-al that built it", required=True),
        "last_updated": _UPDATED,
    },
    "models": {
        "campaign_id": _CAMPAIGN,
        "round": _ROUND,
        "name": Field("string", "`generator`, `constraint-0`, ...", required=True),
        "state": Field("string", "state of the model", required=True, among=("stored",)),
        "sha256": Field("string", "sha256 of the bytes, and their name in GridFS (`model_files`)", required=True),
        "bytes": Field(_COUNT, "number of bytes", required=True),
        "provenance": _PROVENANCE,
        "last_updated": _UPDATED,
    },
    "references": {
        "key": Field("string", "source, functional and entry_id; the same entry is stored once", required=True),
        "state": Field(
            "string",
            "`superseded` if a newer database version is stored",
            required=True,
            among=("current", "superseded"),
        ),
        "chemical_system": Field(
            "string", "the entry's own elements in alphabetical order: `Bi` or `Bi-Se`", required=True
        ),
        "formula": Field("string", "reduced formula", required=True),
        "source": Field("string", "source of the entry", required=True, among=("materials_project", "file")),
        "thermo_type": Field("string|null", "thermo type of the Materials Project: `GGA_GGA+U`, `R2SCAN`"),
        "functional": Field("string", "`PBE`, `PBE+U` or `r2SCAN`; a hull takes only one family", required=True),
        "entry_id": Field("string", "id of the entry, for example `mp-23092-GGA`", required=True),
        "entry": Field(
            "object", "pymatgen ComputedStructureEntry dict, with its correction and parameters", required=True
        ),
        "database_version": Field("string|null", "database version of the Materials Project"),
        "fetched": Field("date", "time at which it was fetched or read", required=True),
        "last_updated": _UPDATED,
    },
}


def validator(collection: str) -> dict[str, Any]:
    """Return MongoDB's JSON-schema validator of a collection. Further fields are allowed."""
    fields = SCHEMA[collection]
    return {
        "$jsonSchema": {
            "bsonType": "object",
            "required": [name for name, item in fields.items() if item.required],
            "properties": {name: item.as_schema() for name, item in fields.items()},
        }
    }


def markdown(collection: str) -> str:
    """Return the table of a collection's fields, as docs/database.md holds it."""
    rows = ["| field | type | what |", "|---|---|---|"]
    for name, item in SCHEMA[collection].items():
        values = (
            f" ({', '.join(f'`{value}`' for value in item.among)})" if item.among and "`" not in item.meaning else ""
        )
        optional = "" if item.required else ", optional"
        rows.append(f"| `{name}` | {item.types.replace('|', ' or ')}{optional} | {item.meaning}{values} |")
    return "\n".join(rows) + "\n"
