"""Implement `ccdcgan-al harvest`: record finished relaxations that are not in the database, and print the outcome for each file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from launchpad.cli.submit import exit_code, open_store
from launchpad.results.harvest import harvest


def harvest_command(folder: Path, config: Path | None, mongo: str | None) -> int:
    """Harvest a folder. Returns the exit status."""

    def gather() -> None:
        console = Console(soft_wrap=True, highlight=False, markup=False)
        findings = harvest(folder, open_store(config, mongo))
        for found in findings:
            name = f" {found.structure_id}" if found.structure_id else ""
            console.print(f"{found.outcome}{name}: {found.path.relative_to(folder)}: {found.reason}")
        counts = Counter(found.outcome for found in findings)
        console.print(
            f"{len(findings)} results in {folder}: {counts['recorded']} recorded, {counts['left']} already stored, "
            f"{counts['refused']} refused"
        )

    return exit_code(gather)
