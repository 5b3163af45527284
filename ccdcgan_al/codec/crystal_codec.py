"""Structure <-> crystal graph, whole. It trains nothing and knows no energies.

The codec that the loop uses is `fast`. Where the published method samples Gaussians on a 64^3 grid in a 15 Å cube and compresses them with a trained
network, `fast` takes fractional coordinates, keeps the structure factors of each element's sites up to |h|^2 = 12 (the principal components of a
periodic voxel image) and decodes by sparse super-resolution (see `structure_factors`). The latents keep the published sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from ccdcgan_al.codec.graph import graph_side, pack, unpack
from ccdcgan_al.codec.latents import DecodeFailure, FastLatents, Latents
from ccdcgan_al.codec.lattice_latent import MAX_CODEC_LENGTH, MIN_LENGTH
from ccdcgan_al.codec.paper.latents import PaperLatents
from ccdcgan_al.codec.structure_factors import MAX_SITES
from ccdcgan_al.errors import StructureInputError

__all__ = ["CODECS", "CrystalCodec", "DecodeFailure", "EncodedBatch"]

CODECS: dict[str, Callable[[], Latents]] = {"fast": FastLatents, "paper": PaperLatents}
BATCH = 64  # structures that are in memory as arrays at once, however many are asked for


@dataclass(frozen=True)
class EncodedBatch:
    """Graphs of those structures that could be encoded, and why the others could not.

    Attributes
    ----------
    graphs : ndarray of float32, shape (n_good, side, side, 1)
        See above.
    indices : ndarray of int
        Position in the input of each graph's structure, ascending, (n_good,).
    errors : dict of int to StructureInputError
        Position in the input -> what is wrong with that structure.
    """

    graphs: NDArray[np.float32]
    indices: NDArray[np.int_]
    errors: dict[int, StructureInputError]


@dataclass(frozen=True)
class CrystalCodec:
    """Encoder and decoder of crystal graphs for a fixed set of elements.

    Attributes
    ----------
    name : str
        A key of `CODECS`.
    elements : tuple of str
        1 to 8 element symbols; their order is the order of the sites latents.
    """

    name: str
    elements: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.name not in CODECS:
            raise ValueError(f"unknown codec {self.name!r}: wanted one of {', '.join(CODECS)}")
        for symbol in self.elements:
            if not Element.is_valid_symbol(symbol):
                raise ValueError(f"unknown element {symbol!r} in the codec's elements {self.elements}")
        if len(set(self.elements)) != len(self.elements):
            raise ValueError(f"the codec's elements must differ, got {self.elements}")
        graph_side(len(self.elements))

    @classmethod
    def load(cls, name: str, elements: Iterable[str]) -> CrystalCodec:
        """Return the codec `name` for these elements."""
        codec = cls(name, tuple(elements))
        _ = codec._latents  # weights that cannot be read are named here, not in the middle of a batch
        return codec

    @cached_property
    def _latents(self) -> Latents:
        return CODECS[self.name]()

    @property
    def side(self) -> int:
        """Side of the crystal graphs."""
        return graph_side(len(self.elements))

    def check(self, structure: Structure) -> Structure:
        """Return the reduced cell that will be encoded.

        Raises
        ------
        StructureInputError
            No structure, disordered, NaN or zero-volume cell, foreign element, more than 20 sites, or too long a
            cell.
        """
        if not isinstance(structure, Structure):
            raise StructureInputError(f"got {type(structure).__name__}: the codec wants a pymatgen Structure")
        if not structure.is_ordered:
            raise StructureInputError(f"{structure.formula} is disordered: the codec wants one element on each site")
        if not (np.isfinite(structure.frac_coords).all() and np.isfinite(structure.lattice.matrix).all()):
            raise StructureInputError(f"{structure.formula} has coordinates that are not finite numbers")
        if len(structure) == 0 or structure.volume < 0.1 * len(structure):
            raise StructureInputError(f"{structure.formula} has a cell of {structure.volume:.3g} Å^3: no crystal")
        foreign = {site.specie.symbol for site in structure} - set(self.elements)
        if foreign:
            raise StructureInputError(
                f"{structure.formula} holds {', '.join(sorted(foreign))}: this codec is for {', '.join(self.elements)}"
            )
        if len(structure) > MAX_SITES:
            raise StructureInputError(
                f"{structure.formula} has {len(structure)} sites: the limit is {MAX_SITES}; try its primitive cell"
            )
        if (
            structure.volume > MAX_CODEC_LENGTH**3
        ):  # no cell within the limits is larger, and reducing a vast one may not end
            raise StructureInputError(
                f"{structure.formula} has a cell of {structure.volume:.3g} Å^3: the limit is {MAX_CODEC_LENGTH**3:.0f} Å^3"
            )
        reduced = _niggli(structure)
        if min(reduced.lattice.abc) < MIN_LENGTH or max(reduced.lattice.abc) > MAX_CODEC_LENGTH:
            lengths = ", ".join(f"{length:.2f}" for length in reduced.lattice.abc)
            raise StructureInputError(
                f"{structure.formula} has a reduced cell of {lengths} Å: lengths must lie in {MIN_LENGTH} to {MAX_CODEC_LENGTH} Å"
            )
        self._latents.check(reduced)
        return reduced

    def encode(self, structures: Sequence[Structure]) -> NDArray[np.float32]:
        """Crystal graphs of structures.

        Parameters
        ----------
        structures : sequence of Structure
            Ordered structures of this codec's elements; each is brought to its Niggli cell first.

        Returns
        -------
        ndarray of float32, shape (n, side, side, 1)
            Values in [-1, 1].

        Raises
        ------
        StructureInputError
            See `check`; the message says which structure. `encode_batch` goes on without the bad ones.
        """
        graphs = np.zeros((len(structures), self.side, self.side, 1), dtype=np.float32)
        for start in range(0, len(structures), BATCH):
            reduced = [self.check(structure) for structure in structures[start : start + BATCH]]
            graphs[start : start + BATCH] = self._encode_reduced(reduced)
        return graphs

    def encode_batch(self, structures: Sequence[Structure]) -> EncodedBatch:
        """Crystal graphs of those structures that can be encoded; the bad ones are reported, not raised.

        Parameters
        ----------
        structures : sequence of Structure
            As for `encode`, but any of them may be bad.
        """
        errors: dict[int, StructureInputError] = {}
        good: list[int] = []
        graphs = [np.zeros((0, self.side, self.side, 1), dtype=np.float32)]
        for start in range(0, len(structures), BATCH):
            reduced = []
            for i, structure in enumerate(structures[start : start + BATCH], start):
                try:
                    reduced.append(self.check(structure))
                except StructureInputError as error:
                    errors[i] = error
                else:
                    good.append(i)
            if reduced:
                graphs.append(self._encode_reduced(reduced))
        return EncodedBatch(np.concatenate(graphs), np.array(good, dtype=int), errors)

    def _encode_reduced(self, structures: Sequence[Structure]) -> NDArray[np.float32]:
        """Graphs of structures in the cells given, unchecked, float32 (n, side, side, 1)."""
        cells = self._latents.lattice_latents(structures)
        sites = self._latents.sites_latents(structures, self.elements)
        return np.array([pack(cell, latents) for cell, latents in zip(cells, sites, strict=True)])

    def decode(self, graphs: NDArray[np.floating]) -> list[Structure | DecodeFailure]:
        """Structures of crystal graphs, one answer a graph, in order.

        Parameters
        ----------
        graphs : ndarray of float, shape (n, side, side, 1)
            See above.

        Returns
        -------
        list of Structure or DecodeFailure
            n structures or `DecodeFailure`; sites of one element follow each other in the order of `elements`.
        """
        answers: list[Structure | DecodeFailure] = []
        for start in range(0, len(graphs), BATCH):
            answers += self._decode_some(graphs[start : start + BATCH])
        return answers

    def _decode_some(self, graphs: NDArray[np.floating]) -> list[Structure | DecodeFailure]:
        """Answers to at most `BATCH` graphs."""
        answers: dict[int, Structure | DecodeFailure] = {}
        finite = [i for i, graph in enumerate(graphs) if np.isfinite(graph).all()]
        parts = {i: unpack(graphs[i], len(self.elements)) for i in finite}
        cells: dict[int, Lattice] = {}
        if finite:
            for i, lattice in zip(finite, self._latents.lattices(np.array([parts[i][0] for i in finite])), strict=True):
                if lattice is None:
                    answers[i] = DecodeFailure("no_lattice", "the lattice latent closes no cell")
                else:
                    cells[i] = lattice
        if cells:
            latents = np.array([parts[i][1] for i in cells])
            for i, sites in zip(cells, self._latents.sites(latents, list(cells.values()), self.elements), strict=True):
                answers[i] = sites if isinstance(sites, DecodeFailure) else self._structure(cells[i], sites)
        unreadable = DecodeFailure("inconsistent_sites", "the graph holds numbers that are not finite")
        return [answers.get(i, unreadable) for i in range(len(graphs))]

    def _structure(self, lattice: Lattice, sites: Sequence[NDArray[np.floating]]) -> Structure | DecodeFailure:
        """Structure of a cell and each element's fractional coordinates, or why it is none."""
        species = [symbol for symbol, found in zip(self.elements, sites, strict=True) for _ in found]
        if not species:
            return DecodeFailure("no_sites", "every element's count is zero")
        if len(species) > MAX_SITES:
            return DecodeFailure("too_many_sites", f"{len(species)} sites in the cell: the limit is {MAX_SITES}")
        structure = Structure(lattice, species, np.concatenate([found.reshape(-1, 3) for found in sites]))
        if not math.isfinite(structure.volume):
            return DecodeFailure("no_lattice", f"a cell of {structure.volume} Å^3")
        return structure


def _niggli(structure: Structure) -> Structure:
    """Niggli cell by spglib, which takes a quarter of the time of pymatgen's; pymatgen's where spglib finds none."""
    matrix = spglib.niggli_reduce(structure.lattice.matrix, eps=1e-5)
    if matrix is None:
        return structure.get_reduced_structure("niggli")
    lattice = Lattice(matrix)
    return Structure(
        lattice, structure.species, lattice.get_fractional_coords(structure.cart_coords), to_unit_cell=True
    )
