"""The choices of a campaign as options of a command, made from the fields of `Campaign`, and read back into a campaign. It runs none.

A field that is added to `Campaign`, with its meaning as metadata, is an option of `run` and `submit` at once. Structures alone are
given otherwise than they are kept: as files.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin, get_type_hints

import typer

from ccdcgan_al.campaign import Campaign
from launchpad.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ccdcgan_al.seeds.choose import Seed

NAMES = {"generated_per_round": "generated"}
"""Field of `Campaign` -> its option, where they differ."""

FILES = {"own_seeds": ("seeds", options.Seeds), "withheld": ("withhold", options.Withhold)}
"""Field of `Campaign` that holds structures -> the option that names their files, and its type."""


@dataclass(frozen=True)
class Choices:
    """What the user chose on the command line, unchecked.

    Attributes
    ----------
    values : dict
        Fields of `Campaign` by name, those of structures left out.
    seeds : Path or None
        File or folder of the user's own starting structures.
    withhold : tuple of Path
        Files of structures to withhold.
    """

    values: dict[str, Any]
    seeds: Path | None = None
    withhold: tuple[Path, ...] = ()

    def campaign(self, *, runs_here: bool = True) -> Campaign:
        """Return the campaign that they make.

        Parameters
        ----------
        runs_here : bool
            Whether this machine has to have the method.

        Raises
        ------
        CcdcganError, ValueError
            With one line that says what is wrong.
        """
        from ccdcgan_al.chemsys import parse_chemical_system
        from workflows.methods import check_method

        elements = parse_chemical_system(self.values["chemical_system"])
        check_method(self.values["method"], runs_here=runs_here)
        own, withheld = self._structures(elements)
        return Campaign(
            **{**self.values, "chemical_system": "-".join(elements)},
            own_seeds={seed.label: seed.structure.to_json() for seed in sorted(own, key=lambda seed: seed.label)},
            withheld=tuple(seed.structure.to_json() for seed in withheld),
        )

    def _structures(self, elements: Sequence[str]) -> tuple[Sequence[Seed], Sequence[Seed]]:
        """Return the user's own starting structures and those to withhold; what was put right, left out or will not be learnt from is said.

        Raises
        ------
        StructureInputError
            Files that cannot be trusted or taken, one line each.
        """
        from ccdcgan_al.seeds.choose import MAX_OWN_LENGTH, MAX_OWN_SITES
        from ccdcgan_al.seeds.files import StructuresRead, read_structures
        from ccdcgan_al.strategies.learning import not_learnable

        own = StructuresRead(())
        if self.seeds is not None:
            own = read_structures(self.seeds, elements, MAX_OWN_SITES, MAX_OWN_LENGTH)
        hidden = read_structures(self.withhold, elements)  # compared with, and never relaxed: of any size
        for line in (*own.repaired, *hidden.repaired, *own.not_read, *hidden.not_read):
            typer.echo(f"note: {line}", err=True)
        both = StructuresRead((), refused=(*own.refused, *hidden.refused))
        both.or_stop()
        for seed in own.seeds:
            if reason := not_learnable(elements, seed.structure, self.values.get("codec", Campaign.codec)):
                typer.echo(
                    f"note: {seed.label} is relaxed and has its place on the hull, and is not learnt from: {reason}",
                    err=True,
                )
        return own.seeds, hidden.seeds


def campaign_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, in the place of its first parameter, an argument or option for each field of `Campaign`.

    Parameters
    ----------
    command : callable
        Takes `Choices`, and then its own options.

    Returns
    -------
    callable
        For Typer.
    """
    _, *others = inspect.signature(command, eval_str=True).parameters.values()
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others]
    chosen = {item.name: _parameter(item) for item in fields(Campaign)}

    @functools.wraps(command)
    def called(**given: Any) -> None:
        values = {name: given.pop(parameter.name) for name, parameter in chosen.items()}
        seeds, withhold = (values.pop(name) for name in FILES)
        command(Choices(values, seeds, tuple(withhold or ())), **given)

    parameters = [*chosen.values(), *own]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _parameter(item: Field[Any]) -> inspect.Parameter:
    """Return the command's parameter for a field of `Campaign`."""
    if item.name in FILES:
        name, annotation = FILES[item.name]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
    if item.default is MISSING:
        return inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, annotation=options.System)
    kind = get_type_hints(Campaign)[item.name]
    kind = str if get_origin(kind) is Literal else kind  # Campaign says which are known
    option = typer.Option(min=item.metadata["least"], help=item.metadata["meaning"])
    return inspect.Parameter(
        NAMES.get(item.name, item.name),
        inspect.Parameter.KEYWORD_ONLY,
        default=item.default,
        annotation=Annotated[kind, option],
    )
