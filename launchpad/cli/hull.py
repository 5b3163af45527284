"""Implement `ccdcgan-al hull`: print a campaign's stored convex hull, and how rounds changed it."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ccdcgan_al.chemsys import parse_chemical_system
from ccdcgan_al.hull.element_references import ElementReferences
from ccdcgan_al.types import Method
from launchpad.cli.submit import exit_code, open_store
from launchpad.results.lookup import campaign_of, hull_rows, stored_hull

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 118  # minimum width in characters; a narrower terminal wraps lines, so that no figure is cut off
UNITS = {
    "formation_energy_per_atom": "formation_energy_ev_per_atom",
    "energy_above_hull": "energy_above_hull_ev_per_atom",
    "corrected_formation_energy_per_atom": "corrected_formation_energy_ev_per_atom",
    "corrected_energy_above_hull": "corrected_energy_above_hull_ev_per_atom",
    "confirmed_energy_above_hull": "confirmed_energy_above_hull_ev_per_atom",
    "own_elements_formation_energy_per_atom": "own_elements_formation_energy_ev_per_atom",
    "own_elements_energy_above_hull": "own_elements_energy_above_hull_ev_per_atom",
    "round_number": "round",
}
"""Names of fields in the JSON and CSV output."""


def hull_command(
    system: str,
    within: float,
    method: str | None,
    round_number: int | None,
    campaign_id: str | None,
    config: Path | None,
    mongo: str | None,
    *,
    changes: bool,
    as_json: bool,
    as_csv: bool,
) -> int:
    """Print a hull. Returns the exit status."""

    def show() -> None:
        if as_json and as_csv:
            raise ValueError("got --json and --csv: give only one of them")
        if changes and (within or round_number is not None):
            raise ValueError("--changes prints all rounds: do not give --round or --within")
        elements = "-".join(parse_chemical_system(system))
        store = open_store(config, mongo)
        name = campaign_of(store, elements, campaign_id, method)
        if changes:
            rows = _changes(store.ask("hull_changes", campaign_id=name))
        else:
            found = hull_rows(store, name, within, round_number)
            rows = [{UNITS.get(key, key): value for key, value in row.items()} for row in found]
        stored = stored_hull(store, name, round_number)
        by, references = stored["method"], stored.get("element_references") or {"scheme": "own", "warnings": []}
        if as_json:
            document = {"campaign_id": name, "method": by, "element_references": references, "rows": rows}
            sys.stdout.write(json.dumps(document, indent=2) + "\n")
        elif as_csv:
            rows = [{**row, "method": by["name"], "element_references": references["scheme"]} for row in rows]
            writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)
        else:
            title = f"{name}, {Method(**by)}, relative to {ElementReferences(references['scheme'])}"
            console = Console(width=max(Console().width, WIDTH))
            console.print(_changes_table(title, rows) if changes else _table(title, rows))
            for warning in references["warnings"]:
                console.print(f"Elements: {warning}.", markup=False, highlight=False)

    return exit_code(show)


def _table(of: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title=f"{of}\n(meV/atom)")
    for name in ("structure", "formula", "group", "origin", "round"):
        table.add_column(name, no_wrap=True)
    for name in ("formation", "above\nhull", "above hull,\nMP2020", "above hull,\nconfirmed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("flag", no_wrap=True)
    figures = [
        UNITS[name]
        for name in (
            "formation_energy_per_atom",
            "energy_above_hull",
            "corrected_energy_above_hull",
            "confirmed_energy_above_hull",
        )
    ]
    for row in rows:
        flag = "new" if row["is_new_phase"] else ""
        flag = "elements only" if row["element_driven"] else flag
        flag = "correction only" if row["correction_driven"] else flag
        flag = "does not return" if row["problem"] else flag
        names = (row["structure_id"], row["formula"], row["space_group"], row["origin"], str(row["round"]))
        table.add_row(*names, *("-" if row[name] is None else f"{1000 * row[name]:.1f}" for name in figures), flag)
    return table


def _changes(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the changes of each round, one flat row for each round."""
    rows = []
    for document in documents:
        changed = document["changes"]
        rows.append(
            {
                "round": document["round"],
                **{
                    kind: " ".join(f"{formula}({name})" for name, formula in sorted(changed[kind].items()))
                    for kind in ("entered", "pushed_off")
                },
                "largest_lowering_ev_per_atom": changed["largest_lowering"],
                "mean_lowering_ev_per_atom": changed["mean_lowering"],
            }
        )
    return rows


def _changes_table(of: str, rows: list[dict[str, Any]]) -> Table:
    title = f"{of}\nChanges of the hull in each round, and how much it was lowered (meV/atom)"
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title=title)
    for name in ("round", "entered", "pushed off", "most", "mean"):
        table.add_column(name, justify="right" if name in ("round", "most", "mean") else "left")
    for row in rows:
        fallen = (row["largest_lowering_ev_per_atom"], row["mean_lowering_ev_per_atom"])
        figures = ("-" if value is None else f"{1000 * value:.1f}" for value in fallen)
        table.add_row(str(row["round"]), row["entered"] or "-", row["pushed_off"] or "-", *figures)
    return table
