"""An open campaign database: its address, its collections and its current schema. This module knows no collection's fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from pymongo import MongoClient

from ccdcgan_al.errors import MongoError
from ccdcgan_al.settings import Settings
from launchpad.database.migrations import prepare, repair
from launchpad.database.model_store import ModelStore
from launchpad.database.queries import QUERIES
from launchpad.uri import DURABLE, PATIENCE_SECONDS, database_name

TIMEOUT_SECONDS = 30.0


def now() -> datetime:
    """Return the time to store with a write."""
    return datetime.now(UTC)


class CampaignDatabase:
    """The collections of one database. docs/database.md has their fields.

    Parameters
    ----------
    mongo_uri : str
        MongoDB URI that names the database.
    timeout : float
        Time to wait for a server that does not answer (s).

    Raises
    ------
    MongoError
        If the database has a newer schema version.
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
    def of_worker(cls) -> Self:
        """Open the database of this worker's environment. If the database does not answer, the worker waits.

        Raises
        ------
        MongoError
            If `CCDCGAN_AL_MONGO_URI` is not set.
        """
        uri = Settings().mongo_uri
        if uri is None:
            raise MongoError("a training worker needs CCDCGAN_AL_MONGO_URI: source environment.sh of the config folder")
        return cls(uri.get_secret_value(), PATIENCE_SECONDS)

    @property
    def name(self) -> str:
        """Name of the database."""
        return self.database.name

    def repair(self) -> int:
        """Create missing validators and indexes of this version, and return the schema version."""
        return repair(self.database)

    def ask(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Run one of the queries of docs/queries.md.

        Parameters
        ----------
        query : str
            Name of the query in `launchpad.database.queries.QUERIES`.
        **values : str, int or float
            Parameters of the query.

        Returns
        -------
        list of dict
            Shown fields of each document, in the query's order.
        """
        return QUERIES[query].run(self.database, **values)
