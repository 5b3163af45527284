"""A mongod that asks for a password, for tests of what must not show it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import psutil
import pymongo

from ccdcgan_al.settings import Settings
from launchpad.service.mongod import find_mongod, free_port

USER, PASSWORD = "group", "p@ss: w/rd%"
DATABASE = "ccdcgan_al"


@contextlib.contextmanager
def authenticated_mongod(folder: Path) -> Iterator[str]:
    """Run a mongod with authentication on its data in `folder`, with one user; yields a URI that logs in.

    As the MongoDB image does at its first start: the user is made through the exception for localhost.
    """
    port = free_port()
    (folder / "data").mkdir(parents=True)
    command = [
        *(str(find_mongod(Settings(home=folder))), "--auth", "--bind_ip", "127.0.0.1", "--port", str(port)),
        *("--dbpath", str(folder / "data"), "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--quiet"),
        *("--logpath", str(folder / "mongod.log"), "--pidfilepath", str(folder / "mongod.pid"), "--fork"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    process = psutil.Process(int((folder / "mongod.pid").read_text()))
    try:
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(f"mongodb://127.0.0.1:{port}/") as client:
            client.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])
        yield f"mongodb://{USER}:{quote_plus(PASSWORD)}@127.0.0.1:{port}/{DATABASE}?authSource=admin"
    finally:
        process.terminate()
        process.wait(timeout=60)
