"""Write files atomically: a file is complete, or it does not exist."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write a document as JSON, atomically."""
    write_atomically(path, json.dumps(document, allow_nan=False))


def write_atomically(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a text file atomically. A reader sees the old or the new file, never a part. The file has `mode` from the start."""
    temporary = path.with_name(
        f".{path.name}.{secrets.token_hex(4)}"
    )  # a unique name, also with writers on several machines
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # no partial file may remain, for example on a full disk
        raise
