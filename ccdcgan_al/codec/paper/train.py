"""Makes the weights of the codec `paper` from nothing but a random seed: point sets and cells that no crystal lent, and their principal components.

The recipe is part of the model card, with the seed, the time and what was explained. No structure of a database is seen in training.
"""

from __future__ import annotations

import platform
import time
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.graph import LATTICE_LATENT_SIZE, SITES_LATENT_SIZE
from ccdcgan_al.codec.paper.lattice import LatticeComponents, centred_image
from ccdcgan_al.codec.paper.sites import SitesComponents, coarse_images
from ccdcgan_al.codec.paper.weights import PaperWeights
from ccdcgan_al.codec.structure_factors import MAX_SITES
from ccdcgan_al.codec.voxels import cube_positions
from ccdcgan_al.types import FloatArray

LENGTHS = (1.8, 10.5)  # Å, of training cells: the published limit of 10 Å and a margin
VOLUME_PER_ATOM = (7.0, 60.0)  # Å^3: from hydrides and carbides to the heaviest alkali metals
FLATTEST = 0.3  # least squared volume of a cell of unit lengths; a reduced cell has at least 0.5
STARTS = 1000  # training cells that are kept as places from which a decoding fit begins
_BATCH = 500


def random_cell(rng: np.random.Generator) -> FloatArray:
    """Six parameters of a random cell: sorted lengths (Å), cosines within +-0.5, as reduced cells have them."""
    while True:
        lengths, cosines = np.sort(rng.uniform(*LENGTHS, 3)), rng.uniform(-0.5, 0.5, 3)
        if 1 - (cosines**2).sum() + 2 * cosines.prod() > FLATTEST:
            return np.concatenate([lengths, cosines])


def random_positions(rng: np.random.Generator) -> FloatArray:
    """Positions (k, 3) in the cube (Å) of one element's atoms: 1 to 20 atoms anywhere in a random cell, of which k are this element's."""
    while True:
        count = int(rng.integers(1, MAX_SITES + 1))
        parameters = random_cell(rng)
        lattice = Lattice.from_parameters(*parameters[:3], *np.degrees(np.arccos(parameters[3:])))
        if VOLUME_PER_ATOM[0] * count < lattice.volume < VOLUME_PER_ATOM[1] * count:
            positions = cube_positions(Structure(lattice, ["H"] * count, rng.random((count, 3))))
            return positions[: rng.integers(1, count + 1)]


def train(seed: int = 0, arrangements: int = 20_000, cells: int = 3_000) -> tuple[PaperWeights, dict[str, Any]]:
    """Train both autoencoders.

    Parameters
    ----------
    seed : int, default 0
        Random seed of all that is drawn.
    arrangements : int, default 20000
        Point sets whose images the sites components are the principal ones of.
    cells : int, default 3000
        Cells whose images the lattice components are the principal ones of.

    Returns
    -------
    tuple of (PaperWeights, dict)
        Weights and model card.

    Raises
    ------
    ValueError
        Fewer samples than components.
    """
    if arrangements <= SITES_LATENT_SIZE or cells <= LATTICE_LATENT_SIZE:
        raise ValueError(
            f"principal components need more samples than there are of them: got {arrangements} arrangements and {cells} cells, "
            f"wanted more than {SITES_LATENT_SIZE} and {LATTICE_LATENT_SIZE}"
        )
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    sites, sites_explained = _train_sites(rng, arrangements)
    lattice, lattice_explained = _train_lattice(rng, cells)
    card = {
        "codec": "paper",
        "what": "principal components of low-passed 64^3 sites images (one element, 200) and of 32^3 lattice images (25)",
        "seed": seed,
        "recipe": {
            "arrangements": arrangements,
            "cells": cells,
            "lengths_angstrom": LENGTHS,
            "volume_per_atom_cubic_angstrom": VOLUME_PER_ATOM,
            "atoms": [1, MAX_SITES],
            "positions": "uniform in the cell; a random share of the atoms is one element's",
            "structures_of_a_database": 0,
        },
        "variance_explained": {"sites": round(sites_explained, 4), "lattice": round(lattice_explained, 4)},
        "seconds": round(time.perf_counter() - started, 1),
        "made_with": {"python": platform.python_version(), "numpy": np.__version__},
        "licence": "MIT, as the package",
    }
    return PaperWeights(sites, lattice), card


def _train_sites(rng: np.random.Generator, arrangements: int) -> tuple[SitesComponents, float]:
    """Components of the images of `arrangements` point sets, and the share of the variance that they explain."""
    from scipy.sparse.linalg import eigsh

    counts, images, summed, total = [], [], 0.0, 0.0
    for start in range(0, arrangements, _BATCH):
        sets = [random_positions(rng) for _ in range(min(_BATCH, arrangements - start))]
        batch = np.array([coarse_images(positions).sum(axis=0) for positions in sets], dtype=np.float32)
        counts += [len(positions) for positions in sets]
        images.append(batch.astype(np.float16))
        flat = batch.reshape(len(batch), -1).astype(float)
        summed = summed + flat.sum(axis=0)
        total = total + flat.T @ flat
    covariance = total / arrangements - np.outer(summed, summed) / arrangements**2
    # a fixed start of the iteration: the same seed gives the same components
    variances, vectors = eigsh(covariance, SITES_LATENT_SIZE, v0=np.ones(len(covariance)))
    order = np.argsort(variances)[::-1]
    basis = (vectors[:, order] / np.sqrt(variances[order])).astype(np.float32)
    components = np.concatenate([batch.reshape(len(batch), -1).astype(np.float32) @ basis for batch in images]).astype(
        float
    )
    with_intercept = np.hstack([components, np.ones((len(components), 1))])
    counting = np.linalg.lstsq(with_intercept, np.array(counts, dtype=float), rcond=None)[0]
    explained = float(variances.sum() / np.trace(covariance))
    return SitesComponents(
        basis.reshape(*images[0].shape[1:], SITES_LATENT_SIZE), components.mean(axis=0), counting
    ), explained


def _train_lattice(rng: np.random.Generator, cells: int) -> tuple[LatticeComponents, float]:
    """Components of the images of `cells` cells, and the share of the variance that they explain."""
    parameters = np.array([random_cell(rng) for _ in range(cells)])
    images = np.array([centred_image(one) for one in parameters])
    mean = images.mean(axis=0)
    gram = (images - mean) @ (images - mean).T / cells
    variances, vectors = np.linalg.eigh(gram.astype(float))
    order = np.argsort(variances)[::-1][:LATTICE_LATENT_SIZE]
    deviations = np.sqrt(variances[order])
    basis = ((images - mean).T @ vectors[:, order].astype(np.float32)) / (deviations**2 * np.sqrt(cells)).astype(
        np.float32
    )
    explained = float(variances[order].sum() / np.trace(gram))
    return LatticeComponents(basis.astype(np.float32), mean @ basis, parameters[:STARTS]), explained
