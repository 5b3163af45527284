"""Make structures that are hard for a codec from real ones: relabelled, skewed, oblique, elongated, on faces. It evaluates nothing.

Each function takes a structure and a random generator. It returns a new structure, or None if this structure cannot be changed that way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pymatgen.core import Lattice, Structure

from ccdcgan_al.seeds.choose import MAX_SEED_LENGTH

# a codec sees points, not elements: these symbols replace the sorted symbols of every structure
SYMBOLS = ("Bi", "Se", "O", "Li", "Co")
MIN_DISTANCE, MIN_LENGTH = (
    1.0,
    2.0,
)  # Å after a strain: minimum distance between sites, and minimum length of a cell vector
_TRIES = 20

Maker = Callable[[Structure, np.random.Generator], Structure | None]


def with_symbols(structure: Structure) -> Structure:
    """Return the structure with its sorted elements replaced by the first symbols of `SYMBOLS`."""
    own = sorted({site.specie.symbol for site in structure})
    return Structure(
        structure.lattice, [SYMBOLS[own.index(site.specie.symbol)] for site in structure], structure.frac_coords
    )


def relabelled(n_elements: int) -> Maker:
    """Return a maker of structures with `n_elements` elements at random sites. Each element occurs at least once."""

    def make(structure: Structure, rng: np.random.Generator) -> Structure | None:
        if len(structure) < n_elements:
            return None
        labels = np.concatenate([np.arange(n_elements), rng.integers(n_elements, size=len(structure) - n_elements)])
        return Structure(structure.lattice, [SYMBOLS[k] for k in rng.permutation(labels)], structure.frac_coords)

    return make


def skewed(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the same crystal in a strongly sheared cell. Each cell vector is shifted by one or two of each earlier vector."""
    shear = np.eye(3, dtype=int)
    shear[1, 0], shear[2, 0], shear[2, 1] = rng.choice([-2, -1, 1, 2], size=3)
    lattice = Lattice(shear @ structure.lattice.matrix)
    fractional = structure.frac_coords @ np.linalg.inv(shear)
    order = rng.permutation(3)
    return Structure(Lattice(lattice.matrix[order]), structure.species, fractional[:, order])


def on_faces(structure: Structure, rng: np.random.Generator) -> Structure:
    """Return the same crystal with a site on a face of the cell along each axis. Most coordinates get a tiny rounding error."""
    sites = rng.integers(len(structure), size=3)
    origin = structure.frac_coords[sites, range(3)]
    noise = rng.choice([0.0, 1e-9, -1e-9, 1e-17], size=structure.frac_coords.shape)
    return Structure(structure.lattice, structure.species, (structure.frac_coords - origin + noise) % 1.0)


def oblique(structure: Structure, rng: np.random.Generator) -> Structure | None:
    """Return the structure strained to angles of 62 to 72 or 108 to 118 degrees, at the same volume."""
    for _ in range(_TRIES):
        angles = rng.uniform(62, 72, 3) if rng.random() < 0.5 else rng.choice([62.0, 72.0, 108.0, 118.0], 3)  # noqa: PLR2004
        cosines = np.cos(np.radians(angles))
        if 1 - (cosines**2).sum() + 2 * cosines.prod() < 0.3:  # noqa: PLR2004  the cell is too flat
            continue
        strained = _strained(structure, Lattice.from_parameters(*structure.lattice.abc, *angles))
        if strained is not None:
            return strained
    return None


def elongated(structure: Structure, rng: np.random.Generator) -> Structure | None:
    """Return the structure strained to a cell that is at least 2.5 times as long as wide, at the same volume."""
    for _ in range(_TRIES):
        long = rng.uniform(8, MAX_SEED_LENGTH)
        width = np.sqrt(structure.volume / long)
        if long < 2.5 * width:
            continue
        lengths = rng.permutation([width * 0.97, width * 1.03, long])
        strained = _strained(structure, Lattice.from_parameters(*lengths, *rng.uniform(85, 95, 3)))
        if strained is not None:
            return strained
    return None


def _strained(structure: Structure, lattice: Lattice) -> Structure | None:
    """Return the sites in another cell of the same volume, or None if sites are too close or the reduced cell is too short or too long."""
    strained = Structure(lattice.scale(structure.volume), structure.species, structure.frac_coords)
    if not strained.is_valid(MIN_DISTANCE):
        return None
    lengths = strained.get_reduced_structure("niggli").lattice.abc
    return strained if min(lengths) >= MIN_LENGTH and max(lengths) <= MAX_SEED_LENGTH else None


MAKERS: dict[str, Maker] = {
    "relabelled, 4": relabelled(4),
    "relabelled, 5": relabelled(5),
    "skewed": skewed,
    "on faces": on_faces,
    "oblique": oblique,
    "elongated": elongated,
}
