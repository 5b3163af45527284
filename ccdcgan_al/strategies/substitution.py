"""Prototypes with the elements substituted, in random order: a baseline that a generator has to beat. It relaxes and ranks nothing."""

from __future__ import annotations

import numpy as np

from ccdcgan_al.strategies.proposals import Proposals, Request


def propose(request: Request) -> Proposals:
    """Propose every prototype of the chemical system; what was a seed is no longer novel, so that selection leaves it out."""
    from ccdcgan_al.seeds.choose import prototype_structures

    structures = [prototype.structure for prototype in prototype_structures(request.elements)]
    order = np.random.default_rng(request.seed).permutation(len(structures))
    return Proposals([structures[i] for i in order], generated=len(structures))
