"""The loop in ask/tell form: the starting structures, what a round relaxes, what is learnt from it, and what is counted.

The loop has no database and no queue, and it relaxes nothing. `launchpad.rounds` runs it through MongoDB and FireWorks.
`workflows.experiments.discovery` runs it in one process. A notebook can run it with any function that relaxes a structure.
The names follow the ask/tell convention of Trieste, Ax and BoTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import HullError
from ccdcgan_al.hull.hull import METASTABLE, NEAR_HULL, ON_HULL, Hull, build_hull
from ccdcgan_al.hull.novelty import new_phases
from ccdcgan_al.hull.validity import distort
from ccdcgan_al.seeds.choose import choose_seeds
from ccdcgan_al.seeds.starting import (
    check_chosen,
    check_system,
    further_structures,
    lacking,
    own_seeds,
    what_helps,
    why_lacking,
    withheld,
)
from ccdcgan_al.strategies.proposals import Example, Proposals
from ccdcgan_al.strategies.propose import propose
from ccdcgan_al.strategies.registry import strategy_entry
from ccdcgan_al.strategies.selection import Selection, select
from ccdcgan_al.structures.matching import StructureIndex
from ccdcgan_al.types import Candidate, FailedRelaxation, Phase, Relaxed

DRAWS_PER_RELAXATION = 4  # random crystals are drawn one by one (0.1 s each), and most of them are valid and novel


def starting_candidates(
    campaign: Campaign, known: Collection[str] = (), say: Callable[[str], None] | None = None
) -> list[Candidate]:
    """Return the seeds of a campaign: the elements, the user's own structures, and prototypes. Matches of withheld structures are left out.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    known : collection of str, optional
        Elements that need no relaxed structure, because a reference is stored.
    say : callable, optional
        Function that receives short texts about the progress.

    Raises
    ------
    StartingStructuresError
        If an element of the system has no structure to start from.
    """
    check_system(campaign, known)
    seeds = choose_seeds(
        campaign.elements, campaign.seed_count, campaign.seed, withheld(campaign), own_seeds(campaign), say
    )
    check_chosen(campaign, (seed.structure for seed in seeds), known)
    return [
        Candidate(structure_id(campaign, 0, i), seed.structure, seed.origin, 0, seed.label)
        for i, seed in enumerate(seeds)
    ]


def further_candidates(campaign: Campaign, elements: Sequence[str], tried: Sequence[Structure]) -> list[Candidate]:
    """Return more structures of the elements for which no seed was relaxed. Their numbers follow the seeds' numbers.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    elements : sequence of str
        Elements for which no seed was relaxed.
    tried : sequence of Structure
        Unrelaxed seeds.
    """
    return [
        Candidate(structure_id(campaign, 0, len(tried) + i), seed.structure, seed.origin, 0, seed.label)
        for i, seed in enumerate(further_structures(campaign, elements, tried))
    ]


def became_withheld(campaign: Campaign, phases: Sequence[Phase]) -> list[str]:
    """Return the ids of seeds that relaxed into a withheld structure. Nothing is learnt from them, so that finding it later is a discovery."""
    hidden = StructureIndex(withheld(campaign))  # reduced only once, because a large cell takes long
    return [phase.structure_id for phase in phases if phase.origin == "seed" and phase.structure in hidden]


@dataclass(frozen=True)
class Round:
    """The structures that a round relaxes. Iterating over a round gives its candidates.

    Attributes
    ----------
    number : int
        Number of the round. The starting structures have 0.
    candidates : tuple of Candidate
        Structures to relax, in order of rank.
    left_out : tuple of Candidate
        Novel structures that were not selected. They have no structure_id.
    counts : dict
        Counts of the generation, from drawn graphs to novel structures.
    models : dict of str to bytes
        Weights of the networks that were trained for the round.
    """

    number: int
    candidates: tuple[Candidate, ...]
    left_out: tuple[Candidate, ...] = ()
    counts: dict[str, Any] = field(default_factory=dict)
    models: dict[str, bytes] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)


class Loop:
    """A campaign in ask/tell form, without a database.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    folder : Path, optional
        Folder for the GAN's checkpoint and log. Without it, neither is written.

    Examples
    --------
    >>> loop = Loop(Campaign("Bi-Se"))  # doctest: +SKIP
    >>> for _ in range(3):
    ...     loop.tell([relax(candidate) for candidate in loop.ask()])
    >>> loop.hull.unique_entries(0.05)
    """

    def __init__(self, campaign: Campaign, folder: Path | None = None) -> None:
        self.campaign = campaign
        self.folder = folder
        self.round_number = 0
        self._starts: dict[str, Structure] = {}
        self._phases: list[Phase] = []
        self._failures: list[tuple[Structure, str]] = []
        self._stable: dict[int, int] = {}
        self._hull: Hull | None = None
        self._asked: Round | None = None
        self._tried_further = False
        self._withheld: set[str] = set()

    @classmethod
    def resume(
        cls,
        campaign: Campaign,
        round_number: int,
        starts: Mapping[str, Structure],
        hull: Hull,
        folder: Path | None = None,
        stable: Sequence[int] = (),
    ) -> Loop:
        """Return a loop whose earlier rounds are stored elsewhere. Its next round is `round_number`.

        Parameters
        ----------
        campaign : Campaign
            The campaign.
        round_number : int
            Number of the next round, at least 1.
        starts : mapping of str to Structure
            Unrelaxed structures of everything submitted so far, by structure_id.
        hull : Hull
            Hull of everything relaxed so far, including stored references.
        folder : Path, optional
            Folder for the GAN's checkpoint and log, as for `Loop`.
        stable : sequence of int, optional
            Number of new phases that each earlier round put on the hull when its results were recorded. Without it, `ending`
            counts the phases that are on the hull now.
        """
        if round_number < 1:
            raise ValueError(f"a loop resumes at round 1 or later, got {round_number}")
        loop = cls(campaign, folder)
        loop.round_number, loop._starts, loop._hull = round_number, dict(starts), hull
        loop._phases = list(hull.phases)
        loop._stable = dict(enumerate(stable))
        return loop

    def ask(self) -> Round:
        """Return the next round. The same round is returned again until `tell` records its results.

        Round 0 holds the starting structures. If no structure of an element could be relaxed, the next round has the number
        0 again and holds further prototypes of that element.

        Raises
        ------
        StartingStructuresError
            If an element of the system has no structure to start from.
        HullError
            If no structure of an element could be relaxed and no further structure is left to try.
        """
        if self._asked is None:
            if self.round_number:
                self._asked = self._propose()
            elif self._starts:
                self._asked = self._further()
            else:
                self._asked = Round(0, tuple(starting_candidates(self.campaign)))
        return self._asked

    def tell(self, results: Sequence[Relaxed | FailedRelaxation] | Mapping[str, Relaxed | FailedRelaxation]) -> None:
        """Record the results of the current round.

        Parameters
        ----------
        results : sequence or mapping of Relaxed or FailedRelaxation
            One result for each candidate, in the order of the round or by structure_id.

        Raises
        ------
        ValueError
            If no round was asked for, if there is not one result for each candidate, or if a result has other atoms than its
            candidate. In these cases nothing is recorded.
        MixedMethodsError
            If the energies are of another method than the earlier ones. In this case nothing is recorded.
        """
        asked = self._asked
        if asked is None:
            raise ValueError("no round was asked for: call ask() before tell()")
        given = self._by_name(asked, results)
        phases = [
            Phase(item.structure_id, result.structure, result.energy_per_atom, result.method, item.origin, asked.number)
            for item in asked
            if isinstance(result := given[item.structure_id], Relaxed)
        ]
        hidden = set(became_withheld(self.campaign, phases)) if asked.number == 0 else set()
        known = [*self._phases, *(phase for phase in phases if phase.structure_id not in hidden)]
        complete = not lacking(self.campaign.elements, (phase.structure for phase in known))
        hull = (
            build_hull(known, self.campaign.elements) if complete else None
        )  # it may raise an error; nothing is recorded in that case
        self._asked, self._phases, self._hull = None, known, hull
        self._withheld |= hidden
        self._starts |= {item.structure_id: item.structure for item in asked}
        self._failures += [
            (item.structure, result.reason)
            for item in asked
            if isinstance(result := given[item.structure_id], FailedRelaxation)
        ]
        if complete:
            self._stable[asked.number] = self._stable_of(asked.number)
            self.round_number = asked.number + 1

    @property
    def hull(self) -> Hull:
        """Hull of everything that was relaxed so far.

        Raises
        ------
        HullError
            If an element of the system has no relaxed structure.
        """
        if self._hull is None:
            self._hull = build_hull(self._phases, self.campaign.elements)
        return self._hull

    @property
    def ending(self) -> str | None:
        """Reason why the campaign ends after the recorded rounds. None if another round follows."""
        submitted = [
            sum(name.startswith(_prefix(self.campaign, number)) for name in self._starts)
            for number in range(self.round_number)
        ]
        stable = [
            self._stable[number] if number in self._stable else self._stable_of(number)
            for number in range(self.round_number)
        ]
        return self.campaign.ending(submitted, stable) if submitted else None

    def _stable_of(self, number: int) -> int:
        """Return how many new phases a round put on the current hull."""
        seeds = [
            start
            for name, start in self._starts.items()
            if name.startswith(_prefix(self.campaign, 0)) and name not in self._withheld
        ]
        return hull_counts(self.hull, number, seeds)["stable"]

    def _further(self) -> Round:
        missing = lacking(self.campaign.elements, (phase.structure for phase in self._phases))
        tried = list(self._starts.values())
        further = [] if self._tried_further else further_candidates(self.campaign, missing, tried)
        if not further:
            raise HullError(f"{why_lacking(missing, self._failures)}; {what_helps(missing)}")
        self._tried_further = True
        return Round(0, tuple(further))

    def _propose(self) -> Round:
        return _propose_round(self.campaign, self.round_number, self._starts, self.hull, self.folder)

    @staticmethod
    def _by_name(
        asked: Round, results: Sequence[Relaxed | FailedRelaxation] | Mapping[str, Relaxed | FailedRelaxation]
    ) -> dict[str, Relaxed | FailedRelaxation]:
        """Return the results by structure_id. Check them against the candidates."""
        names = [item.structure_id for item in asked]
        if isinstance(results, Mapping):
            given = dict(results)
        elif len(results) == len(names):
            given = dict(zip(names, results, strict=True))
        else:
            raise ValueError(f"round {asked.number} has {len(names)} candidates, got {len(results)} results")
        if given.keys() != set(names):
            differ = sorted(given.keys() ^ set(names))
            raise ValueError(f"one result a candidate of round {asked.number} is wanted; these differ: {differ[:5]}")
        for item in asked:
            result = given[item.structure_id]
            if isinstance(result, Relaxed) and result.structure.composition != item.structure.composition:
                raise ValueError(
                    f"the result of {item.structure_id} holds {result.structure.formula}, "
                    f"its candidate {item.structure.formula}"
                )
        return given


def _propose_round(
    campaign: Campaign, round_number: int, starts: Mapping[str, Structure], hull: Hull, folder: Path | None
) -> Round:
    """Train on everything relaxed, propose structures, and select."""
    energy = {entry.structure_id: entry.formation_energy_per_atom for entry in hull.entries}
    examples = [
        Example(
            starts.get(phase.structure_id, phase.structure),
            phase.structure,
            energy[phase.structure_id],
            phase.structure_id,
            phase.origin,
        )
        for phase in hull.phases
    ]
    wanted = campaign.round_size(len(starts))
    seed = campaign.round_seed(round_number, "generate")
    learns = strategy_entry(campaign.strategy).learns
    count = campaign.generated_per_round if learns else DRAWS_PER_RELAXATION * wanted
    proposals = propose(
        campaign.strategy,
        campaign.elements,
        examples,
        count,
        seed,
        hull_energy=hull.formation_energy_at,
        folder=folder,
        codec=campaign.codec,
    )
    seen = [*starts.values(), *(phase.structure for phase in hull.phases)]
    selection = select(
        proposals.structures,
        seen,
        wanted,
        proposals.predict,
        hull.formation_energy_at,
        restacked={index for index, mutation in proposals.mutants.items() if mutation.operation == "slip"},
    )
    return Round(
        round_number,
        tuple(_chosen(campaign, round_number, proposals, selection)),
        tuple(_left_out(campaign, round_number, proposals, selection)),
        generation_counts(proposals, selection),
        proposals.models,
    )


def _chosen(campaign: Campaign, round_number: int, proposals: Proposals, selection: Selection) -> list[Candidate]:
    """Return the selected structures as candidates of a round."""
    figures = zip(selection.chosen, selection.energies, selection.uncertainties, strict=True)
    return [
        _proposed(campaign, round_number, proposals, index, energy, uncertainty, rank)
        for rank, (index, energy, uncertainty) in enumerate(figures)
    ]


def _left_out(campaign: Campaign, round_number: int, proposals: Proposals, selection: Selection) -> list[Candidate]:
    """Return the novel structures that were not selected. They have no ids."""
    figures = zip(selection.others, selection.other_energies, selection.other_uncertainties, strict=True)
    return [
        _proposed(campaign, round_number, proposals, index, energy, uncertainty)
        for index, energy, uncertainty in figures
    ]


def _proposed(
    campaign: Campaign,
    round_number: int,
    proposals: Proposals,
    index: int,
    energy: float,
    uncertainty: float,
    rank: int | None = None,
) -> Candidate:
    """Return a proposed structure as a candidate, with its operation and parents. Without a rank it has no id."""
    ranked = proposals.predict is not None
    mutation = proposals.mutants.get(index)
    return Candidate(
        "" if rank is None else structure_id(campaign, round_number, rank),
        proposals.structures[index],
        "generated",
        round_number,
        predicted_energy=energy if ranked else None,
        uncertainty=uncertainty if ranked else None,
        strategy=campaign.strategy,
        operation=None if mutation is None else mutation.operation,
        parents=() if mutation is None else mutation.parents,
    )


def generation_counts(proposals: Proposals, selection: Selection) -> dict[str, Any]:
    """Return the counts of a round's generation, from drawn graphs to novel structures."""
    return {
        "not_learnt": proposals.not_learnt,
        "generated": proposals.generated,
        "screened": proposals.screened,
        "decoded": len(proposals.structures),
        "mutants": len(proposals.mutants),
        "decode_failures": proposals.failures,
        "valid": selection.valid,
        "strict": selection.strict,
        "unique": selection.unique,
        "novel": selection.novel,
        "diversity": None if proposals.diversity is None else asdict(proposals.diversity),
        "warning": None if proposals.diversity is None else proposals.diversity.warning,
        "constraint_mae_ev_per_atom": proposals.held_out_mae,
        "constraint_mae_structures": proposals.held_out_count,
    }


