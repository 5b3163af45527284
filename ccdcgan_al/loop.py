"""A round as a campaign and a benchmark both run it: what starts, what is asked for next, what is counted. No database, no queue, no relaxation.

`launchpad.rounds` runs it through MongoDB and FireWorks, `workflows.experiments.discovery` in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.hull.hull import METASTABLE, NEAR_HULL, ON_HULL, Hull
from ccdcgan_al.hull.novelty import new_phases
from ccdcgan_al.hull.validity import distort
from ccdcgan_al.seeds.choose import choose_seeds
from ccdcgan_al.seeds.starting import check_chosen, check_system, further_structures, own_seeds, withheld
from ccdcgan_al.strategies.propose import LEARNING_STRATEGIES, Example, Proposals, propose
from ccdcgan_al.strategies.selection import Selection, select
from ccdcgan_al.structures.matching import SeenStructures
from ccdcgan_al.types import Candidate, Phase

DRAWS_PER_RELAXATION = 4  # random crystals are drawn one by one (0.1 s each), and most of them are valid and novel


def starting_candidates(
    campaign: Campaign, known: Collection[str] = (), say: Callable[[str], None] | None = None
) -> list[Candidate]:
    """Return the seeds of a campaign: the elements, the user's own structures, prototypes; nothing that matches what is withheld.

    Parameters
    ----------
    campaign : its choices
    known : elements of which a structure need not be relaxed, since a reference is stored
    say : is told how far it is, in a few words

    Raises
    ------
    StartingStructuresError
        an element of the system has nothing to start from
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
    """Return more structures of elements of which none of the seeds was relaxed, numbered after them.

    Parameters
    ----------
    campaign : its choices
    elements : of which none was relaxed
    tried : the seeds, as they started
    """
    return [
        Candidate(structure_id(campaign, 0, len(tried) + i), seed.structure, seed.origin, 0, seed.label)
        for i, seed in enumerate(further_structures(campaign, elements, tried))
    ]


def became_withheld(campaign: Campaign, phases: Sequence[Phase]) -> list[str]:
    """Ids of the seeds that relaxed into a withheld structure: they teach nothing, so that finding it later is a discovery."""
    hidden = SeenStructures(withheld(campaign))  # reduced once, and a large cell takes long
    return [phase.structure_id for phase in phases if phase.origin == "seed" and hidden.holds(phase.structure)]


def ask(
    campaign: Campaign,
    round_number: int,
    starts: Mapping[str, Structure],
    hull: Hull,
    folder: Path | None = None,
) -> tuple[Proposals, Selection]:
    """Learn from everything relaxed, propose, and select.

    Parameters
    ----------
    campaign : its choices
    round_number : of the round that is about to begin
    starts : structure_id -> unrelaxed structure, of everything submitted so far
    hull : of everything relaxed so far, and of references that nobody relaxed here, where there are some
    folder : of the GAN's checkpoint and log; None: neither is kept
    """
    energy = {entry.structure_id: entry.formation_energy_per_atom for entry in hull.entries}
    examples = [
        Example(
            starts.get(phase.structure_id, phase.structure),
            phase.structure,
            energy[phase.structure_id],
            phase.structure_id,
        )
        for phase in hull.phases
        if campaign.strategy != "perturbation" or phase.origin == "seed"
    ]
    wanted = campaign.round_size(len(starts))
    seed = campaign.round_seed(round_number, "generate")
    learns = campaign.strategy in LEARNING_STRATEGIES
    count = campaign.generated_per_round if learns else DRAWS_PER_RELAXATION * wanted
    proposals = propose(
        campaign.strategy,
        campaign.elements,
        examples,
        count,
        seed,
        hull_energy=hull.formation_energy_at,
        folder=folder,
    )
    seen = [*starts.values(), *(phase.structure for phase in hull.phases)]
    selection = select(
        proposals.structures,
        seen,
        wanted,
        proposals.predict,
        hull.formation_energy_at,
        restacked={index for index, operation in proposals.neighbours.items() if operation.startswith("slip")},
    )
    return proposals, selection


def candidates(campaign: Campaign, round_number: int, proposals: Proposals, selection: Selection) -> list[Candidate]:
    """Return the selected structures as candidates of a round."""
    ranked = proposals.predict is not None
    return [
        Candidate(
            structure_id(campaign, round_number, rank),
            proposals.structures[index],
            "generated",
            round_number,
            _source(campaign, proposals, index),
            selection.energies[rank] if ranked else None,
            selection.uncertainties[rank] if ranked else None,
        )
        for rank, index in enumerate(selection.chosen)
    ]


def not_chosen(campaign: Campaign, round_number: int, proposals: Proposals, selection: Selection) -> list[Candidate]:
    """Return the structures that were new and not selected, without names."""
    ranked = proposals.predict is not None
    figures = zip(selection.others, selection.other_energies, selection.other_uncertainties, strict=True)
    return [
        Candidate(
            "",
            proposals.structures[index],
            "generated",
            round_number,
            _source(campaign, proposals, index),
            energy if ranked else None,
            uncertainty if ranked else None,
        )
        for index, energy, uncertainty in figures
    ]


def _source(campaign: Campaign, proposals: Proposals, index: int) -> str:
    """Return what a proposed structure descends from: the strategy, and the operation and parent that made it a neighbour."""
    operation = proposals.neighbours.get(index)
    return campaign.strategy if operation is None else f"{campaign.strategy}, {operation}"


def generation_counts(proposals: Proposals, selection: Selection) -> dict[str, Any]:
    """Return the counts of a round's generation, from graphs drawn to structures that were new."""
    return {
        "not_learnt": proposals.not_learnt,
        "generated": proposals.generated,
        "screened": proposals.screened,
        "decoded": len(proposals.structures),
        "neighbours": len(proposals.neighbours),
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
    """Return how many new phases a round brought, on the hull and within 50 and 100 meV/atom of it; `known`: starting structures.

    A phase is of the round that made the first of its copies that lie so near the hull, also where a later copy is lower.
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
    """Return the new phases (matching nothing `known`) within 50 meV/atom of the hull, each slightly distorted, lowest first."""
    structures = {phase.structure_id: phase.structure for phase in hull.phases}
    found = []
    for entry in new_phases(hull, known, within=NEAR_HULL):
        seed = campaign.round_seed(round_number, f"distortion/{entry.structure_id}")
        structure = distort(structures[entry.structure_id], seed)
        found.append(Candidate(entry.structure_id, structure, "generated", entry.round_number, "distortion"))
    return found


def structure_id(campaign: Campaign, round_number: int, rank: int) -> str:
    """Name of a structure in its campaign, the same for the same seed."""
    return f"{campaign.chemical_system}-r{round_number}-{rank:04d}"
