"""The trained numbers of the codec `paper` as two files: `paper.npz` and its model card `paper.json`. It trains nothing."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.codec.graph import LATTICE_LATENT_SIZE, SITES_LATENT_SIZE
from ccdcgan_al.codec.paper.lattice import LatticeComponents
from ccdcgan_al.codec.paper.sites import COARSE, SitesComponents
from ccdcgan_al.codec.voxels import LATTICE_GRID
from ccdcgan_al.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS, CARD = "paper.npz", "paper.json"
SHAPES: dict[str, tuple[int | None, ...]] = {  # None: any number
    "sites_basis": (COARSE, COARSE, COARSE, SITES_LATENT_SIZE),
    "sites_mean": (SITES_LATENT_SIZE,),
    "sites_counting": (SITES_LATENT_SIZE + 1,),
    "lattice_basis": (LATTICE_GRID**3, LATTICE_LATENT_SIZE),
    "lattice_mean": (LATTICE_LATENT_SIZE,),
    "lattice_starts": (None, 6),
}


@dataclass(frozen=True, eq=False)
class PaperWeights:
    """Both autoencoders of the codec `paper`.

    Attributes
    ----------
    sites : SitesComponents
        64^3 image of one element's sites <-> 200 numbers.
    lattice : LatticeComponents
        32^3 image of the cell <-> 25 numbers.
    """

    sites: SitesComponents
    lattice: LatticeComponents

    def to_bytes(self) -> bytes:
        """Return all arrays as one .npz archive, float32; the same numbers give the same bytes."""
        arrays = {
            "sites_basis": self.sites.basis,
            "sites_mean": self.sites.mean,
            "sites_counting": self.sites.counting,
            "lattice_basis": self.lattice.basis,
            "lattice_mean": self.lattice.mean,
            "lattice_starts": self.lattice.starts,
        }
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{name: np.asarray(a, dtype=np.float32) for name, a in arrays.items()})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, blob: bytes, sha256: str) -> PaperWeights:
        """Load what `to_bytes` wrote.

        Raises
        ------
        WeightsError
            Truncated or foreign bytes, another sha256 than the one asked for, arrays of other shapes.
        """
        found = hashlib.sha256(blob).hexdigest()
        if found != sha256:
            raise WeightsError(
                f"weights of the codec have sha256 {found[:12]}..., wanted {sha256[:12]}...: install the package again, or run train-codec"
            )
        try:
            with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in SHAPES}
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise WeightsError(f"{len(blob)} bytes are no weights of the codec: {str(error)[:200]}") from error
        for name, shape in SHAPES.items():
            got = arrays[name].shape
            if len(got) != len(shape) or any(want not in (None, size) for size, want in zip(got, shape, strict=True)):
                raise WeightsError(f"weights of the codec: {name} is {got}, wanted {shape}")
        return cls(
            SitesComponents(arrays["sites_basis"], arrays["sites_mean"], arrays["sites_counting"]),
            LatticeComponents(arrays["lattice_basis"], arrays["lattice_mean"], arrays["lattice_starts"]),
        )


@cache
def shipped() -> PaperWeights:
    """Load the weights that come with the package, once a process.

    Raises
    ------
    WeightsError
        They are not there, or not those that the model card names.
    """
    folder = resources.files("ccdcgan_al.codec.paper").joinpath("weights")
    try:
        card = json.loads(folder.joinpath(CARD).read_text(encoding="utf-8"))
        return PaperWeights.from_bytes(folder.joinpath(WEIGHTS).read_bytes(), card["sha256"])
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"the codec's weights cannot be read ({error}): install the package again, or run train-codec"
        ) from error


def write(weights: PaperWeights, card: dict[str, Any], folder: Path) -> str:
    """Write weights and model card into a folder, each whole or not at all; returns the sha256 of the weights."""
    blob = weights.to_bytes()
    sha256 = hashlib.sha256(blob).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**card, "sha256": sha256, "bytes": len(blob)}, indent=2) + "\n"
    for name, content in ((WEIGHTS, blob), (CARD, text.encode())):
        temporary = folder / f".{name}.part"
        temporary.write_bytes(content)
        temporary.replace(folder / name)
    return sha256
