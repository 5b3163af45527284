"""Strategy `substitution`: prototypes with substituted elements, in random order, a baseline for generators. It relaxes and ranks nothing."""

from __future__ import annotations

import numpy as np

from ccdcgan_al.strategies.proposals import Proposals, Request


def propose(request: Request) -> Proposals:
    """Propose every prototype of the chemical system. Selection leaves out the seeds, because they are no longer novel."""
    from ccdcgan_al.seeds.choose import prototype_structures

    structures = [prototype.structure for prototype in prototype_structures(request.elements)]
    order = np.random.default_rng(request.seed).permutation(len(structures))
    return Proposals([structures[i] for i in order], generated=len(structures))
