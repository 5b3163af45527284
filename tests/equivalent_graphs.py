"""Graphs of one crystal in several settings. A help of tests, not a part of the package: nothing learns from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from ccdcgan_al.codec.crystal_codec import CrystalCodec


def equivalent_graphs(
    codec: CrystalCodec, structure: Structure, count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Graphs (count, side, side, 1): the structure as it stands, then axes permuted and reversed, the origin moved by half cell vectors."""
    reduced = codec.check(structure)
    settings = [reduced]
    for _ in range(count - 1):
        axes = rng.permutation(3)
        signs = rng.choice([-1, 1], size=3)
        shift = rng.integers(0, 2, size=3) / 2
        matrix = signs[:, None] * reduced.lattice.matrix[axes]
        settings.append(Structure(matrix, reduced.species, signs * reduced.frac_coords[:, axes] + shift))
    return codec._encode_reduced(settings)
