"""What the documents of each collection hold: the one table that validators and docs/database.md are made from. It reads and writes no database.

`python -m launchpad.database.indexes` prints the tables of docs/database.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STRUCTURE_STATES = ("generated", "submitted", "relaxed", "failed", "withheld", "withdrawn")
KINDS = ("relaxation", "confirmation", "distortion")
"""What a structure is relaxed for: the campaign's own energy, the confirming method's, the return from a distortion."""


@dataclass(frozen=True)
class Field:
    """One field of a document.

    Attributes
    ----------
    types : str
        Names of BSON types, separated by `|`; ``null`` where nothing is known.
    meaning : str
        In words, with the unit.
    required : bool, default False
        Whether each document has it.
    among : tuple of str, optional
        The only values that it takes.
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


_UPDATED = Field("date", "when the document was last written", required=True)
_CAMPAIGN = Field("string", "the campaign that it is of", required=True)
_SYSTEM = Field("string", "chemical system of the campaign, elements in alphabetical order: `Bi-Se`", required=True)
_ROUND = Field("int|long", "round of the campaign, 0 for the seeds", required=True)
_PROVENANCE = Field("object", "where it came from: `code_version` and what else is known", required=True)
_ENERGY, _COUNT = "double|int|long|null", "int|long"

SCHEMA: dict[str, dict[str, Field]] = {
    "campaigns": {
        "_id": Field("string", "the campaign's name: system, strategy, seed, hash of all choices", required=True),
        "state": Field("string", "how it stands", required=True, among=("running", "completed", "stopped")),
        "reason": Field("string|null", "why it ended"),
        "chemical_system": _SYSTEM,
        "method": Field("string", "what relaxes: `sevennet`, `vasp`, ...", required=True),
        "campaign": Field("object", "all its choices (`ccdcgan_al.campaign.Campaign`)", required=True),
        "code_version": Field("string", "version of ccdcgan-al that made it", required=True),
        "created": Field("date", "when it was made", required=True),
        "last_updated": _UPDATED,
    },
    "structures": {
        "campaign_id": _CAMPAIGN,
        "structure_id": Field(
            "string",
            "its name in the campaign: system, round, rank: `Bi-Se-r1-0007`; not chosen: `Bi-Se-g-` and its fingerprint",
            required=True,
        ),
        "state": Field(
            "string",
            "`generated`: valid and new, not chosen; `submitted`: to be relaxed; then `relaxed` or `failed`; `withheld`: "
            "relaxed into what the campaign must not be given; `withdrawn`: the campaign was stopped before",
            required=True,
            among=STRUCTURE_STATES,
        ),
        "reason": Field("string|null", "why it failed, was withheld or withdrawn: `unphysical`, `not_converged`, ..."),
        "message": Field("string|null", "what came and what was wanted, where it failed"),
        "chemical_system": _SYSTEM,
        "elements": Field("array", "its own elements, in alphabetical order", required=True),
        "formula": Field("string", "reduced formula", required=True),
        "n_sites": Field(_COUNT, "sites of its unrelaxed cell", required=True),
        "fingerprint": Field(
            "string|null", "the same for exact copies of the unrelaxed structure: other order, origin or cell vectors"
        ),
        "origin": Field("string", "where it entered the loop", required=True, among=("reference", "seed", "generated")),
        "round": _ROUND,
        "source": Field(
            "string",
            "label of a seed: its prototype, or the name of its file; empty where a strategy proposed it",
            required=True,
        ),
        "strategy": Field("string|null", "what proposed it; null for seeds", required=True),
        "operation": Field(
            "string|null",
            "what was done to its parents: `swap`, `transmute` or `slip`; null where it has none",
            required=True,
        ),
        "parents": Field("array", "structure_ids of the structures that it was made from", required=True),
        "start": Field("object", "the unrelaxed structure (pymatgen dict)", required=True),
        "predicted_energy": Field(_ENERGY, "formation energy that the constraint predicted (eV/atom)"),
        "uncertainty": Field(_ENERGY, "standard deviation of that prediction (eV/atom)"),
        "provenance": Field(
            "object",
            "`strategy`, `round`, `seed` (random), `code_version`, and `models`: name -> sha256 of the models that drew it",
            required=True,
        ),
        "fw_ids": Field("object", "Fireworks that relaxed it: `relaxation`, `confirmation`, `distortion` -> fw_id"),
        "attempts": Field(
            "array",
            "everything that ever came back, in order, nothing overwritten: `attempt_id`, `kind`, and the relaxation document",
        ),
        "relaxation": Field("object", "newest valid attempt by the campaign's method, else the newest failure"),
        "confirmation": Field("object", "the same by the confirming method"),
        "distortion": Field("object", "the same from a small distortion of the relaxed structure"),
        "method": Field("string|null", "name of the method of the energies below"),
        "functional": Field("string|null", "its functional: `PBE`, ..."),
        "energy_per_atom": Field(_ENERGY, "total energy, uncorrected (eV/atom)"),
        "formation_energy_per_atom": Field(_ENERGY, "against the elements that `element_references` names (eV/atom)"),
        "energy_above_hull": Field(_ENERGY, "above the campaign's uncorrected hull after `hull_round` (eV/atom, >= 0)"),
        "corrected_formation_energy_per_atom": Field(_ENERGY, "the same with MP2020 corrections (eV/atom)"),
        "corrected_energy_above_hull": Field(_ENERGY, "the same with MP2020 corrections (eV/atom)"),
        "correction_driven": Field("bool|null", "on the corrected hull only: no discovery"),
        "element_references": Field(
            "string|null",
            "whose energies of the elements set the zero: `materials_project`, or `own` for those of the method",
        ),
        "own_elements_formation_energy_per_atom": Field(_ENERGY, "against the method's own elements (eV/atom)"),
        "own_elements_energy_above_hull": Field(_ENERGY, "above the hull with the method's own elements (eV/atom)"),
        "element_driven": Field("bool|null", "on one of the two uncorrected hulls only: no discovery"),
        "space_group": Field("string|null", "Hermann-Mauguin symbol of the relaxed structure (symprec 0.1 Å)"),
        "hull_round": Field("int|long|null", "the round whose hull the figures above are against"),
        "is_new_phase": Field(
            "bool|null",
            "generated, within 0.1 eV/atom of the hull, the lowest of the structures that match it, matching no reference "
            "and no seed, physically sound, not correction-driven, as near with the method's own elements, "
            "not lost by a distortion; how close to the hull says `energy_above_hull`",
        ),
        "duplicate_of": Field(
            "string|null",
            "structure_id of the phase that it relaxed into too (compared within 0.1 eV/atom of the hull)",
        ),
        "confirmed": Field(
            "object",
            "`method`, `energy_per_atom`, `formation_energy_per_atom`, `energy_above_hull` (eV/atom), `element_references` by the confirming "
            "method, against that method's own hull; or `problem`, where that relaxes it into another structure",
        ),
        "last_updated": _UPDATED,
    },
    "rounds": {
        "campaign_id": _CAMPAIGN,
        "round": _ROUND,
        "state": Field("string", "how it stands", required=True, among=("open", "closed")),
        "opened": Field("date", "when it was opened", required=True),
        "closed": Field("date", "when its last relaxation was recorded"),
        "batches": Field(_COUNT, "workflows that it was split into"),
        "returned": Field("array", "numbers of the batches that are back"),
        "closing_batch": Field("int|long|null", "the batch that closes the round"),
        "lacking": Field("array", "elements of which no seed was relaxed, in round 0"),
        "further": Field(
            "array",
            "structure_ids of the further prototypes of those elements that were relaxed before the round was closed",
        ),
        "not_learnt": Field(
            "int|long|null", "relaxed structures that the codec cannot hold, so that nothing was learnt from them"
        ),
        "screened": Field("int|long|null", "crystal graphs drawn and screened by the constraint; 0 where none were"),
        "generated": Field("int|long|null", "crystal graphs decoded, crystals drawn, and mutants made"),
        "mutants": Field(
            "int|long|null", "of these, known structures with atoms swapped or transmuted, or layers slipped"
        ),
        "decoded": Field("int|long|null", "of those generated, structures within the codec's limits"),
        "decode_failures": Field("object|null", "why others were not: reason -> number"),
        "valid": Field("int|long|null", "of those decoded, with distances >= 0.5 Å and volume >= 0.1 Å^3"),
        "strict": Field("int|long|null", "of these, with distances >= 0.7 sums of covalent radii"),
        "unique": Field("int|long|null", "of these, the first of their kind"),
        "novel": Field("int|long|null", "of these, matching nothing ever submitted"),
        "submitted": Field("int|long|null", "relaxations"),
        "relaxed": Field("int|long|null", "relaxations that gave an energy"),
        "failed": Field("int|long|null", "relaxations that did not"),
        "failures": Field("object|null", "why: reason -> number"),
        "stable": Field("int|long|null", "new phases on the hull whose first copy is of this round"),
        "within_50_mev": Field("int|long|null", "within 50 meV/atom of it"),
        "within_100_mev": Field("int|long|null", "within 100 meV/atom of it"),
        "constraint_mae_ev_per_atom": Field(_ENERGY, "mean absolute error of the constraint, held out (eV/atom)"),
        "constraint_mae_structures": Field("int|long|null", "over so many structures"),
        "diversity": Field("object|null", "how different the drawn graphs are (`ccdcgan_al.models.diversity`)"),
        "warning": Field("string|null", "what was odd, such as mode collapse"),
        "models": Field("object|null", "name -> sha256 of what was trained for this round"),
        "code_version": Field("string", "version of ccdcgan-al that opened it", required=True),
        "last_updated": _UPDATED,
    },
    "hulls": {
        "campaign_id": _CAMPAIGN,
        "round": _ROUND,
        "chemical_system": _SYSTEM,
        "method": Field("object", "`name`, `calculator`, `version`, `functional`, `corrections`", required=True),
        "scheme": Field("string", "of energies", required=True, among=("uncorrected", "MP2020")),
        "element_references": Field(
            "object",
            "what sets the zero: `scheme` (`materials_project` or `own`), `energies` at the corners, `deviations` of the method's elements "
            "from the Materials Project's (eV/atom, by symbol), `warnings`",
        ),
        "reason": Field("string|null", "why a corrected hull is empty"),
        "state": Field(
            "string", "`current` for a campaign's newest round", required=True, among=("current", "superseded")
        ),
        "vertices": Field("array", "structure_ids of what spans the hull", required=True),
        "entries": Field(
            "array", "what is on or near the hull, lowest first (`ccdcgan_al.types.HullEntry`)", required=True
        ),
        "changes": Field("object", "what the round changed in the uncorrected hull (`ccdcgan_al.hull.changes`)"),
        "within": Field("double", "entries lie at most so far above the hull (eV/atom)", required=True),
        "total": Field(
            _COUNT, "relaxed structures that the hull was made from; `structures` has the figures of all", required=True
        ),
        "code_version": Field("string", "version of ccdcgan-al that made it", required=True),
        "last_updated": _UPDATED,
    },
    "models": {
        "campaign_id": _CAMPAIGN,
        "round": _ROUND,
        "name": Field("string", "`generator`, `constraint-0`, ...", required=True),
        "state": Field("string", "how it stands", required=True, among=("stored",)),
        "sha256": Field("string", "of its bytes, and their name in GridFS (`model_files`)", required=True),
        "bytes": Field(_COUNT, "how many", required=True),
        "provenance": _PROVENANCE,
        "last_updated": _UPDATED,
    },
    "references": {
        "key": Field("string", "source, functional and entry_id: the same entry is stored once", required=True),
        "state": Field(
            "string",
            "`superseded` where a newer database version is there",
            required=True,
            among=("current", "superseded"),
        ),
        "chemical_system": Field(
            "string", "the entry's own elements in alphabetical order: `Bi` or `Bi-Se`", required=True
        ),
        "formula": Field("string", "reduced formula", required=True),
        "source": Field("string", "where it came from", required=True, among=("materials_project", "file")),
        "thermo_type": Field("string|null", "of the Materials Project: `GGA_GGA+U`, `R2SCAN`"),
        "functional": Field("string", "`PBE`, `PBE+U`, `r2SCAN`: a hull takes those of one family", required=True),
        "entry_id": Field("string", "such as `mp-23092-GGA`", required=True),
        "entry": Field(
            "object", "pymatgen ComputedStructureEntry dict, with its correction and parameters", required=True
        ),
        "database_version": Field("string|null", "of the Materials Project"),
        "fetched": Field("date", "when it was fetched or read", required=True),
        "last_updated": _UPDATED,
    },
}


def validator(collection: str) -> dict[str, Any]:
    """Return MongoDB's JSON-schema validator of a collection; further fields are allowed."""
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
