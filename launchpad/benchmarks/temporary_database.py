"""A temporary MongoDB and config folder for one measurement. They are removed afterwards. Other databases are not touched."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fireworks import LaunchPad

from ccdcgan_al.settings import Settings
from launchpad.database.store import CampaignStore
from launchpad.service.configure import open_launchpad, write_config
from launchpad.service.mongod import ensure_mongo, mongo_status, stop_local_mongo


@dataclass(frozen=True)
class TemporaryDatabase:
    """The database of a measurement.

    Attributes
    ----------
    uri : str
        Address of the MongoDB.
    config : Path
        Config folder.
    launchpad : LaunchPad
        Open LaunchPad.
    store : CampaignStore
        Open store.
    mongod : int
        Process id of the MongoDB.
    """

    uri: str
    config: Path
    launchpad: LaunchPad
    store: CampaignStore
    mongod: int


@contextmanager
def temporary_database() -> Iterator[TemporaryDatabase]:
    """Start a MongoDB in a temporary folder. Afterwards it is stopped and the folder is removed."""
    with tempfile.TemporaryDirectory(prefix="ccdcgan-al-benchmark-", ignore_cleanup_errors=True) as home:
        settings = Settings(home=Path(home), mongo_uri=None)
        try:
            uri = ensure_mongo(settings)
            config = write_config(settings.home / "config", uri)
            pid = mongo_status(settings).pid
            yield TemporaryDatabase(uri, config, open_launchpad(config), CampaignStore(uri), pid or 0)
        finally:
            stop_local_mongo(settings)
