"""What the strategies that learn have in common: examples within the codec's limits, the networks trained on them, and what is drawn.

Each of these strategies has a file of its own, which says how it uses GAN and constraint.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from ccdcgan_al.codec.crystal_codec import CrystalCodec, DecodeFailure
from ccdcgan_al.errors import StructureInputError, TooFewExamplesError
from ccdcgan_al.models.diversity import distinct, measure_diversity
from ccdcgan_al.strategies.mutations import mutants
from ccdcgan_al.strategies.proposals import Example, HullEnergy, Mutation, Proposals, Request
from ccdcgan_al.strategies.symmetrise import symmetrised
from ccdcgan_al.structures.families import standard_setting, structure_family
from ccdcgan_al.types import CodecName

if TYPE_CHECKING:
    from pathlib import Path

    from ccdcgan_al.models.constraint import LearnedConstraint
    from ccdcgan_al.models.gan import GanSettings, GraphGenerator

SCREENED = (
    5  # graphs drawn and screened for each that is decoded; a graph costs 0.1 ms to draw and screen, 15 ms to decode
)
MUTANTS = 0.5  # of low-lying structures, for each graph that is decoded
TEMPERATURE = 0.05  # eV/atom: a structure is drawn into a batch with exp(-energy above hull / TEMPERATURE)
LEAST_LEARNT = 0.25  # share of the compounds that must count: the temperature rises until so many do


@dataclass(frozen=True)
class Networks:
    """What a learning strategy has learnt.

    Attributes
    ----------
    codec : CrystalCodec
        Of the graphs.
    graphs : ndarray of float32
        What the GAN learnt from, float32 (n, side, side, 1).
    gan : GraphGenerator
        Trained.
    constraint : LearnedConstraint or None
        Trained; None where the strategy has none.
    hull_energy : HullEnergy, optional
        Of what is known, where the constraint has learnt energies above it; None where it has learnt formation
        energies.
    """

    codec: CrystalCodec
    graphs: NDArray[np.float32]
    gan: GraphGenerator
    constraint: LearnedConstraint | None
    hull_energy: HullEnergy | None = None


@dataclass(frozen=True)
class GanStrategy:
    """A strategy that draws from a GAN, trained anew in each round.

    Without `Request.hull_energy` and with `GanSettings.published()` all is as published: the constraint learns the formation
    energy, the GAN learns from all structures alike, nothing is screened, and there are no mutants.

    Attributes
    ----------
    ranks : bool
        Train the constraint, which ranks what is proposed.
    guides : bool
        Back-propagate the constraint into the generator, learn most from what lies low above the hull, and propose
        mutants of that, too.
    screens : bool
        Draw `SCREENED` graphs for each that is decoded; the constraint chooses.
    descends : bool
        Move the z downhill before decoding (`ccdcgan_al.models.latent`).
    """

    ranks: bool = False
    guides: bool = False
    screens: bool = False
    descends: bool = False

    def __call__(self, request: Request) -> Proposals:
        """Train, draw, and decode.

        Raises
        ------
        TooFewExamplesError
            There are too few examples within the codec's limits.
        """
        codec = CrystalCodec.load(request.codec, request.elements)
        learnable = learnable_examples(codec, request.examples)
        seed, hull_energy = request.seed, request.hull_energy
        constraint = train_constraint(codec, learnable, seed, hull_energy) if self.ranks else None
        guide = constraint if self.guides else None
        weights = boltzmann_weights(learnable, hull_energy) if self.guides and hull_energy else None
        graphs, gan = train_gan(codec, learnable, seed, guide, weights, request.gan_settings, request.folder)
        proposals = self.draw(Networks(codec, graphs, gan, constraint, hull_energy), request.count, seed)
        proposals = replace(proposals, not_learnt=len(request.examples) - len(learnable))
        return proposals if weights is None else with_mutants(proposals, codec, learnable, weights, seed)

    def draw(self, networks: Networks, count: int, seed: int) -> Proposals:
        """Draw from trained networks, decode, make near symmetry exact, and leave out what the codec cannot hold.

        Parameters
        ----------
        networks : Networks
            Its GAN, and its constraint where it ranks or descends.
        count : int
            Graphs to decode; where the constraint screens, the lowest that differ of `SCREENED` times as many.
        seed : int
            Of the draws.
        """
        from ccdcgan_al.models.gan import LOOKED_AT
        from ccdcgan_al.models.latent import descend

        codec, gan, constraint, hull_energy = networks.codec, networks.gan, networks.constraint, networks.hull_energy
        screens = self.screens and constraint is not None and hull_energy is not None
        z = gan.latents(SCREENED * count if screens else count, seed)
        if self.descends and constraint is not None:
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
            energies, spreads = constraint.predict(
                codec.encode([standard_setting(structure) for structure in structures])
            )
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


def learnable_examples(codec: CrystalCodec, examples: Sequence[Example]) -> list[Example]:
    """Return the examples that the codec can hold, before and after relaxation.

    Raises
    ------
    TooFewExamplesError
        There is none.
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
    sample_weights: NDArray[np.floating] | None = None,
    settings: GanSettings | None = None,
    folder: Path | None = None,
) -> tuple[NDArray[np.float32], GraphGenerator]:
    """Train a GAN on the relaxed structures; returns their graphs and the GAN.

    Weights start the same for a seed, with a constraint or without one. `sample_weights` are the probabilities of
    the examples in a batch. Without `settings`, those of `GanSettings.for_graphs` are used.
    """
    from ccdcgan_al.models import runtime
    from ccdcgan_al.models.gan import GanSettings, GraphGenerator

    runtime.start(seed)
    gan = GraphGenerator(codec.side, settings or GanSettings.for_graphs(len(examples)))
    graphs = codec.encode([standard_setting(example.relaxed) for example in examples])
    gan.fit(graphs, seed, constraint, sample_weights=sample_weights, folder=folder)
    return graphs, gan


