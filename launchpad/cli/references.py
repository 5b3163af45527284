"""Implement `ccdcgan-al references` and `ccdcgan-al seeds`: fetch data of the Materials Project and store them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launchpad.cli import options

references = typer.Typer(
    help="Manage stored reference entries. The hull of a `vasp` campaign contains the entries of its functional.",
    no_args_is_help=True,
)
seeds = typer.Typer(help="Fetch starting structures for `run --seeds`.", no_args_is_help=True)


@references.command("fetch")
def fetch_references(
    chemical_system: options.System,
    thermo_type: Annotated[str, typer.Option(help="energy scale: GGA_GGA+U or R2SCAN")] = "GGA_GGA+U",
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Store the Materials Project's entries of a system and its subsystems. It needs a key (MP_API_KEY)."""
    from launchpad.cli.submit import exit_code

    def fetch() -> None:
        from ccdcgan_al.chemsys import parse_chemical_system
        from ccdcgan_al.seeds.materials_project import fetch_entries, subsystems
        from launchpad.cli.submit import open_store
        from launchpad.database.references import MATERIALS_PROJECT, save_entries

        elements = parse_chemical_system(chemical_system)
        fetched = fetch_entries(elements, thermo_type)
        version = fetched.database_version
        new = save_entries(
            open_store(config, mongo),
            fetched.entries,
            MATERIALS_PROJECT,
            thermo_type=thermo_type,
            database_version=version,
            systems=subsystems(elements),
        )
        typer.echo(
            f"{'-'.join(elements)}: {len(fetched.entries)} entries of {thermo_type}, version {version}, {new} new; "
            "the hull of a VASP campaign with this functional contains them, the hull of a potential does not"
        )

    raise typer.Exit(exit_code(fetch))


@references.command("import")
def import_references(
    file: Annotated[Path, typer.Argument(help="JSON list of pymatgen ComputedStructureEntry dictionaries")],
    config: options.Config = None,
    mongo: options.Mongo = None,
) -> None:
    """Store entries from a file."""
    from launchpad.cli.submit import exit_code

    def read() -> None:
        from launchpad.cli.submit import open_store
        from launchpad.database.reference_checks import functional_of
        from launchpad.database.references import FILE, read_entries, save_entries

        entries = read_entries(file)
        new = save_entries(open_store(config, mongo), entries, FILE)
        twice = len(entries) - len({(functional_of(entry), str(entry.entry_id)) for entry in entries})
        typer.echo(
            f"{file}: {len(entries)} entries, {new} new"
            + (f"; {twice} of them are duplicates and are stored once" if twice else "")
        )

    raise typer.Exit(exit_code(read))


@references.command("list")
def list_references(config: options.Config = None, mongo: options.Mongo = None) -> None:
    """List the stored references with source and date."""
    from launchpad.cli.submit import exit_code

    def show() -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        from launchpad.cli.submit import open_store
        from launchpad.database.references import reference_counts

        table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        for name in ("system", "functional", "source", "thermo type", "version", "fetched", "entries"):
            table.add_column(name, justify="right" if name == "entries" else "left", no_wrap=True)
        for row in reference_counts(open_store(config, mongo)):
            named = (row["thermo_type"] or "-", row["database_version"] or "-", f"{row['fetched']:%Y-%m-%d}")
            texts = (row["chemical_system"], row["functional"], row["source"], *named, str(row["entries"]))
            table.add_row(*map(escape, texts))
        Console(width=max(Console().width, 100)).print(table)

    raise typer.Exit(exit_code(show))


@seeds.command("fetch")
def fetch_seeds(
    chemical_system: options.System,
    out: Annotated[Path | None, typer.Option(help="folder for the CIF files; default ./seeds-<system>")] = None,
) -> None:
    """Write the Materials Project's relaxed structures of a system as CIF files. It needs a key (MP_API_KEY)."""
    from launchpad.cli.submit import exit_code

    def fetch() -> None:
        from pymatgen.io.cif import CifWriter

        from ccdcgan_al.chemsys import parse_chemical_system
        from ccdcgan_al.files import write_atomically
        from ccdcgan_al.seeds.choose import MAX_OWN_LENGTH, MAX_OWN_SITES, fits_limits, reduced_primitive
        from ccdcgan_al.seeds.files import SAME_SITE
        from ccdcgan_al.seeds.materials_project import fetch_structures

        elements = parse_chemical_system(chemical_system)
        fetched = fetch_structures(elements)
        folder = out or Path(f"seeds-{'-'.join(elements)}")
        folder.mkdir(parents=True, exist_ok=True)
        ordered = [(name, structure) for name, structure in fetched.structures if structure.is_ordered]
        small = [(name, reduced_primitive(structure, SAME_SITE)) for name, structure in ordered]
        small = [
            (name, structure) for name, structure in small if fits_limits(structure, MAX_OWN_SITES, MAX_OWN_LENGTH)
        ]
        for name, structure in small:
            write_atomically(folder / f"{name}.cif", str(CifWriter(structure)), mode=0o644)
        left = len(fetched.structures) - len(small)
        typer.echo(
            f"{folder}: {len(small)} structures, version {fetched.database_version}"
            + (
                f"; {left} left out, because they are larger than {MAX_OWN_SITES} sites or {MAX_OWN_LENGTH:g} Å, or disordered"
                if left
                else ""
            )
        )
        typer.echo(f"ccdcgan-al run {'-'.join(elements)} --seeds {folder}")

    raise typer.Exit(exit_code(fetch))
