"""Implement `ccdcgan-al doctor`: print the state of each check and what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ccdcgan_al.errors import SettingsError
from launchpad.service.doctor import Finding, examine

_COLOURS = {"ok": "green", "warning": "yellow", "broken": "red"}
_WIDTH = 118


def doctor_command(config: Path | None, *, as_json: bool) -> int:
    """Make all checks and print them. Returns the exit status, which is 1 if something is broken."""
    try:
        findings = examine(config)
    except SettingsError as error:
        findings = [Finding("settings", "broken", str(error), "correct this first: nothing else was checked")]
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        for name in ("what", "state", "found", "what to do"):
            table.add_column(name, no_wrap=name in ("what", "state"), overflow="fold")
        for finding in findings:
            state = f"[{_COLOURS[finding.state]}]{finding.state}[/]"
            table.add_row(finding.what, state, _plain(finding.found), _plain(finding.remedy))
        console = Console()
        Console(width=max(console.width, _WIDTH)).print(table)
    return int(any(finding.state == "broken" for finding in findings))


def _plain(text: str) -> str:
    """Escape text that rich would read as markup."""
    return text.replace("[", "\\[")
