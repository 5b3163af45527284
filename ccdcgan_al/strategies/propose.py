"""Structures proposed by each strategy, from what has been relaxed so far. It chooses nothing (see `selection`) and relaxes nothing."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from ccdcgan_al.codec.crystal_codec import CrystalCodec, DecodeFailure
from ccdcgan_al.errors import StructureInputError, TooFewExamplesError
from ccdcgan_al.models.diversity import Diversity, distinct, measure_diversity
from ccdcgan_al.strategies.mutations import neighbours
from ccdcgan_al.strategies.symmetrise import symmetrised
from ccdcgan_al.structures.families import standard_setting, structure_family
from ccdcgan_al.types import Strategy

if TYPE_CHECKING:
    from pathlib import Path

    from ccdcgan_al.models.constraint import LearnedConstraint
    from ccdcgan_al.models.gan import GanSettings, GraphGenerator

LEARNING_STRATEGIES: tuple[Strategy, ...] = ("ccdcgan", "screened", "latent", "dcgan")
RANKED_STRATEGIES: tuple[Strategy, ...] = ("ccdcgan", "screened", "latent")
SCREENED_STRATEGIES: tuple[Strategy, ...] = ("ccdcgan", "screened")
SCREENED = (
    5  # graphs drawn and screened for each that is decoded; a graph costs 0.1 ms to draw and screen, 15 ms to decode
)
NEIGHBOURS = 0.5  # of low-lying structures, for each graph that is decoded
TEMPERATURE = 0.05  # eV/atom: a structure is drawn into a batch with exp(-energy above hull / TEMPERATURE)
LEAST_LEARNT = 0.25  # share of the compounds that must count: the temperature rises until so many do
HullEnergy = Callable[[Structure], float]
"""Structure -> formation energy of the hull at its composition (eV/atom): `hull.Hull.formation_energy_at`."""


@dataclass(frozen=True)
class Example:
    """A relaxed structure to learn from.

    Attributes
    ----------
    start, relaxed : the structure before and after relaxation
    formation_energy : of the relaxed structure (eV/atom)
    structure_id : its name, for the descent of its neighbours
    """

    start: Structure
    relaxed: Structure
    formation_energy: float
    structure_id: str = ""


@dataclass(frozen=True)
class Proposals:
    """What a strategy offers in one round.

    Attributes
    ----------
    structures : unrelaxed structures, in the order generated
    generated : how many graphs were decoded, or draws or neighbours were made
    failures : reason -> how many did not decode, or lie outside the codec's limits
    predict : structures -> formation energies and standard deviations (eV/atom); None where the strategy does not rank
    held_out_mae : error of the constraint on held-out structures (eV/atom), and of how many
    models : name -> bytes of the networks trained for it
    diversity : of the drawn graphs, which shows mode collapse; None where no GAN drew
    screened : graphs drawn and screened by the constraint for those decoded; 0 where none were
    neighbours : index into `structures` -> the operation that made it a neighbour, and of which structure
    not_learnt : examples that lie outside the codec's limits, so that nothing was learnt from them; 0 where nothing is learnt
    """

    structures: list[Structure]
    generated: int
    failures: dict[str, int] = field(default_factory=dict)
    predict: Callable[[list[Structure]], tuple[NDArray[np.floating], NDArray[np.floating]]] | None = None
    held_out_mae: float | None = None
    held_out_count: int = 0
    models: dict[str, bytes] = field(default_factory=dict)
    diversity: Diversity | None = None
    screened: int = 0
    neighbours: dict[int, str] = field(default_factory=dict)
    not_learnt: int = 0


def propose(
    strategy: Strategy,
    elements: Sequence[str],
    examples: Sequence[Example],
    count: int,
    seed: int,
    *,
    hull_energy: HullEnergy | None = None,
    gan_settings: GanSettings | None = None,
    folder: Path | None = None,
) -> Proposals:
    """Propose structures.

    With `hull_energy` the constraint learns the energy above the hull, `ccdcgan` and `screened` screen `SCREENED` graphs for each that they decode,
    and `ccdcgan` learns most from what lies low above the hull and proposes neighbours of it, too. Without it and with
    ``gan_settings=GanSettings.published()`` all is as published: the constraint learns the formation energy, the GAN from all alike.

    Parameters
    ----------
    strategy : see `Strategy`
    elements : of the chemical system
    examples : everything relaxed so far that may be learned from
    count : graphs or draws to make
    seed : random seed of training and drawing
    hull_energy : of what is known so far
    gan_settings : how the GAN is trained; None: `GanSettings.for_graphs`; `GanSettings.published()` is the paper's setting
    folder : of the GAN's checkpoint and TensorBoard log; None: neither is kept

    Raises
    ------
    TooFewExamplesError : too few examples within the codec's limits for a strategy that learns, no compound for one that distorts them
    """
    if strategy == "random":
        from ccdcgan_al.strategies.random_search import random_structures

        structures = random_structures(elements, count, seed)
        return Proposals(structures, generated=count, failures={"not_drawn": count - len(structures)})
    if strategy == "perturbation":
        from ccdcgan_al.strategies.perturbation import perturbed_structures

        return Proposals(perturbed_structures([example.relaxed for example in examples], count, seed), generated=count)
    if strategy == "substitution":
        from ccdcgan_al.seeds.choose import prototype_structures

        structures = [prototype.structure for prototype in prototype_structures(elements)]
        order = np.random.default_rng(seed).permutation(len(structures))
        return Proposals([structures[i] for i in order], generated=len(structures))
    codec = CrystalCodec.load("fast", elements)
    learnable = learnable_examples(codec, examples)
    constraint = train_constraint(codec, learnable, seed, hull_energy) if strategy in RANKED_STRATEGIES else None
    guide = constraint if strategy == "ccdcgan" else None
    shares = energy_shares(learnable, hull_energy) if strategy == "ccdcgan" and hull_energy else None
    graphs, gan = train_gan(codec, learnable, seed, guide, shares, gan_settings, folder)
    proposals = draw_proposals(strategy, Networks(codec, graphs, gan, constraint, hull_energy), count, seed)
    proposals = replace(proposals, not_learnt=len(examples) - len(learnable))
    return proposals if shares is None else with_neighbours(proposals, codec, learnable, shares, seed)


@dataclass(frozen=True)
class Networks:
    """What a learning strategy has learnt.

    Attributes
    ----------
    codec : of the graphs
    graphs : what the GAN learnt from, float32 (n, side, side, 1)
    gan : trained
    constraint : trained; None where the strategy has none
    hull_energy : of what is known, where the constraint has learnt energies above it; None where it has learnt formation energies
    """

    codec: CrystalCodec
    graphs: NDArray[np.float32]
    gan: GraphGenerator
    constraint: LearnedConstraint | None
    hull_energy: HullEnergy | None = None


def learnable_examples(codec: CrystalCodec, examples: Sequence[Example]) -> list[Example]:
    """Return the examples that the codec can hold, before and after relaxation.

    Raises
    ------
    TooFewExamplesError : there is none
    """
    learnable = [example for example in examples if _fits(codec, example.start, example.relaxed)]
    if not learnable:
        raise TooFewExamplesError(
            f"none of {len(examples)} relaxed structures lies within the codec's limits: nothing to learn"
        )
    return learnable


def train_gan(
    codec: CrystalCodec,
    examples: Sequence[Example],
    seed: int,
    constraint: LearnedConstraint | None = None,
    shares: NDArray[np.floating] | None = None,
    settings: GanSettings | None = None,
    folder: Path | None = None,
) -> tuple[NDArray[np.float32], GraphGenerator]:
    """Train a GAN on the relaxed structures; returns their graphs and the GAN.

    Weights start the same for a seed, with a constraint or without one. `shares` are the examples' probabilities in a batch, `settings` those of
    `GanSettings.for_graphs` where none are given.
    """
    from ccdcgan_al.models import runtime
    from ccdcgan_al.models.gan import GanSettings, GraphGenerator

    runtime.start(seed)
    gan = GraphGenerator(codec.side, settings or GanSettings.for_graphs(len(examples)))
    graphs = codec.encode([standard_setting(example.relaxed) for example in examples])
    gan.fit(graphs, seed, constraint, sample_weights=shares, folder=folder)
    return graphs, gan


def energy_shares(examples: Sequence[Example], hull_energy: HullEnergy) -> NDArray[np.floating]:
    """Return the probability of each example to be drawn into a batch, (n,): proportional to exp(-energy above hull / temperature), 0 for an element.

    The temperature is `TEMPERATURE`, or as much higher as it takes that a share `LEAST_LEARNT` of the compounds counts, ``(sum w)^2 / sum w^2``.
    Where there is no compound, all count alike.
    """
    compound = np.array([len(example.relaxed.composition) > 1 for example in examples])
    if not compound.any():
        return np.full(len(examples), 1 / len(examples))
    above = np.array([example.formation_energy - hull_energy(example.relaxed) for example in examples])
    above -= above[compound].min()
    temperature = TEMPERATURE
    while True:
        shares = np.where(compound, np.exp(-np.maximum(above, 0) / temperature), 0.0)
        shares /= shares.sum()
        if 1 / np.square(shares).sum() >= LEAST_LEARNT * compound.sum():
            return shares
        temperature *= 1.1


def draw_proposals(strategy: Strategy, networks: Networks, count: int, seed: int) -> Proposals:
    """Draw from trained networks, decode, make near symmetry exact, and leave out what the codec cannot hold.

    Parameters
    ----------
    strategy : one of `LEARNING_STRATEGIES`
    networks : its GAN, and its constraint where it ranks or descends
    count : graphs to decode; where the constraint screens, the lowest that differ of `SCREENED` times as many
    seed : of the draws
    """
    from ccdcgan_al.models.gan import LOOKED_AT
    from ccdcgan_al.models.latent import descend

    codec, gan, constraint, hull_energy = networks.codec, networks.gan, networks.constraint, networks.hull_energy
    screens = constraint is not None and hull_energy is not None and strategy in SCREENED_STRATEGIES
    z = gan.latents(SCREENED * count if screens else count, seed)
    if strategy == "latent" and constraint is not None:
        z = descend(gan, constraint, z)
    drawn = gan.graphs_of(z)
    diversity = measure_diversity(drawn[:LOOKED_AT], networks.graphs)
    if diversity.warning:
        warnings.warn(diversity.warning, stacklevel=2)
    screened = len(drawn) if screens else 0
    if screens and constraint is not None:
        lowest = np.argsort(constraint.predict(drawn)[0], kind="stable")
        drawn = drawn[distinct(drawn, networks.graphs, lowest, count)]
    decoded = codec.decode(drawn)
    reasons = Counter(answer.reason for answer in decoded if isinstance(answer, DecodeFailure))
    structures = [symmetrised(answer) for answer in decoded if isinstance(answer, Structure)]
    offered = [structure for structure in structures if _fits(codec, structure)]
    if len(offered) < len(structures):  # the standard cell can be longer than the one decoded
        reasons["outside_codec"] = len(structures) - len(offered)
    models = {"generator": gan.to_bytes()}
    failures = dict(sorted(reasons.items()))
    if constraint is None:
        return Proposals(offered, len(drawn), failures, models=models, diversity=diversity)

    def predict(structures: list[Structure]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        energies, spreads = constraint.predict(codec.encode([standard_setting(structure) for structure in structures]))
        if hull_energy is not None:
            energies = energies + np.array([hull_energy(structure) for structure in structures])
        return energies, spreads

    return Proposals(
        structures=offered,
        generated=len(drawn),
        failures=failures,
        predict=predict,
        held_out_mae=constraint.held_out_mae,
        held_out_count=constraint.held_out_count,
        models={"constraint": constraint.to_bytes(), **models},
        diversity=diversity,
        screened=screened,
    )


def with_neighbours(
    proposals: Proposals, codec: CrystalCodec, examples: Sequence[Example], shares: NDArray[np.floating], seed: int
) -> Proposals:
    """Return proposals that also hold neighbours of the examples, drawn by their `shares`, `NEIGHBOURS` for each graph that was decoded."""
    made = neighbours(
        [standard_setting(example.relaxed) for example in examples],
        codec.elements,
        shares,
        round(NEIGHBOURS * proposals.generated),
        seed,
    )
    fitting = [neighbour for neighbour in made if _fits(codec, neighbour.structure)]
    first = len(proposals.structures)
    failures = Counter(proposals.failures) + Counter(outside_codec=len(made) - len(fitting))
    return replace(
        proposals,
        generated=proposals.generated + len(made),
        failures=dict(sorted(failures.items())),
        structures=[*proposals.structures, *(neighbour.structure for neighbour in fitting)],
        neighbours={
            first + k: f"{neighbour.operation} in {examples[neighbour.parent].structure_id}".strip()
            for k, neighbour in enumerate(fitting)
        },
    )


def train_constraint(
    codec: CrystalCodec, examples: Sequence[Example], seed: int, hull_energy: HullEnergy | None = None
) -> LearnedConstraint:
    """Train the constraint on each structure before and after relaxation, both labelled with what is relaxed.

    It learns the energy above the hull, or, without `hull_energy`, the formation energy.
    """
    from ccdcgan_al.models import runtime
    from ccdcgan_al.models.constraint import FormationEnergyConstraint, HullConstraint

    runtime.start(seed)
    graphs = [
        codec.encode([standard_setting(example.relaxed), standard_setting(example.start)]) for example in examples
    ]
    energies = np.array([example.formation_energy for example in examples])
    constraint: LearnedConstraint = FormationEnergyConstraint(codec.side)
    if hull_energy is not None:
        constraint = HullConstraint(codec.side)
        energies = energies - np.array([hull_energy(example.relaxed) for example in examples])
    constraint.fit(np.array(graphs), energies, [structure_family(example.relaxed) for example in examples])
    return constraint


def not_learnable(elements: Sequence[str], structure: Structure) -> str | None:
    """Return why the codec of a chemical system cannot hold a structure, so that nothing learns from it; None where it can."""
    try:
        CrystalCodec.load("fast", elements).check(standard_setting(structure))
    except StructureInputError as error:
        return str(error)
    return None


def _fits(codec: CrystalCodec, *structures: Structure) -> bool:
    """Whether the codec can hold these structures in their standard settings."""
    try:
        for structure in structures:
            codec.check(standard_setting(structure))
    except StructureInputError:
        return False
    return True
