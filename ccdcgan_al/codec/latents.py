"""Define the interface of a codec: lattices and sites to latents and back. `graph` sets the sizes of the latents.

`FastLatents` is the closed-form codec. A new codec is a class with these five methods and an entry in `codec.CODECS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.lattice_latent import lattice_from_latent, lattice_latent
from ccdcgan_al.codec.structure_factors import sites_from_latents, sites_latent
from ccdcgan_al.types import FloatArray

MAX_MISFIT = (
    0.3  # threshold of the rms misfit of F(h) / n; above it no set of sites explains a graph; real sites give 0
)


@dataclass(frozen=True)
class DecodeFailure:
    """Reason why a crystal graph could not be decoded.

    Attributes
    ----------
    reason : str
        One of ``no_sites``, ``too_many_sites``, ``no_lattice``, ``inconsistent_sites``.
    message : str
        Explanation with the figures.
    """

    reason: str
    message: str


class Latents(Protocol):
    """Interface of the part in which codecs differ. Methods take and return batches in order. Cells are Niggli cells."""

    def check(self, structure: Structure) -> None:
        """Raise StructureInputError if only this codec cannot encode a reduced structure. `CrystalCodec` makes the common checks."""

    def lattice_latents(self, structures: Sequence[Structure]) -> FloatArray:
        """Return the latents of the cells, shape (n, 25), values in [-1, 1]."""

    def sites_latents(self, structures: Sequence[Structure], elements: Sequence[str]) -> FloatArray:
        """Return the latents of each element's sites, shape (n, n_elements, 200), values in [-1, 1]. An element may have no sites."""

    def lattices(self, latents: FloatArray) -> list[Lattice | None]:
        """Return the cells of latents (n, 25) with finite values of any size. A latent that gives no valid cell becomes None."""

    def sites(
        self, latents: FloatArray, lattices: Sequence[Lattice], elements: Sequence[str]
    ) -> list[list[FloatArray] | DecodeFailure]:
        """Return fractional coordinates (k, 3) of each element's sites from latents (n, n_elements, 200), or a failure."""


class FastLatents:
    """Latents of the codec `fast`: log lengths and cosines of the cell, and structure factors of each element's sites.

    It needs no training. See `structure_factors`.
    """

    def check(self, structure: Structure) -> None:
        """Accept every structure that passes the common checks."""

    def lattice_latents(self, structures: Sequence[Structure]) -> FloatArray:
        """See `Latents`."""
        return np.array([lattice_latent(structure.lattice) for structure in structures])

    def sites_latents(self, structures: Sequence[Structure], elements: Sequence[str]) -> FloatArray:
        """See `Latents`."""
        latents = []
        for structure in structures:
            symbols = np.array([site.specie.symbol for site in structure])
            latents.append([sites_latent(structure.frac_coords[symbols == symbol]) for symbol in elements])
        return np.array(latents)

    def lattices(self, latents: FloatArray) -> list[Lattice | None]:
        """See `Latents`."""
        return [lattice_from_latent(latent) for latent in latents]

    def sites(
        self, latents: FloatArray, lattices: Sequence[Lattice], elements: Sequence[str]
    ) -> list[list[FloatArray] | DecodeFailure]:
        """See `Latents`. Decoding fails if the structure factors leave a misfit above `MAX_MISFIT`."""
        found = sites_from_latents(latents.reshape(-1, latents.shape[-1]))
        per_graph = [found[start : start + len(elements)] for start in range(0, len(found), len(elements))]
        return [self._checked(sites, elements) for sites, _ in zip(per_graph, lattices, strict=True)]

    @staticmethod
    def _checked(
        sites: Sequence[tuple[FloatArray, float]], elements: Sequence[str]
    ) -> list[FloatArray] | DecodeFailure:
        """Sites of one graph, if their misfits are small enough."""
        for symbol, (fractional, misfit) in zip(elements, sites, strict=True):
            if misfit > MAX_MISFIT and len(fractional):
                return DecodeFailure(
                    "inconsistent_sites", f"{len(fractional)} {symbol} sites leave a misfit of {misfit:.2f}"
                )
        return [fractional for fractional, _ in sites]
