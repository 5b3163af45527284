"""Implement `ccdcgan-al export`: write relaxed structures in the formats of other programs."""

from __future__ import annotations

from pathlib import Path

import typer

from ccdcgan_al.chemsys import parse_chemical_system
from launchpad.cli.submit import exit_code, open_store
from launchpad.results.export import FOLDERS, STYLES, SUFFIXES, export
from launchpad.results.lookup import campaign_of, relaxed_documents


def export_command(
    system: str,
    style: str,
    out: Path | None,
    within: float,
    ids: tuple[str, ...],
    campaign_id: str | None,
    method: str | None,
    config: Path | None,
    mongo: str | None,
    *,
    new: bool,
) -> int:
    """Write structures. Returns the exit status."""

    def write() -> None:
        if style not in STYLES:
            raise ValueError(f"unknown format {style!r}: use one of {', '.join(STYLES)}")
        if new and ids:
            raise ValueError("got --new and --structure: give only one of them")
        elements = "-".join(parse_chemical_system(system))
        store = open_store(config, mongo)
        name = campaign_of(store, elements, campaign_id, method)
        documents = relaxed_documents(store, name, within, new=new, ids=ids)
        place = out or Path(f"{elements}-{style}" if style in FOLDERS else f"{elements}-{style}{SUFFIXES[style]}")
        paths = export(documents, style, place)
        typer.echo(
            f"{place}: {len(documents)} structures of {name}" + (f" in {len(paths)} files" if style in FOLDERS else "")
        )

    return exit_code(write)
