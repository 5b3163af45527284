"""Input and output of a strategy. A strategy is a function from `Request` to `Proposals`. This module proposes nothing."""

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
        Formation energy of the relaxed structure (eV/atom).
    structure_id : str
        Id of the structure, which its mutants record as their parent. Empty if it has none.
    origin : Origin
        Origin of the structure.
    """

    start: Structure
    relaxed: Structure
    formation_energy: float
    structure_id: str = ""
    origin: Origin = "seed"


@dataclass(frozen=True)
class Request:
    """The data that a strategy can use to propose the structures of a round.

    Attributes
    ----------
    elements : sequence of str
        Symbols of the chemical system.
    examples : sequence of Example
        All relaxed structures that can be learnt from.
    count : int
        Number of crystal graphs or draws.
    seed : int
        Random seed of training and drawing. The same seed gives the same proposals.
    hull_energy : HullEnergy, optional
        Hull of the known phases.
    gan_settings : GanSettings, optional
        Training settings of a GAN. The default is `GanSettings.for_graphs`. `GanSettings.published()` has the paper's settings.
    folder : Path, optional
        Folder for a GAN's checkpoint and TensorBoard log. Without it, neither is kept.
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
    """The operation and the parents of a proposed structure.

    Attributes
    ----------
    operation : Operation
        Operation on the parents.
    parents : tuple of str
        structure_ids of the parents.
    """

    operation: Operation
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Proposals:
    """The structures that a strategy proposes in one round.

    Attributes
    ----------
    structures : list of Structure
        Unrelaxed structures, in the order of generation.
    generated : int
        Number of decoded graphs, draws or mutants.
    failures : dict of str to int
        Reason -> number of graphs that did not decode, or structures outside the codec's limits.
    predict : callable, optional
        Function from structures to formation energies and standard deviations (eV/atom). None if the strategy does not rank.
    held_out_mae : float, optional
        Error of the constraint on held-out structures (eV/atom).
    held_out_count : int
        Number of held-out structures.
    models : dict of str to bytes
        Networks that were trained for the round.
    diversity : Diversity, optional
        Diversity of the drawn graphs, which shows mode collapse. None if no GAN was used.
    screened : int
        Number of graphs that were drawn and screened by the constraint. 0 without screening.
    mutants : dict of int to Mutation
        Index into `structures` -> operation and parents.
    not_learnt : int
        Number of examples outside the codec's limits. Nothing was learnt from them. 0 if the strategy does not learn.
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
