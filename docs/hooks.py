"""Hooks of the documentation site: the command-line reference is made from the Typer app when the site is built."""

from __future__ import annotations

import subprocess
import sys

MARKER = "<!-- commands -->"
COMMAND = (sys.executable, "-m", "typer", "launchpad.cli.main", "utils", "docs", "--name", "ccdcgan-al")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the reference of every command in the place of the marker."""
    if MARKER not in markdown:
        return markdown
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=True)  # noqa: S603
    return markdown.replace(MARKER, done.stdout.partition("\n")[2])  # the page has a title of its own
