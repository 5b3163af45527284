"""What every codec has to do: lattices and sites to latents and back. The latents' sizes are those of `graph`; the codecs differ in the numbers.

`FastLatents` is the closed form. A codec plugs in as a class with these five methods and a line in `codec.CODECS`.
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

MAX_MISFIT = 0.3  # rms misfit of F(h) / n above which no set of sites explains a graph; latents of real sites give 0


@dataclass(frozen=True)
class DecodeFailure:
    """Why a crystal graph is no structure.

    Attributes
    ----------
    reason : str
        One of ``no_sites``, ``too_many_sites``, ``no_lattice``, ``inconsistent_sites``.
    message : str
        The figures behind it.
    """

    reason: str
    message: str


class Latents(Protocol):
    """The part in which codecs differ. All methods take and give batches, in order; cells are Niggli cells."""

    def check(self, structure: Structure) -> None:
        """Raise StructureInputError for a reduced structure that this codec cannot hold, beyond what all codecs refuse."""

    def lattice_latents(self, structures: Sequence[Structure]) -> FloatArray:
        """Latents of the cells, (n, 25) in [-1, 1]."""

    def sites_latents(self, structures: Sequence[Structure], elements: Sequence[str]) -> FloatArray:
        """Latents of each element's sites, (n, n_elements, 200) in [-1, 1]; an element may have no sites."""

    def lattices(self, latents: FloatArray) -> list[Lattice | None]:
        """Cells of latents (n, 25), finite numbers of any size; None where they close no cell."""

    def sites(
        self, latents: FloatArray, lattices: Sequence[Lattice], elements: Sequence[str]
    ) -> list[list[FloatArray] | DecodeFailure]:
        """Fractional coordinates (k, 3) of each element's sites from latents (n, n_elements, 200), or why there are none."""


class FastLatents:
    """Log lengths and cosines of the cell, and the structure factors of each element's sites: nothing is trained, see `structure_factors`."""

    def check(self, structure: Structure) -> None:
        """Refuse nothing more: what lies within the limits of all codecs fits."""

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
        """See `Latents`; sites whose structure factors leave a misfit above `MAX_MISFIT` are no sites."""
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
                return DecodeFailure("inconsistent_sites", f"{len(fractional)} {symbol} leave a misfit of {misfit:.2f}")
        return [fractional for fractional, _ in sites]
