"""The queries of docs/queries.md, as data. The document shows them, its tests run them, and the command line uses them. This module writes nothing.

`python -m launchpad.database.queries` prints docs/queries.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database

EXAMPLE: dict[str, Any] = {
    "system": "Bi-Se",
    "campaign_id": "Bi-Se-ccdcgan-0-7d22b04c",
    "structure_id": "Bi-Se-r1-0000",
    "round_number": 1,
    "within": 0.05,
}
"""Example values of the document's queries. They are also the first lines of its Python blocks."""

LINE = 120  # maximum number of characters of a line of Python
_NEAR = {"$gte": 0, "$lte": ":within"}


@dataclass(frozen=True)
class Query:
    """One query: a find, or an aggregation if there is a pipeline.

    Attributes
    ----------
    question : str
        Question that the query answers.
    collection : str
        Name of the collection.
    where : mapping
        Filter. A string that is a colon and a name of `EXAMPLE` stands for the value.
    show : tuple of str, optional
        Fields to show. Empty means all.
    sort : tuple of str, optional
        Fields to sort by, in ascending order.
    stages : tuple of mapping, optional
        Stages of an aggregation, after the filter.
    """

    question: str
    collection: str
    where: Mapping[str, Any]
    show: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()

    def parameters(self) -> list[str]:
        """Return the names of the query's parameters, in the order of `EXAMPLE`."""
        return [name for name in EXAMPLE if f'":{name}"' in json.dumps([self.where, self.stages])]

    def filled(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return filter and stages with the given values.

        Raises
        ------
        TypeError
            If a value is missing, or is neither text nor number. MongoDB operators are not accepted.
        """
        for name in self.parameters():
            if not isinstance(values.get(name), str | int | float):
                raise TypeError(f"{name} must be a text or a number, got {values.get(name)!r}")
        found: tuple[dict[str, Any], list[dict[str, Any]]] = _fill([self.where, list(self.stages)], values)
        return found[0], found[1]

    def run(self, database: Database[dict[str, Any]], **values: Any) -> list[dict[str, Any]]:
        """Run the query in a database, and return the documents."""
        where, stages = self.filled(values)
        collection = database[self.collection]
        if stages:
            return list(collection.aggregate([{"$match": where}, *stages]))
        cursor = collection.find(where, self._projection())
        return list(cursor.sort([(name, 1) for name in self.sort]) if self.sort else cursor)

    def command(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the query as a command, for `explain`."""
        where, stages = self.filled(values)
        if stages:
            return {"aggregate": self.collection, "pipeline": [{"$match": where}, *stages], "cursor": {}}
        return {"find": self.collection, "filter": where, "sort": dict.fromkeys(self.sort, 1)}

    def python(self) -> str:
        """Return the query as lines of Python for pymongo. `db` is the database."""
        lines = [f"{name} = {json.dumps(EXAMPLE[name])}" for name in self.parameters()]
        if self.stages:
            stages = [{"$match": self.where}, *self.stages]
            lines += [f"found = db.{self.collection}.aggregate(\n    {_literal(stages, 4, whole=False)}\n)"]
        else:
            given = [self.where, *([self._projection()] if self.show else [])]
            arguments = "".join(f"    {_literal(item, 4)},\n" for item in given)
            order = f'.sort("{self.sort[0]}")' if self.sort else ""
            lines += [f"found = db.{self.collection}.find(\n{arguments}){order}"]
        return "\n".join([*lines, "for document in found:", "    print(document)"])

    def mongosh(self) -> str:
        """Return the query as a line for mongosh."""
        where, stages = self.filled(EXAMPLE)
        if self.stages:
            lines = "".join(f"  {json.dumps(stage)},\n" for stage in ({"$match": where}, *stages))
            return f"db.{self.collection}.aggregate([\n{lines.removesuffix(',' + chr(10))}\n])"
        shown = f",\n  {json.dumps(self._projection())}" if self.show else ""
        order = f".sort({json.dumps({self.sort[0]: 1})})" if self.sort else ""
        return f"db.{self.collection}.find(\n  {json.dumps(where)}{shown}\n){order}"

    def _projection(self) -> dict[str, int]:
        return {"_id": 0, **dict.fromkeys(self.show, 1)} if self.show else {}


_FIGURES = (
    "campaign_id",
    "structure_id",
    "formula",
    "space_group",
    "formation_energy_per_atom",
    "energy_above_hull",
    "corrected_energy_above_hull",
    "element_references",
    "confirmed",
)

QUERIES: dict[str, Query] = {
    "new_phases": Query(
        "Which new phases are on the hull, or within 50 meV/atom of it?",
        "structures",
        {"chemical_system": ":system", "is_new_phase": True, "energy_above_hull": _NEAR},
        show=_FIGURES,
        sort=("energy_above_hull",),
    ),
    "hull": Query(
        "What is the hull of a system, by each campaign's own method, after its newest round?",
        "hulls",
        {"chemical_system": ":system", "state": "current", "scheme": "uncorrected"},
        show=("campaign_id", "round", "method", "vertices", "entries.structure_id", "entries.energy_above_hull"),
        sort=("method.name",),
    ),
    "hull_of_round": Query(
        "What was the hull after a round?",
        "hulls",
        {"campaign_id": ":campaign_id", "round": ":round_number", "scheme": "uncorrected"},
    ),
    "hull_changes": Query(
        "What did each round change in the hull?",
        "hulls",
        {"campaign_id": ":campaign_id", "scheme": "uncorrected"},
        show=("round", "changes"),
        sort=("round",),
    ),
    "structure": Query(
        "What does a phase descend from? (`source`: prototype or file of a seed; `provenance.models`: sha256s; `fw_ids`: its jobs)",
        "structures",
        {"campaign_id": ":campaign_id", "structure_id": ":structure_id"},
        show=(
            "origin",
            "source",
            "strategy",
            "operation",
            "parents",
            "round",
            "provenance",
            "predicted_energy",
            "uncertainty",
            "fw_ids",
            "duplicate_of",
        ),
    ),
    "models": Query(
        "Which models drew the structures of a round? (their bytes: GridFS `model_files`, by sha256)",
        "models",
        {"campaign_id": ":campaign_id", "round": ":round_number"},
        show=("name", "sha256", "bytes"),
        sort=("name",),
    ),
    "learnt_from": Query(
        "What had these models learnt from? (everything relaxed in earlier rounds)",
        "structures",
        {"campaign_id": ":campaign_id", "state": "relaxed", "round": {"$lt": ":round_number"}},
        show=("structure_id", "origin", "source", "strategy", "formation_energy_per_atom"),
        sort=("round",),
    ),
    "copies": Query(
        "Which structures relaxed into the same phase?",
        "structures",
        {"campaign_id": ":campaign_id", "duplicate_of": ":structure_id"},
        show=("structure_id", "origin", "source", "strategy", "energy_above_hull"),
    ),
    "best": Query(
        "What is lowest at each composition?",
        "structures",
        {"chemical_system": ":system", "energy_above_hull": {"$gte": 0}},
        stages=(
            {"$sort": {"chemical_system": 1, "formula": 1, "energy_above_hull": 1}},
            {
                "$group": {
                    "_id": "$formula",
                    "structure_id": {"$first": "$structure_id"},
                    "campaign_id": {"$first": "$campaign_id"},
                    "space_group": {"$first": "$space_group"},
                    "origin": {"$first": "$origin"},
                    "energy_above_hull": {"$first": "$energy_above_hull"},
                    "structures": {"$sum": 1},
                }
            },
            {"$sort": {"energy_above_hull": 1, "_id": 1}},
        ),
    ),
    "near_hull": Query(
        "What lies near a campaign's hull, and what does the confirming method say?",
        "structures",
        {"campaign_id": ":campaign_id", "energy_above_hull": _NEAR},
        show=_FIGURES,
        sort=("energy_above_hull",),
    ),
    "correction_driven": Query(
        "Which phases are on the hull through the MP2020 corrections only, and so no discovery?",
        "structures",
        {"campaign_id": ":campaign_id", "energy_above_hull": {"$gte": 0}, "correction_driven": True},
        show=_FIGURES,
    ),
    "element_driven": Query(
        "Which phases does one choice of the elements' energies alone put on the hull, and so no discovery?",
        "structures",
        {"campaign_id": ":campaign_id", "energy_above_hull": {"$gte": 0}, "element_driven": True},
        show=(*_FIGURES, "own_elements_energy_above_hull"),
    ),
    "failures": Query(
        "What failed, and why?",
        "structures",
        {"campaign_id": ":campaign_id", "reason": {"$type": "string"}},
        stages=(
            {"$match": {"state": "failed"}},
            {"$group": {"_id": "$reason", "structures": {"$sum": 1}, "example": {"$first": "$message"}}},
            {"$sort": {"structures": -1, "_id": 1}},
        ),
    ),
    "progress": Query(
        "How did it go, round by round?",
        "rounds",
        {"campaign_id": ":campaign_id"},
        show=(
            "round",
            "state",
            "generated",
            "decoded",
            "novel",
            "submitted",
            "relaxed",
            "failed",
            "stable",
            "within_50_mev",
            "constraint_mae_ev_per_atom",
            "opened",
            "closed",
        ),
        sort=("round",),
    ),
    "states": Query(
        "How many structures are in which state?",
        "structures",
        {"campaign_id": ":campaign_id"},
        stages=(
            {"$group": {"_id": {"round": "$round", "state": "$state"}, "structures": {"$sum": 1}}},
            {"$sort": {"_id.round": 1, "_id.state": 1}},
        ),
    ),
    "found_by_round": Query(
        "How many new phases did each round bring?",
        "structures",
        {"chemical_system": ":system", "is_new_phase": True, "energy_above_hull": _NEAR},
        stages=(
            {"$group": {"_id": {"campaign_id": "$campaign_id", "round": "$round"}, "new_phases": {"$sum": 1}}},
            {"$sort": {"_id.campaign_id": 1, "_id.round": 1}},
        ),
    ),
    "parity": Query(
        "How good were the constraint's predictions?",
        "structures",
        {"campaign_id": ":campaign_id", "state": "relaxed", "round": {"$gte": 1}},
        show=("structure_id", "round", "predicted_energy", "uncertainty", "formation_energy_per_atom"),
        sort=("round",),
    ),
    "references": Query(
        "Which references of a system are stored?",
        "references",
        {"chemical_system": ":system", "state": "current"},
        show=("entry_id", "formula", "functional", "source", "thermo_type", "database_version", "fetched"),
    ),
    "campaigns": Query(
        "Which campaigns were run on a system?",
        "campaigns",
        {"chemical_system": ":system"},
        show=("state", "reason", "method", "created"),
        sort=("created",),
    ),
}

_HEAD = """# Queries

Copy and paste. The same queries, as data, are in `launchpad/database/queries.py`: this document is printed from there
(`python -m launchpad.database.queries`), tests run each block on a campaign and see by `explain` that it uses an index, and the
command line asks them. `docs/database.md` has all fields; energies are in eV/atom.

In Python, with the address that `ccdcgan-al database status` names (or your own server's), and in the place of
`{campaign_id}` one that `ccdcgan-al campaigns` lists:

```python
from pymongo import MongoClient

db = MongoClient("mongodb://127.0.0.1:27017/ccdcgan_al").get_default_database()
```

In the shell: `mongosh mongodb://127.0.0.1:27017/ccdcgan_al`.

On the command line: `ccdcgan-al hull Bi-Se --within 0.05`, `hull Bi-Se --changes`, `structures find`, `structures show`,
`export`, `plot`.
"""


def document() -> str:
    """Return docs/queries.md."""
    head = _HEAD.format(campaign_id=EXAMPLE["campaign_id"])
    return head + "".join(
        f"\n## {query.question}\n\n```python\n{query.python()}\n```\n\n```javascript\n{query.mongosh()}\n```\n"
        for query in QUERIES.values()
    )


def structure_filter(
    campaign_ids: Sequence[str],
    *,
    formula: str | None = None,
    within: float | None = None,
    state: str | None = None,
    origin: str | None = None,
    round_number: int | None = None,
    reason: str | None = None,
    new: bool = False,
) -> dict[str, Any]:
    """Return a filter on `structures` for a user's choices. Values are compared and are never used as operators.

    Parameters
    ----------
    campaign_ids : sequence of str
        Names of the campaigns.
    formula : str, optional
        Any formula. It is reduced here.
    within : float, optional
        Maximum energy above hull (eV/atom).
    state : str, optional
        State of the structure, see docs/database.md.
    origin : str, optional
        Origin of the structure, see docs/database.md.
    round_number : int, optional
        Round that relaxed the structure.
    reason : str, optional
        Reason of a failure, see docs/database.md.
    new : bool, default False
        Whether to return only new phases.
    """
    from pymatgen.core import Composition

    where: dict[str, Any] = {"campaign_id": {"$in": list(campaign_ids)}}
    if formula is not None:
        try:
            composition = Composition(formula)
        except (ValueError, KeyError):
            composition = Composition()
        if not composition or not composition.valid:
            raise ValueError(f"{formula!r} is no formula; write it as Bi2Se3")
        where["formula"] = composition.reduced_formula
    if within is not None:
        where["energy_above_hull"] = {"$gte": 0, "$lte": float(within)}
    given = {"state": state, "origin": origin, "round": round_number, "reason": reason}
    where |= {name: {"$eq": value} for name, value in given.items() if value is not None}
    return where | ({"is_new_phase": True} if new else {})


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Return a template in which values replace their names."""
    if isinstance(template, Mapping):
        return {key: _fill(item, values) for key, item in template.items()}
    if isinstance(template, list | tuple):
        return [_fill(item, values) for item in template]
    name = template.removeprefix(":") if isinstance(template, str) else ""
    return values[name] if template == f":{name}" and name in EXAMPLE else template


def _literal(template: Any, indent: int = 0, *, whole: bool = True) -> str:
    """Return a template as Python code, in which names replace values. The line breaks are those of ruff."""
    if not isinstance(template, Mapping | list | tuple):
        name = template.removeprefix(":") if isinstance(template, str) else ""
        if template == f":{name}" and name in EXAMPLE:
            return name
        return json.dumps(template) if isinstance(template, str) else repr(template)
    if isinstance(template, Mapping):
        left, right, items = "{", "}", [(f'"{key}": ', item) for key, item in template.items()]
    else:
        left, right, items = "[", "]", [("", item) for item in template]
    line = left + ", ".join(key + _literal(item) for key, item in items) + right
    if whole and indent + len(line) < LINE:
        return line
    inner = " " * (indent + 4)
    broken = "".join(f"{inner}{key}{_literal(item, indent + 4)},\n" for key, item in items)
    return f"{left}\n{broken}{' ' * indent}{right}"


if __name__ == "__main__":
    sys.stdout.write(document())