def hull_counts(hull: Hull, round_number: int, known: Sequence[Structure] = ()) -> dict[str, int]:
    """Return how many new phases a round found on the hull and within 50 and 100 meV/atom of it. `known` holds starting structures.

    A phase belongs to the round of its first copy that is this near the hull, even if a later copy has a lower energy.
    """

    def brought(within: float) -> int:
        first = {
            hull.entries[group[0]].structure_id: min(hull.entries[number].round_number for number in group)
            for group in hull.groups(within)
        }
        return sum(first[entry.structure_id] == round_number for entry in new_phases(hull, known, within=within))

    return {
        "stable": brought(ON_HULL),
        "within_50_mev": brought(NEAR_HULL),
        "within_100_mev": brought(METASTABLE),
    }


def distorted_candidates(
    campaign: Campaign, round_number: int, hull: Hull, known: Sequence[Structure] = ()
) -> list[Candidate]:
    """Return the new phases within 50 meV/atom of the hull, slightly distorted, lowest first. Phases that match `known` are left out."""
    structures = {phase.structure_id: phase.structure for phase in hull.phases}
    found = []
    for entry in new_phases(hull, known, within=NEAR_HULL):
        seed = campaign.round_seed(round_number, f"distortion/{entry.structure_id}")
        structure = distort(structures[entry.structure_id], seed)
        found.append(
            Candidate(
                entry.structure_id,
                structure,
                "generated",
                entry.round_number,
                operation="distortion",
                parents=(entry.structure_id,),
            )
        )
    return found


def structure_id(campaign: Campaign, round_number: int, rank: int) -> str:
    """Return the id of a structure in its campaign. It is the same for the same seed."""
    return f"{_prefix(campaign, round_number)}{rank:04d}"


def _prefix(campaign: Campaign, round_number: int) -> str:
    """Return the common prefix of the ids of a round's structures."""
    return f"{campaign.chemical_system}-r{round_number}-"
