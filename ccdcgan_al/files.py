"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write a document whole or not at all."""
    write_atomically(path, json.dumps(document, allow_nan=False))


def write_atomically(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a text file so that a reader sees the old one or the new one, never a part; `mode` holds from the start."""
    temporary = path.with_name(
        f".{path.name}.{secrets.token_hex(4)}"
    )  # of this writer alone, also among several machines'
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # a full disk must not keep half a file
        raise
