"""Define a campaign: its fixed choices, its identity and its stop rule. It has no state. The state is in the database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from ccdcgan_al.strategies.registry import STRATEGIES, strategy_entry
from ccdcgan_al.types import DEFAULT_METHOD, DFT, CodecName, Strategy

CONFIRMING_METHOD, ITS_OWN_CONFIRMATION = "sevennet-l3i5", "sevennet"


def _shown(meaning: str, *, least: int | None = None) -> dict[str, Any]:
    """Return the metadata of a field of `Campaign`: what the command line shows of it, which makes its options from them."""
    return {"meaning": meaning, "least": least}


@dataclass(frozen=True)
class Campaign:
    """The fixed choices of a campaign. Two campaigns with the same choices are the same campaign.

    Attributes
    ----------
    chemical_system : str
        Chemical system, for example ``Bi-Se``.
    method : str, default DEFAULT_METHOD
        Method that relaxes the structures (see `workflows.potentials`).
    strategy : Strategy, default "ccdcgan"
        Strategy that proposes structures after the seeds.
    seed : int, default 0
        Random seed.
    rounds : int, default 2
        Number of rounds after the seeds.
    per_round : int, default 24
        Number of relaxations in each round.
    seed_count : int, default 64
        Number of starting structures, including the elements.
    generated_per_round : int, default 1000
        Number of crystal graphs (or random structures) from which a round is selected.
    budget : int, optional
        Maximum number of relaxations by `method` in all rounds, including the seeds. Relaxations of distorted phases do
        not count. None means no limit.
    patience : int, optional
        The campaign ends after this number of successive rounds without a new phase on the hull. None means it does
        not.
    codec : {"fast", "paper"}, default "fast"
        Codec that turns structures into crystal graphs, for strategies that learn (docs/codec.md).
    own_seeds : dict of str to str, optional
        The user's own starting structures as JSON texts, by label (the file name, with #block if the file has several).
    withheld : tuple of str, optional
        Structures as JSON texts. They, and all structures that match them, are kept out of seeds and training.
    """

    chemical_system: str
    method: str = field(
        default=DEFAULT_METHOD, metadata=_shown("what relaxes: sevennet-l3i5, sevennet, chgnet, ..., or vasp")
    )
    strategy: Strategy = field(
        default="ccdcgan", metadata=_shown(f"how structures are proposed: {', '.join(STRATEGIES)}")
    )
    seed: int = field(default=0, metadata=_shown("random seed: the same seed gives the same report, timings aside"))
    rounds: int = field(default=2, metadata=_shown("rounds after the seeds", least=0))
    per_round: int = field(default=24, metadata=_shown("relaxations in each round", least=1))
    seed_count: int = field(default=64, metadata=_shown("starting structures, those of the elements included", least=2))
    generated_per_round: int = field(
        default=1000, metadata=_shown("crystal graphs drawn in each round, to choose from", least=1)
    )
    budget: int | None = field(
        default=None, metadata=_shown("most relaxations in all rounds, starting structures included", least=1)
    )
    patience: int | None = field(
        default=None, metadata=_shown("end after so many rounds in a row without a new phase on the hull", least=1)
    )
    codec: CodecName = field(
        default="fast", metadata=_shown(f"how structures become crystal graphs: {' or '.join(get_args(CodecName))}")
    )
    own_seeds: dict[str, str] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from ccdcgan_al.seeds.choose import references_per_element

        elements = self.elements
        strategy_entry(self.strategy)  # refuses an unknown name
        if self.codec not in get_args(CodecName):
            raise ValueError(f"unknown codec {self.codec!r}: use one of {', '.join(get_args(CodecName))}")
        for name in ("rounds", "per_round", "seed_count", "generated_per_round"):
            least = 0 if name == "rounds" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 round, got {self.patience}")
        if self.budget is not None and self.budget < self.seed_count:
            raise ValueError(
                f"a budget of {self.budget} relaxations is too small for {self.seed_count} seeds: increase it, or reduce seed_count"
            )
        of_elements = len(elements) * references_per_element(elements, self.seed_count)
        if self.budget is not None and self.own_seeds and self.budget < len(self.own_seeds) + of_elements:
            raise ValueError(
                f"a budget of {self.budget} relaxations is too small for {len(self.own_seeds)} own structures and {of_elements} "
                "structures of the elements: increase it, or give fewer structures"
            )

    @property
    def elements(self) -> tuple[str, ...]:
        """Element symbols in alphabetical order."""
        # imported here because it loads pymatgen, and `--help` needs only the fields
        from ccdcgan_al.chemsys import parse_chemical_system

        return parse_chemical_system(self.chemical_system)

    @property
    def campaign_id(self) -> str:
        """Name of the campaign: chemical system, strategy, seed and a hash of all choices."""
        choices = {name: value for name, value in asdict(self).items() if value is not None}
        if self.codec == "fast":  # so that a campaign of versions without this choice keeps its name
            del choices["codec"]
        digest = hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.chemical_system}-{self.strategy}-{self.seed}-{digest}"

    @property
    def confirming_method(self) -> str | None:
        """Second method, which relaxes the phases near the hull again. None for DFT, which no potential can confirm."""
        if self.method == DFT:
            return None
        return CONFIRMING_METHOD if self.method != CONFIRMING_METHOD else ITS_OWN_CONFIRMATION

    def ending(self, submitted: Sequence[int], new_phases: Sequence[int]) -> str | None:
        """Return why the campaign ends after the closed rounds, or None if another round follows.

        Parameters
        ----------
        submitted : sequence of int
            Number of relaxations of each closed round. The seeds are the first round.
        new_phases : sequence of int
            Number of new phases that each closed round put on the hull.

        Returns
        -------
        str or None
            Reason of the end.
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
        """Return the number of relaxations in the next round, after `spent` relaxations including the seeds."""
        return self.per_round if self.budget is None else min(self.per_round, self.budget - spent)

    def round_seed(self, round_number: int, purpose: str) -> int:
        """Return the random seed (below 2^31) for one purpose in one round. It is always the same."""
        text = f"{self.seed}/{round_number}/{purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1

    def as_dict(self) -> dict[str, Any]:
        """Return all choices as a plain document."""
        return {**asdict(self), "withheld": list(self.withheld)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Campaign:
        """Build a campaign from a document of `as_dict`."""
        return cls(**{**document, "withheld": tuple(document["withheld"])})
