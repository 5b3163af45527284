"""Implement `ccdcgan-al train-codec`: train the weights of the codec `paper` from a random seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from pathlib import Path


def train_codec_command(out: Path, seed: int, arrangements: int, cells: int) -> int:
    """Train, write `paper.npz` and `paper.json` to `out`, and print a summary. Returns the exit status."""
    from ccdcgan_al.codec.paper.train import train
    from ccdcgan_al.codec.paper.weights import WEIGHTS, write

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with console.status(f"training on {arrangements} arrangements and {cells} cells"):
            weights, card = train(seed, arrangements, cells)
        sha256 = write(weights, card, out)
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/] {escape(str(error))}")
        return 1
    explained = card["variance_explained"]
    Console(highlight=False, markup=False, soft_wrap=True).print(
        f"{out / WEIGHTS}: sha256 {sha256}\n"
        f"variance explained: sites {explained['sites']:.1%}, lattice {explained['lattice']:.1%}; {card['seconds']} s"
    )
    return 0
