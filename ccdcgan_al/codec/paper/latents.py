"""The codec `paper` as `latents.Latents`: published voxel images and latents, with trained components between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.latents import DecodeFailure
from ccdcgan_al.codec.paper.weights import PaperWeights, shipped
from ccdcgan_al.codec.voxels import cube_positions, lattice_voxels, sites_voxels
from ccdcgan_al.types import FloatArray

MAX_MISFIT = 0.7  # rms, in standard deviations of the components, above which no set of sites explains a latent


class PaperLatents:
    """Principal components of the published voxel images.

    Parameters
    ----------
    weights : PaperWeights, optional
        Trained components; None: those that ship with the package.
    """

    def __init__(self, weights: PaperWeights | None = None) -> None:
        self.weights = weights or shipped()

    def check(self, structure: Structure) -> None:
        """Raise StructureInputError where the atoms do not fit the cube of 15 Å."""
        cube_positions(structure)

    def lattice_latents(self, structures: Sequence[Structure]) -> FloatArray:
        """See `Latents`."""
        return np.array([self.weights.lattice.encode(lattice_voxels(structure.lattice)) for structure in structures])

    def sites_latents(self, structures: Sequence[Structure], elements: Sequence[str]) -> FloatArray:
        """See `Latents`."""
        latents = []
        for structure in structures:
            image = sites_voxels(structure, elements)
            latents.append([self.weights.sites.encode(image[..., channel]) for channel in range(len(elements))])
        return np.array(latents)

    def lattices(self, latents: FloatArray) -> list[Lattice | None]:
        """See `Latents`."""
        return [self.weights.lattice.decode(latent) for latent in latents]

    def sites(
        self, latents: FloatArray, lattices: Sequence[Lattice], elements: Sequence[str]
    ) -> list[list[FloatArray] | DecodeFailure]:
        """See `Latents`; the atoms are moved so that their mean is at the cell's centre, as published."""
        return [
            self._sites_of_one(latent, lattice, elements) for latent, lattice in zip(latents, lattices, strict=True)
        ]

    def _sites_of_one(
        self, latents: FloatArray, lattice: Lattice, elements: Sequence[str]
    ) -> list[FloatArray] | DecodeFailure:
        """Sites of one graph from its latents (n_elements, 200)."""
        found: list[FloatArray] = []
        for symbol, latent in zip(elements, latents, strict=True):
            positions, misfit = self.weights.sites.decode(latent)
            if misfit > MAX_MISFIT:
                return DecodeFailure("inconsistent_sites", f"{len(positions)} {symbol} leave a misfit of {misfit:.2f}")
            found.append(positions)
        together = np.concatenate(found)
        centre = together.mean(axis=0) if len(together) else np.zeros(3)
        oriented = Lattice.from_parameters(*lattice.parameters)
        return [oriented.get_fractional_coords(positions - centre) + 0.5 for positions in found]
