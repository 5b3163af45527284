"""What a campaign is: its fixed choices, its identity and its stop rule. It holds no state; the database does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from ccdcgan_al.chemsys import parse_chemical_system
from ccdcgan_al.seeds.choose import references_per_element
from ccdcgan_al.types import DEFAULT_METHOD, DFT, Strategy

CONFIRMING_METHOD, ITS_OWN_CONFIRMATION = "sevennet-l3i5", "sevennet"


@dataclass(frozen=True)
class Campaign:
    """The choices that make a campaign; two campaigns with the same choices are one.

    Attributes
    ----------
    chemical_system : e.g. ``Bi-Se``
    method : what relaxes (see `workflows.potentials`)
    strategy : how structures are proposed after the seeds
    seed : random seed of all that is drawn
    rounds, per_round : rounds after the seeds, and relaxations in each
    seed_count : starting structures, elements included
    generated_per_round : crystal graphs (or random draws) made to choose from
    budget : most relaxations by `method` in all rounds, seeds included, those from distortions not; None: as many as the rounds take
    patience : end after so many rounds in a row without a new phase on the hull; None: go on
    own_seeds : label (file name, with #block where a file holds several) -> JSON text of the user's own starting structures
    withheld : JSON texts of structures that, with whatever matches them, are kept out of seeds and training
    """

    chemical_system: str
    method: str = DEFAULT_METHOD
    strategy: Strategy = "ccdcgan"
    seed: int = 0
    rounds: int = 2
    per_round: int = 24
    seed_count: int = 64
    generated_per_round: int = 1000
    budget: int | None = None
    patience: int | None = None
    own_seeds: dict[str, str] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_chemical_system(self.chemical_system)
        if self.strategy not in get_args(Strategy):
            raise ValueError(f"unknown strategy {self.strategy!r}: wanted one of {', '.join(get_args(Strategy))}")
        for name in ("rounds", "per_round", "seed_count", "generated_per_round"):
            least = 0 if name == "rounds" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 round, got {self.patience}")
        if self.budget is not None and self.budget < self.seed_count:
            raise ValueError(
                f"a budget of {self.budget} relaxations does not cover the {self.seed_count} seeds: raise it, or lower seed_count"
            )
        of_elements = len(self.elements) * references_per_element(self.elements, self.seed_count)
        if self.budget is not None and self.own_seeds and self.budget < len(self.own_seeds) + of_elements:
            raise ValueError(
                f"a budget of {self.budget} relaxations does not cover {len(self.own_seeds)} structures of your own and "
                f"{of_elements} of the elements, all of which are relaxed: raise it, or give fewer"
            )

    @property
    def elements(self) -> tuple[str, ...]:
        """Element symbols in alphabetical order."""
        return parse_chemical_system(self.chemical_system)

    @property
    def campaign_id(self) -> str:
        """Name of the campaign: chemical system, strategy, seed and a hash of all choices."""
        choices = {name: value for name, value in asdict(self).items() if value is not None}
        digest = hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.chemical_system}-{self.strategy}-{self.seed}-{digest}"

    @property
    def confirming_method(self) -> str | None:
        """Second method, which relaxes what lies near the hull; None for DFT, which no potential confirms."""
        if self.method == DFT:
            return None
        return CONFIRMING_METHOD if self.method != CONFIRMING_METHOD else ITS_OWN_CONFIRMATION

    def ending(self, submitted: Sequence[int], new_phases: Sequence[int]) -> str | None:
        """Why the campaign ends after the rounds that are closed; None where another round follows.

        Parameters
        ----------
        submitted : relaxations of each closed round, the seeds first
        new_phases : new phases that each of them put on the hull
        """
        done, spent = len(submitted) - 1, sum(submitted)
        if done >= self.rounds:
            return f"{self.rounds} round{'' if self.rounds == 1 else 's'} done"
        if self.round_size(spent) < 1:
            return f"the budget of {self.budget} relaxations is spent"
        if self.patience is not None and done >= self.patience and not any(new_phases[-self.patience :]):
            return f"no new phase on the hull in {self.patience} rounds"
        return None

    def round_size(self, spent: int) -> int:
        """How many relaxations the next round has after `spent`, seeds included."""
        return self.per_round if self.budget is None else min(self.per_round, self.budget - spent)

    def round_seed(self, round_number: int, purpose: str) -> int:
        """Random seed for one purpose in one round, the same whenever it is asked (below 2^31)."""
        text = f"{self.seed}/{round_number}/{purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1

    def as_dict(self) -> dict[str, Any]:
        """Plain document of all choices."""
        return {**asdict(self), "withheld": list(self.withheld)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Campaign:
        """Read what `as_dict` wrote."""
        return cls(**{**document, "withheld": tuple(document["withheld"])})
