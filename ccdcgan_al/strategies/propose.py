"""The call of a strategy, which proposes structures from the structures relaxed so far. It selects nothing (see `selection`) and relaxes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ccdcgan_al.strategies.proposals import Example, HullEnergy, Proposals, Request
from ccdcgan_al.strategies.registry import strategy_entry
from ccdcgan_al.types import CodecName, Strategy

if TYPE_CHECKING:
    from pathlib import Path

    from ccdcgan_al.models.gan import GanSettings


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
    codec: CodecName = "fast",
) -> Proposals:
    """Propose structures with a strategy.

    Parameters
    ----------
    strategy : str
        Name in `ccdcgan_al.strategies.registry.STRATEGIES`.
    elements : sequence of str
        Symbols of the chemical system.
    examples : sequence of Example
        All relaxed structures that can be learnt from.
    count : int
        Number of crystal graphs or draws.
    seed : int
        Random seed of training and drawing.
    hull_energy : callable, optional
        Structure -> formation energy of the hull at its composition (eV/atom).
    gan_settings : GanSettings, optional
        Training settings of a GAN, see `ccdcgan_al.strategies.proposals.Request`.
    folder : Path, optional
        Folder of a GAN's checkpoint and log. Without it, neither is kept.
    codec : {"fast", "paper"}, default "fast"
        Codec of the crystal graphs.

    Raises
    ------
    ValueError
        If there is no strategy of this name.
    TooFewExamplesError
        If a learning strategy has too few examples within the codec's limits, or a distorting strategy has no compound.
    """
    request = Request(elements, examples, count, seed, hull_energy, gan_settings, folder, codec)
    return strategy_entry(strategy).load()(request)
