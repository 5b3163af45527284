"""All indexes except those on FireWorks' collections (`launchpad.batches`), in one table with the queries that use them. It runs no query.

`python -m launchpad.database.indexes` prints the tables of docs/database.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from launchpad.database.schema import SCHEMA, markdown

if TYPE_CHECKING:
    from pymongo.database import Database

DUPLICATE_KEY = 11000  # MongoDB's error code for a duplicate in a unique index


@dataclass(frozen=True)
class Index:
    """An index, and the queries that use it.

    Attributes
    ----------
    collection : str
        Name of the collection.
    keys : tuple of str
        Fields, in ascending order.
    serves : str
        Description of the queries that use the index.
    options : dict
        Other options of `create_index`.
    """

    collection: str
    keys: tuple[str, ...]
    serves: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the index in MongoDB."""
        return "_".join(f"{key}_1" for key in self.keys) + (
            "_partial" if "partialFilterExpression" in self.options else ""
        )


def _where(**given: Any) -> dict[str, Any]:
    return {"partialFilterExpression": given}


_UNIQUE = {"unique": True}
INDEXES: tuple[Index, ...] = (
    Index("campaigns", ("created",), "list of campaigns"),
    Index("campaigns", ("chemical_system", "created"), "campaigns of a system"),
    Index(
        "structures",
        ("campaign_id", "structure_id"),
        "one structure, its lineage; all of a campaign, in order",
        _UNIQUE,
    ),
    Index("structures", ("campaign_id", "state", "round"), "a round's structures, progress"),
    Index("structures", ("campaign_id", "reason"), "failures by reason", _where(reason={"$type": "string"})),
    Index(
        "structures",
        ("chemical_system", "energy_above_hull"),
        "new phases on or near the hull",
        _where(is_new_phase=True),
    ),
    Index(
        "structures",
        ("chemical_system", "formula", "energy_above_hull"),
        "best per composition",
        _where(energy_above_hull={"$gte": 0}),
    ),
    Index(
        "structures",
        ("campaign_id", "energy_above_hull"),
        "whatever lies within so much of a campaign's hull",
        _where(energy_above_hull={"$gte": 0}),
    ),
    Index("structures", ("campaign_id", "duplicate_of"), "copies of a phase", _where(duplicate_of={"$type": "string"})),
    Index(
        "structures",
        ("campaign_id", "distortion.state"),
        "phases relaxed again from a distortion",
        _where(distortion={"$exists": True}),
    ),
    Index("rounds", ("campaign_id", "round"), "progress by round", _UNIQUE),
    Index("hulls", ("campaign_id", "round", "method.name", "scheme"), "the hull after a round", _UNIQUE),
    Index("hulls", ("chemical_system", "state", "method.name", "scheme"), "current hulls of a system"),
    Index("models", ("campaign_id", "round", "name"), "models of a campaign", _UNIQUE),
    Index("models", ("sha256",), "which rounds a model's bytes belong to"),
    Index("references", ("key",), "an entry is stored once", _UNIQUE),
    Index("references", ("chemical_system", "state", "functional"), "reference phases of a system"),
    Index("jobflow_outputs", ("uuid", "index"), "jobflow's own look-ups, for which it makes no index"),
    Index("jobflow_outputs", ("metadata.campaign_id",), "times of a campaign's relaxations"),
)


def ensure_indexes(database: Database[dict[str, Any]]) -> None:
    """Create the missing indexes. For existing indexes this costs only one request for each collection."""
    from pymongo import IndexModel

    for collection in {index.collection: None for index in missing_indexes(database)}:
        mine = [index for index in INDEXES if index.collection == collection]
        database[collection].create_indexes(
            [IndexModel([(key, 1) for key in index.keys], name=index.name, **index.options) for index in mine]
        )


def missing_indexes(database: Database[dict[str, Any]]) -> list[Index]:
    """Return the missing indexes."""
    there = {name: database[name].index_information() for name in dict.fromkeys(i.collection for i in INDEXES)}
    return [index for index in INDEXES if index.name not in there[index.collection]]


def index_table() -> str:
    """Return the table of all indexes for docs/database.md."""
    rows = ["| collection | keys | options | serves |", "|---|---|---|---|"]
    for index in INDEXES:
        keys = ", ".join(f"`{key}`" for key in index.keys)
        rows.append(f"| `{index.collection}` | {keys} | {_options(index)} | {index.serves} |")
    return "\n".join(rows) + "\n"


def _options(index: Index) -> str:
    if index.options.get("unique"):
        return "unique"
    where = index.options.get("partialFilterExpression", {})
    return ", ".join(f"where `{name}` is {_condition(value)}" for name, value in where.items())


def _condition(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{next(iter(value))} {next(iter(value.values()))}"


if __name__ == "__main__":
    for name in SCHEMA:
        sys.stdout.write(f"### `{name}`\n\n{markdown(name)}\n")
    sys.stdout.write(f"## Indexes\n\n{index_table()}")
