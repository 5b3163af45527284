"""MongoDB URIs: the database, the part that can be shown without passwords, and the options of every client. This module connects to nothing."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from ccdcgan_al.errors import MongoError

DURABLE: dict[str, Any] = {"w": "majority", "journal": True}
"""Write concern: an acknowledged write is in the journal. Without it, a mongod that is killed loses its last 0.1 s."""

PATIENCE_SECONDS = 7 * 24 * 3600
"""How long a worker waits for a database that does not answer."""

PASSWORD_PATTERN = re.compile(r"(\w://[^:/?#\s@]*):[^\s\"]*@")
SECRET_PATTERN = re.compile(r"((?:password|passwd|session_token)[\"']?\s*[:=]\s*[\"']?)[^\s\"',&]+", re.IGNORECASE)


def redact(text: object) -> str:
    """Return a text without passwords.

    Parameters
    ----------
    text : object
        Anything that can be shown, including an error.

    Returns
    -------
    str
        Text. ``***`` replaces every password in a URI, and the value of every ``password=...``.
    """
    return SECRET_PATTERN.sub(r"\1***", PASSWORD_PATTERN.sub(r"\1:***@", str(text)))


def database_name(mongo_uri: str) -> str:
    """Return the database that a URI names.

    Parameters
    ----------
    mongo_uri : str
        URI of a MongoDB server.

    Returns
    -------
    str
        Decoded name of the database.

    Raises
    ------
    MongoError
        If the URI names no database. The URIs from `launchpad.service.mongod.ensure_mongo` always name one.
    """
    name = unquote(urlsplit(mongo_uri, allow_fragments=False).path.strip("/"))
    if not name:
        raise MongoError(f"{redact(mongo_uri)} names no database; wanted mongodb://host:port/database")
    return name
