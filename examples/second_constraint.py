"""A second constraint, in a class of one line: it keeps atoms apart, beside the energy or instead of it. No relaxation, no database.

Run: python examples/second_constraint.py
"""

import numpy as np
import tensorflow as tf
from pymatgen.core import Structure

from ccdcgan_al.codec.crystal_codec import CrystalCodec
from ccdcgan_al.codec.graph import LATTICE_LATENT_SIZE
from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.models import runtime
from ccdcgan_al.models.constraint import ConstraintSettings, LearnedConstraint
from ccdcgan_al.seeds.choose import prototype_structures
from ccdcgan_al.structures.covalent import covalent_ratio
from ccdcgan_al.structures.families import standard_setting, structure_family


class ClosenessConstraint(LearnedConstraint):
    """Anything that a crystal graph tells can be learnt: this class only names the quantity."""

    quantity = "closeness of the closest pair (1 - distance / sum of covalent radii)"


def closeness(structure: Structure) -> float:
    """Return the values to learn; the selection refuses 0.3 and more."""
    return 1 - covalent_ratio(structure)


def squeezed_crystals(codec: CrystalCodec, rng: np.random.Generator) -> list[Structure]:
    """Prototypes with Bi and Se substituted, squeezed to 20 to 100 % of their volume."""
    crystals = []
    for prototype in prototype_structures(codec.elements)[::2]:
        crystal = standard_setting(prototype.structure)
        crystal.scale_lattice(crystal.volume * rng.uniform(0.2, 1))
        try:
            crystals.append(codec.check(crystal))
        except StructureInputError:
            continue  # squeezed below the codec's shortest cell length
    return crystals


def main() -> None:
    """Learn it from crystals; then follow its gradient, as the generator does whose loss holds it."""
    codec = CrystalCodec.load("fast", ["Bi", "Se"])
    crystals = squeezed_crystals(codec, np.random.default_rng(0))
    values = np.array([closeness(crystal) for crystal in crystals])
    graphs = codec.encode(crystals)
    runtime.start(0)
    constraint = ClosenessConstraint(codec.side, ConstraintSettings(members=3))
    constraint.fit(graphs[:, None], values, [structure_family(crystal) for crystal in crystals])
    print(f"closeness of {len(crystals)} crystals: {values.min():.2f} to {values.max():.2f}")
    guess = np.abs(values - values.mean()).mean()
    print(f"error on held-out families: {constraint.held_out_mae:.3f}, of their mean: {guess:.3f}")

    # In the generator's loss: gan.fit(graphs, seed, constraint), or, beside the energy,
    # gan.fit(graphs, seed, lambda graphs: energy(graphs) + constraint(graphs)). Here cells move down the same gradient.
    cell = np.zeros(codec.side**2, np.float32)
    cell[:LATTICE_LATENT_SIZE] = 1
    moving = tf.Variable(graphs[np.argsort(values)[-20:]])
    print(f"the 20 closest: {np.mean(np.sort(values)[-20:]):.2f}")
    for _ in range(10):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(constraint(moving))
        slope = tape.gradient(loss, moving) * cell.reshape(codec.side, codec.side, 1)
        moving.assign_sub(0.03 * tf.sign(slope))
    moved = [closeness(answer) for answer in codec.decode(moving.numpy()) if isinstance(answer, Structure)]
    print(f"after 10 steps: {np.mean(moved):.2f} ({len(moved)} decoded)")


if __name__ == "__main__":
    main()
