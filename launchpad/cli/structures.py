"""Implement `ccdcgan-al structures`: find structures, and show the origin of one structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from launchpad.cli import options

if TYPE_CHECKING:
    from rich.table import Table

SOURCE_WIDTH = 20  # minimum width in characters of the column "from"
structures = typer.Typer(help="Find structures, and show the origin of one structure.", no_args_is_help=True)


@structures.command("find")
def find(
    chemical_system: Annotated[str | None, typer.Argument(help="only campaigns of this system, e.g. Bi-Se")] = None,
    formula: Annotated[str | None, typer.Option(help="formula, e.g. Bi2Se3")] = None,
    within: Annotated[float | None, typer.Option(min=0, help="maximum energy above hull (eV/atom)")] = None,
    state: Annotated[
        str | None, typer.Option(help="submitted, relaxed, failed, withheld, withdrawn or generated")
    ] = None,
    origin: Annotated[str | None, typer.Option(help="reference, seed or generated")] = None,
    round_number: Annotated[int | None, typer.Option("--round", min=0, help="round; 0 for the seeds")] = None,
    failed_reason: Annotated[str | None, typer.Option(help="unphysical, not_converged, ...")] = None,
    new: Annotated[bool, typer.Option("--new", help="only new phases")] = False,
    campaign: Annotated[str | None, typer.Option(help="only this campaign")] = None,
    limit: Annotated[int, typer.Option(min=1, help="maximum number of structures")] = 50,
    as_json: options.AsJson = False,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """List structures, sorted by energy above hull."""
    from launchpad.cli.submit import exit_code, open_store

    def show() -> None:
        from rich.console import Console

        from ccdcgan_al.chemsys import parse_chemical_system
        from launchpad.database.queries import structure_filter
        from launchpad.database.schema import STRUCTURE_STATES
        from launchpad.results.lookup import campaigns_of

        for name, value, known in (
            ("state", state, STRUCTURE_STATES),
            ("origin", origin, ("reference", "seed", "generated")),
        ):
            if value is not None and value not in known:
                raise ValueError(f"unknown {name} {value!r}: use one of {', '.join(known)}")
        store = open_store(config, mongo)
        ids = store.campaign_ids()
        if chemical_system is not None:
            elements = "-".join(parse_chemical_system(chemical_system))
            ids = [document["_id"] for document in campaigns_of(store, elements)]
        if campaign is not None and campaign not in ids:
            raise ValueError(f"no campaign {campaign!r}; `ccdcgan-al campaigns` lists them")
        chosen = structure_filter(
            ids if campaign is None else [campaign],
            formula=formula,
            within=within,
            state=state,
            origin=origin,
            round_number=round_number,
            reason=failed_reason,
            new=new,
        )
        found = store.find_structures(chosen, limit)
        if as_json:
            typer.echo(_json(found))
            return
        table = _table(found)
        needed = Console(width=10_000).measure(table).minimum  # a narrower table would cut off the column "from"
        Console(width=max(Console().width, 118, needed)).print(table)
        if len(found) == limit:
            typer.echo(f"only the first {limit} structures are listed; --limit lists more")

    raise typer.Exit(exit_code(show))


@structures.command("show")
def show_structure(
    structure_id: Annotated[str, typer.Argument(help="name of the structure, e.g. Bi-Se-r1-0007")],
    campaign: Annotated[
        str | None, typer.Option(help="campaign of the structure, if several campaigns have this name")
    ] = None,
    as_json: options.AsJson = False,
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Show a structure: its origin (seed, model, round, jobs), its energies, and all attempts."""
    from launchpad.cli.submit import exit_code, open_store

    def show() -> None:
        from launchpad.results.lookup import lineage

        found = lineage(open_store(config, mongo), structure_id, campaign)
        typer.echo(_json(found) if as_json else "\n".join(_lines(found)))

    raise typer.Exit(exit_code(show))


def _json(found: Any) -> str:
    import json

    return json.dumps(found, indent=2, default=str)


