"""What a strategy is given, and what it gives back. A strategy is a function from `Request` to `Proposals`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from ccdcgan_al.types import CodecName, FloatArray, Operation, Origin

if TYPE_CHECKING:
    from pathlib import Path

    from ccdcgan_al.models.diversity import Diversity
    from ccdcgan_al.models.gan import GanSettings

HullEnergy = Callable[[Structure], float]
"""Structure -> formation energy of the hull at its composition (eV/atom): `hull.Hull.formation_energy_at`."""


@dataclass(frozen=True)
class Example:
    """A relaxed structure to learn from.

    Attributes
    ----------
    start, relaxed : Structure
        The structure before and after relaxation.
    formation_energy : float
        Of the relaxed structure (eV/atom).
    structure_id : str
        Its name, which its mutants give as their parent; empty where it has none.
    origin : Origin
        Where it entered the loop.
    """

    start: Structure
    relaxed: Structure
    formation_energy: float
    structure_id: str = ""
    origin: Origin = "seed"


@dataclass(frozen=True)
class Request:
    """What a strategy may use to propose the structures of a round.

    Attributes
    ----------
    elements : sequence of str
        Symbols of the chemical system.
    examples : sequence of Example
        Everything relaxed so far that may be learned from.
    count : int
        Crystal graphs or draws to make.
    seed : int
        Random seed of training and drawing: the same seed proposes the same.
    hull_energy : HullEnergy, optional
        Of what is known so far.
    gan_settings : GanSettings, optional
        How a GAN is trained; `GanSettings.for_graphs` without it, `GanSettings.published()` for the paper's setting.
    folder : Path, optional
        Of a GAN's checkpoint and TensorBoard log; without it, neither is kept.
    codec : {"fast", "paper"}
        Codec of the crystal graphs.
    """

    elements: Sequence[str]
    examples: Sequence[Example]
    count: int
    seed: int
    hull_energy: HullEnergy | None = None
    gan_settings: GanSettings | None = None
    folder: Path | None = None
    codec: CodecName = "fast"


@dataclass(frozen=True)
class Mutation:
    """What a proposed structure was made from.

    Attributes
    ----------
    operation : Operation
        What was done.
    parents : tuple of str
        structure_ids of the structures that it was done to.
    """

    operation: Operation
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Proposals:
    """What a strategy offers in one round.

    Attributes
    ----------
    structures : list of Structure
        Unrelaxed, in the order generated.
    generated : int
        How many graphs were decoded, draws or mutants were made.
    failures : dict of str to int
        Reason -> how many did not decode, or lie outside the codec's limits.
    predict : callable, optional
        Structures -> formation energies and standard deviations (eV/atom); None where the strategy does not rank.
    held_out_mae : float, optional
        Error of the constraint on held-out structures (eV/atom).
    held_out_count : int
        How many these are.
    models : dict of str to bytes
        The networks trained for the round.
    diversity : Diversity, optional
        Of the drawn graphs, which shows mode collapse; None where no GAN drew.
    screened : int
        Graphs drawn and screened by the constraint for those decoded; 0 where none were.
    mutants : dict of int to Mutation
        Index into `structures` -> what it was made from.
    not_learnt : int
        Examples outside the codec's limits, so that nothing was learnt from them; 0 where nothing is learnt.
    """

    structures: list[Structure]
    generated: int
    failures: dict[str, int] = field(default_factory=dict)
    predict: Callable[[list[Structure]], tuple[FloatArray, FloatArray]] | None = None
    held_out_mae: float | None = None
    held_out_count: int = 0
    models: dict[str, bytes] = field(default_factory=dict)
    diversity: Diversity | None = None
    screened: int = 0
    mutants: dict[int, Mutation] = field(default_factory=dict)
    not_learnt: int = 0
