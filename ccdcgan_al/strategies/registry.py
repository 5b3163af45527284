"""The registry of the strategies by name, the only list of them. It imports a strategy at its first use.

A strategy is a function from `Request` to `Proposals` (`ccdcgan_al.strategies.proposals`), or an object that can be called
like a function. docs/how-to/add-a-strategy.md shows how to add a strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccdcgan_al.strategies.proposals import Proposals, Request

Proposer = Callable[["Request"], "Proposals"]


@dataclass(frozen=True)
class Entry:
    """A registered strategy.

    Attributes
    ----------
    proposer : str or callable
        Function that proposes structures, or its location ``module:name``, which is imported at first use.
    summary : str
        One line that states how the strategy proposes structures.
    learns : bool
        Whether the strategy learns from the relaxed structures. If so, it has to make `Campaign.generated_per_round`
        structures, otherwise a few for each relaxation.
    """

    proposer: str | Proposer
    summary: str
    learns: bool = False

    def load(self) -> Proposer:
        """Return the function that proposes structures."""
        if not isinstance(self.proposer, str):
            return self.proposer
        module, _, name = self.proposer.partition(":")
        loaded: Proposer = getattr(import_module(module), name)
        return loaded


_HERE = "ccdcgan_al.strategies"
STRATEGIES: dict[str, Entry] = {
    "random": Entry(f"{_HERE}.random_search:propose", "random symmetric crystals; nothing is learned"),
    "substitution": Entry(f"{_HERE}.substitution:propose", "prototypes with the elements substituted"),
    "perturbation": Entry(f"{_HERE}.perturbation:propose", "distorted seeds"),
    "dcgan": Entry(f"{_HERE}.dcgan:propose", "the plain GAN; the constraint is not used", learns=True),
    "screened": Entry(
        f"{_HERE}.screened:propose", "the plain GAN; the constraint screens and ranks what it draws", learns=True
    ),
    "ccdcgan": Entry(
        f"{_HERE}.ccdcgan:propose",
        "the GAN with the constraint in its loss, and mutants of low-lying structures; the constraint screens and ranks",
        learns=True,
    ),
    "latent": Entry(
        f"{_HERE}.latent:propose",
        "gradient descent on z, the latent vector of the plain GAN; the constraint ranks",
        learns=True,
    ),
}
"""Name -> strategy, from the simplest to the most complex. Tables of results follow this order."""


def register(name: str, proposer: str | Proposer, summary: str, *, learns: bool = False) -> None:
    """Add a strategy for this process.

    Other processes run a campaign that is in the database. For these processes, the strategy needs a line in `STRATEGIES`.

    Parameters
    ----------
    name : str
        Name that a user types. It becomes a part of the names of campaigns.
    proposer : str or callable
        Function that proposes structures, or its location, as in `Entry`.
    summary : str
        One line that states how the strategy proposes structures.
    learns : bool, default False
        Whether the strategy learns from the relaxed structures.

    Raises
    ------
    ValueError
        If the name is already used.
    """
    if name in STRATEGIES:
        raise ValueError(f"the strategy {name!r} is there already; choose another name")
    STRATEGIES[name] = Entry(proposer, summary, learns)


def strategy_entry(name: str) -> Entry:
    """Return a strategy by its name.

    Raises
    ------
    ValueError
        If there is no strategy of this name.
    """
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}: use one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def check_strategies(names: Iterable[str], also: Sequence[str] = ()) -> None:
    """Raise ValueError if names are not strategies.

    Parameters
    ----------
    names : iterable of str
        Names that the user typed.
    also : sequence of str
        Other names that are allowed.

    Raises
    ------
    ValueError
        If a name is unknown. The message lists the unknown and the known names.
    """
    known = [*STRATEGIES, *also]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown strategy {', '.join(unknown)}: use one or more of {', '.join(known)}")
