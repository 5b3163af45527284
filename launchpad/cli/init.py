"""Implement `ccdcgan-al init`: write the config folder for FireWorks' own commands, and check the connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape

from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.settings import Settings
from launchpad.database.store import CampaignStore
from launchpad.service.configure import TEMPLATES, Queue, check_config, edited_files, write_config
from launchpad.service.mongod import ensure_mongo
from launchpad.uri import redact


def _queue(name: str | None) -> Queue | None:
    """Check the name of a queue and return it."""
    known: Any = name
    checked: Queue | None = known
    if checked is not None and checked not in get_args(Queue):
        raise ValueError(f"unknown queue {name!r}: use one of {', '.join(get_args(Queue))}")
    return checked


def init_command(folder: Path, mongo: str | None, queue: str | None, *, force: bool) -> int:
    """Write and check a config folder. Returns the exit status."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        checked = _queue(queue)
        settings = Settings(mongo_uri=SecretStr(mongo)) if mongo else Settings()
        uri = ensure_mongo(settings)
        edited = edited_files(folder.expanduser())
        folder = write_config(folder, uri, queue=checked, force=force)
        kept = edited_files(folder)
        for name in TEMPLATES:
            how = "kept, because you edited it (--force overwrites it)" if name in kept else "written"
            if name in edited and name not in kept and (folder / f"{name}.bak").exists():
                how = f"overwritten; your edited file is now {name}.bak"
            console.print(f"{folder / name}: {how}")
        for line in check_config(folder):
            console.print(line)
        console.print(f"schema version {CampaignStore(uri).repair()}: all validators and indexes exist")
    except (CcdcganError, ValueError, OSError) as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(redact(error))}", highlight=False, soft_wrap=True)
        return 1
    if settings.mongo_uri is None:
        console.print(
            "This MongoDB is local and accepts connections only from this machine. If workers run on other machines, give --mongo."
        )
    console.print(f"Next: ccdcgan-al submit Bi-Se -c {folder}, then qlaunch or rlaunch -c {folder} rapidfire")
    return 0
