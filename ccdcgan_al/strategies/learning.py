"""The common part of the strategies that learn: it selects the examples, trains the networks, and draws from them.

Each of these strategies has its own file, which states how it uses GAN and constraint.
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
    5  # graphs drawn and screened for each decoded graph; a graph costs 0.1 ms to draw and screen, 15 ms to decode
)
MUTANTS = 0.5  # mutants of low-lying structures for each decoded graph
TEMPERATURE = 0.05  # eV/atom: a structure is in a batch with probability ~ exp(-energy above hull / TEMPERATURE)
LEAST_LEARNT = 0.25  # least effective share of the compounds: the temperature rises until it is reached


@dataclass(frozen=True)
class Networks:
    """The trained networks of a learning strategy.

    Attributes
    ----------
    codec : CrystalCodec
        Codec of the graphs.
    graphs : ndarray of float32
        Graphs on which the GAN was trained, float32 (n, side, side, 1).
    gan : GraphGenerator
        Trained GAN.
    constraint : LearnedConstraint or None
        Trained constraint. None if the strategy has no constraint.
    hull_energy : HullEnergy, optional
        Hull of the known phases, if the constraint was trained on energies above hull. None if it was trained on formation
        energies.
    """

    codec: CrystalCodec
    graphs: NDArray[np.float32]
    gan: GraphGenerator
    constraint: LearnedConstraint | None
    hull_energy: HullEnergy | None = None


@dataclass(frozen=True)
class GanStrategy:
    """A strategy that draws from a GAN. The GAN is trained anew in each round.

    Without `Request.hull_energy` and with `GanSettings.published()`, the strategy follows the paper: the constraint is trained on
    formation energies, all structures have the same weight for the GAN, nothing is screened, and there are no mutants.

    Attributes
    ----------
    ranks : bool
        Whether to train the constraint, which ranks the proposed structures.
    guides : bool
        Whether to back-propagate the constraint into the generator, to give structures low above the hull the largest
        weight, and to propose mutants of them.
    screens : bool
        Whether to draw `SCREENED` graphs for each decoded graph. The constraint chooses among them.
    descends : bool
        Whether to optimise z before decoding (`ccdcgan_al.models.latent`).
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
            If there are too few examples within the codec's limits.
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
        """Draw from trained networks, decode, make approximate symmetry exact, and leave out structures that the codec cannot hold.

        Parameters
        ----------
        networks : Networks
            Networks with a GAN. A strategy that ranks or descends also needs the constraint.
        count : int
            Number of graphs to decode. With screening, these are the lowest distinct graphs of `SCREENED` times as many.
        seed : int
            Random seed of the draws.
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
        if len(offered) < len(structures):  # the standard cell can be longer than the decoded cell
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
        If there is no such example.
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
    """Train a GAN on the relaxed structures. Return their graphs and the GAN.

    The initial weights depend only on the seed, with or without a constraint. `sample_weights` are the probabilities of
    the examples in a batch. The default of `settings` is `GanSettings.for_graphs`.
    """
    from ccdcgan_al.models import runtime
    from ccdcgan_al.models.gan import GanSettings, GraphGenerator

    runtime.start(seed)
    gan = GraphGenerator(codec.side, settings or GanSettings.for_graphs(len(examples)))
    graphs = codec.encode([standard_setting(example.relaxed) for example in examples])
    gan.fit(graphs, seed, constraint, sample_weights=sample_weights, folder=folder)
    return graphs, gan


def boltzmann_weights(examples: Sequence[Example], hull_energy: HullEnergy) -> NDArray[np.floating]:
    """Return the probability of each example in a batch, (n,). It is proportional to exp(-energy above hull / temperature), and 0 for an element.

    The temperature is `TEMPERATURE`. It rises if necessary, until the effective share ``(sum w)^2 / sum w^2`` of the compounds is `LEAST_LEARNT`.
    If there is no compound, all examples have the same probability.
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
    """Add mutants of the examples to proposals: `MUTANTS` for each decoded graph. Parents are drawn with the probabilities `sample_weights`."""
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
    """Train the constraint on each structure before and after relaxation. Both have the energy of the relaxed structure as label.

    The label is the energy above hull or, without `hull_energy`, the formation energy.
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
    """Return why the codec of a chemical system cannot hold a structure, so that nothing is learnt from it. None if the codec can."""
    try:
        CrystalCodec.load(codec, elements).check(standard_setting(structure))
    except StructureInputError as error:
        return str(error)
    return None


def _fits(codec: CrystalCodec, *structures: Structure) -> bool:
    """Return whether the codec can hold these structures in their standard settings."""
    try:
        for structure in structures:
            codec.check(standard_setting(structure))
    except StructureInputError:
        return False
    return True
