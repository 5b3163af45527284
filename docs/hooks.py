"""Hooks of the documentation site: the command-line reference is made from the Typer app; the Python API stands in Reference."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

MARKER = "<!-- commands -->"
COMMAND = (sys.executable, "-m", "typer", "launchpad.cli.main", "utils", "docs", "--name", "ccdcgan-al")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Move the pages of the Python API, which api-autonav adds at the end, into the section Reference."""
    api = config.nav.pop()
    (reference,) = (item for item in config.nav if "Reference" in item)
    reference["Reference"].append(api)
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the reference of every command in the place of the marker."""
    if MARKER not in markdown:
        return markdown
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=True)  # noqa: S603
    return markdown.replace(MARKER, done.stdout.partition("\n")[2])  # the page has a title of its own
