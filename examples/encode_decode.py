"""A crystal as an image and back: the crystal graph of Bi2Se3, decoded again, and what noise does to it.

Run: python examples/encode_decode.py
"""

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from ccdcgan_al.codec.crystal_codec import CrystalCodec, DecodeFailure

# tetradymite: a = 4.143, c = 28.636 Å, Nakajima, J. Phys. Chem. Solids 24, 479 (1963)
BI2SE3 = Structure.from_spacegroup(
    "R-3m", Lattice.hexagonal(4.143, 28.636), ["Bi", "Se", "Se"], [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]]
).get_primitive_structure()


def main() -> None:
    """Encode, decode, compare."""
    codec = CrystalCodec.load("fast", ["Bi", "Se"])
    graphs = codec.encode([BI2SE3])
    print(f"{BI2SE3.formula}: a crystal graph of shape {graphs.shape}, values {graphs.min():.2f} to {graphs.max():.2f}")

    matcher = StructureMatcher()
    (back,) = codec.decode(graphs)
    if isinstance(back, DecodeFailure):
        raise SystemExit(f"not decoded: {back.reason}, {back.message}")
    print(f"decoded: {back.formula}, matches the input: {matcher.fit(BI2SE3, back)}")

    rng = np.random.default_rng(0)
    print("noise   decoded   still Bi2Se3 in its structure (of 50)")
    for sigma in (0.02, 0.05, 0.1, 0.2):
        noisy = np.repeat(graphs, 50, axis=0) + rng.normal(0, sigma, (50, *graphs.shape[1:]))
        answers = [answer for answer in codec.decode(noisy) if isinstance(answer, Structure)]
        print(f"{sigma:5.2f} {len(answers):9d} {sum(matcher.fit(BI2SE3, answer) for answer in answers):9d}")

    # a graph of pure noise is no crystal; the codec says why
    (answer,) = codec.decode(rng.uniform(-1, 1, graphs.shape))
    print(f"pure noise: {answer.reason}" if isinstance(answer, DecodeFailure) else f"pure noise: {answer.formula}")


if __name__ == "__main__":
    main()