def boltzmann_weights(examples: Sequence[Example], hull_energy: HullEnergy) -> NDArray[np.floating]:
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
        sample_weights = np.where(compound, np.exp(-np.maximum(above, 0) / temperature), 0.0)
        sample_weights /= sample_weights.sum()
        if 1 / np.square(sample_weights).sum() >= LEAST_LEARNT * compound.sum():
            return sample_weights
        temperature *= 1.1


def with_mutants(
    proposals: Proposals,
    codec: CrystalCodec,
    examples: Sequence[Example],
    sample_weights: NDArray[np.floating],
    seed: int,
) -> Proposals:
    """Return proposals that also hold mutants of the examples, drawn by their `sample_weights`, `MUTANTS` for each graph that was decoded."""
    made = mutants(
        [standard_setting(example.relaxed) for example in examples],
        codec.elements,
        sample_weights,
        round(MUTANTS * proposals.generated),
        seed,
    )
    fitting = [mutant for mutant in made if _fits(codec, mutant.structure)]
    first = len(proposals.structures)
    failures = Counter(proposals.failures) + Counter(outside_codec=len(made) - len(fitting))
    return replace(
        proposals,
        generated=proposals.generated + len(made),
        failures=dict(sorted(failures.items())),
        structures=[*proposals.structures, *(mutant.structure for mutant in fitting)],
        mutants={
            first + k: Mutation(mutant.operation, tuple(filter(None, [examples[mutant.parent].structure_id])))
            for k, mutant in enumerate(fitting)
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


def not_learnable(elements: Sequence[str], structure: Structure, codec: CodecName = "fast") -> str | None:
    """Return why the codec of a chemical system cannot hold a structure, so that nothing learns from it. None if it can."""
    try:
        CrystalCodec.load(codec, elements).check(standard_setting(structure))
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