def _table(found: list[dict[str, Any]]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from ccdcgan_al.hull.element_references import ElementReferences
    from launchpad.results.lookup import descent

    methods = sorted({str(document["method"]) for document in found if document.get("method")})
    zeros = sorted(
        {
            str(ElementReferences(document["element_references"]))
            for document in found
            if document.get("element_references")
        }
    )
    by = f", {', '.join(methods)}, relative to {', '.join(zeros)}" if methods else ""
    title = f"{len(found)} structures (meV/atom{by})"
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title=title)
    for name in ("structure", "campaign", "formula", "group", "state", "origin"):
        table.add_column(name, no_wrap=True)
    table.add_column("from", min_width=SOURCE_WIDTH)
    for name in ("formation", "above\nhull"):
        table.add_column(name, justify="right", no_wrap=True)
    for document in found:
        state = f"failed: {document['reason']}" if document["state"] == "failed" else document["state"]
        state = "new phase" if document.get("is_new_phase") else state
        figures = (document.get("formation_energy_per_atom"), document.get("energy_above_hull"))
        table.add_row(
            document["structure_id"],
            document["campaign_id"],
            document["formula"],
            document.get("space_group") or "-",
            state,
            document["origin"],
            escape(descent(document)),  # may contain the name of a user's file
            *("-" if value is None else f"{1000 * value:.1f}" for value in figures),
        )
    return table


def _lines(found: dict[str, Any]) -> list[str]:
    """Return a structure's lineage as lines of text."""
    from launchpad.results.lookup import descent

    lines = [
        f"{found['structure_id']}: {found['formula']}, {found['n_sites']} sites before relaxation, {found['state']}"
        + (f" ({found['reason']}: {found.get('message')})" if found.get("reason") else ""),
        f"  campaign    {found['campaign_id']}, round {found['round']}",
        f"  origin      {found['origin']}: {descent(found)}",
    ]
    if found.get("predicted_energy") is not None:
        error = f" ± {1000 * found['uncertainty']:.0f}" if found.get("uncertainty") is not None else ""
        lines.append(f"  predicted   formation energy {_mev(found, 'predicted_energy')}{error} meV/atom")
    lines += [f"  model       {item['name']} {item['sha256']}" for item in found["models"]]
    if found["models"]:
        lines.append(f"  trained on  {found['learnt_from']} relaxed structures of earlier rounds")
    lines += [f"  job         {kind}: lpad get_fws -i {fw_id}" for kind, fw_id in (found.get("fw_ids") or {}).items()]
    lines += _placed(found)
    if confirmed := found.get("confirmed"):
        if problem := confirmed.get("problem"):
            lines.append(f"  confirmed   no: with {confirmed['method']} it {problem}")
        else:
            above = f"{1000 * confirmed['energy_above_hull']:.1f} meV/atom above the hull"
            lines.append(f"  confirmed   {above} of {confirmed['method']}")
    if found["problem"]:
        lines.append(f"  problem     {found['problem']}")
    if found.get("is_new_phase"):
        lines.append("  new phase   yes")
    if found.get("duplicate_of"):
        lines.append(f"  copy of     {found['duplicate_of']}")
    if found["copies"]:
        lines.append(f"  copies      {', '.join(found['copies'])}")
    for attempt in found["attempts"]:
        ended = ", ".join(filter(None, (attempt["state"], attempt["reason"])))
        energy = "" if attempt["energy_per_atom"] is None else f", {attempt['energy_per_atom']:.4f} eV/atom"
        seconds = "" if attempt["seconds"] is None else f", {attempt['seconds']:.0f} s"
        lines.append(f"  attempt     {attempt['kind']}: {ended}{energy}{seconds}")
    return lines


def _placed(found: dict[str, Any]) -> list[str]:
    """Return lines with a structure's energy above each hull. There are none if it has no energy above hull."""
    if found.get("energy_above_hull") is None:
        return []
    lines = []
    kinds = {
        "": f", by {found['method']}, {found['space_group']}",
        "corrected_": " (on the hull only with the corrections)" if found.get("correction_driven") else "",
        "own_elements_": " (on only one of the two uncorrected hulls)" if found.get("element_driven") else "",
    }
    scales = {"relaxed": "", "MP2020": "corrected_", "own el.": "own_elements_"}
    for name, scale in scales.items():
        if found.get(f"{scale}energy_above_hull") is None:
            continue  # there is no such hull, or an older version wrote the document
        figures = (_mev(found, f"{scale}formation_energy_per_atom"), _mev(found, f"{scale}energy_above_hull"))
        lines.append(
            f"  {name:11} formation energy {figures[0]} meV/atom, {figures[1]} above the hull after round "
            f"{found['hull_round']}{kinds[scale]}"
        )
    return lines


def _mev(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return "-" if value is None else f"{1000 * value:.1f}"
