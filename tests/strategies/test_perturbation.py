"""Distorted seeds: same seed, same copies; volume kept, atoms moved."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.strategies.perturbation import perturbed_structures
from ccdcgan_al.strategies.proposals import Example
from ccdcgan_al.strategies.propose import propose

ROCK_SALT = Structure(Lattice.cubic(4.2), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
BISMUTH = Structure(Lattice.cubic(3.3), ["Bi"], [[0, 0, 0]])


def test_copies_keep_volume_and_composition() -> None:
    copies = perturbed_structures([BISMUTH, ROCK_SALT], 5, seed=1)
    assert [copy.composition for copy in copies] == [ROCK_SALT.composition] * 5
    assert [copy.volume for copy in copies] == pytest.approx([ROCK_SALT.volume] * 5)
    assert copies == perturbed_structures([BISMUTH, ROCK_SALT], 5, seed=1)
    assert copies[0] != perturbed_structures([BISMUTH, ROCK_SALT], 1, seed=2)[0]
    assert not np.allclose(copies[0].lattice.abc, ROCK_SALT.lattice.abc, atol=0.01)


def test_nothing_to_perturb() -> None:
    with pytest.raises(ValueError, match="none of 1 structures is a compound within 20 sites"):
        perturbed_structures([BISMUTH], 5, seed=1)


def test_it_is_a_strategy() -> None:
    examples = [Example(ROCK_SALT, ROCK_SALT, -0.2)]
    assert propose("perturbation", ("Bi", "Se"), examples, 3, 0).structures == perturbed_structures([ROCK_SALT], 3, 0)
