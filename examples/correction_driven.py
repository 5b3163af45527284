"""Why one hull is not enough: a phase that is stable only because of an anion correction, and how it is flagged.

MP2020 lowers every Se in a compound by 0.472 eV and none in the element. Here BiSe6 is given an energy 20 meV/atom above
the tie line from Bi2Se3 to Se; with corrections it falls onto the hull, and it is no discovery.

Run: python examples/correction_driven.py
"""

from pymatgen.core import Lattice, Structure

from ccdcgan_al.hull.element_references import OWN
from ccdcgan_al.hull.hull import build_hull
from ccdcgan_al.hull.novelty import new_phases
from ccdcgan_al.types import Method, Phase

METHOD = Method("by hand", "energies made up for this example", "1")
BISMUTH, SELENIUM = -3.9, -3.5  # eV/atom, the zero of formation energies
BI2SE3_FORMATION = -0.39  # eV/atom, about what PBE gives


def crystal(formula: dict[str, int], length: float) -> Structure:
    """Return atoms of a formula strung along the diagonal of a cubic cell: the hull looks at compositions only."""
    species = [symbol for symbol, count in formula.items() for _ in range(count)]
    sites = [[k / len(species)] * 3 for k in range(len(species))]
    return Structure(Lattice.cubic(length), species, sites)


def main() -> None:
    """Build both hulls and print every phase's place."""
    tie_line = BI2SE3_FORMATION * (1 / 7) / (2 / 5)  # at BiSe6: one Bi in 7 atoms, where Bi2Se3 has two in 5
    bise6 = (BISMUTH + 6 * SELENIUM) / 7 + tie_line + 0.020
    bi2se3 = (2 * BISMUTH + 3 * SELENIUM) / 5 + BI2SE3_FORMATION
    phases = [
        Phase("bismuth", crystal({"Bi": 1}, 3.3), BISMUTH, METHOD, "reference"),
        Phase("selenium", crystal({"Se": 1}, 3.0), SELENIUM, METHOD, "reference"),
        Phase("bi2se3", crystal({"Bi": 2, "Se": 3}, 5.2), bi2se3, METHOD, "seed"),
        Phase("bise6", crystal({"Bi": 1, "Se": 6}, 6.0), bise6, METHOD, "generated", 1),
    ]
    hull = build_hull(phases, ("Bi", "Se"), OWN)  # the zero is that of the two elements above
    print(f"{'phase':10s}{'above hull':>12s}{'with MP2020':>13s}   (meV/atom)")
    for entry in hull.entries:
        flag = "  correction-driven: no discovery" if entry.correction_driven else ""
        above, corrected = 1000 * entry.energy_above_hull, 1000 * (entry.corrected_energy_above_hull or 0.0)
        print(f"{entry.formula:10s}{above:12.0f}{corrected:13.0f}{flag}")
    print(f"new phases, within 50 meV/atom: {[entry.formula for entry in new_phases(hull, [], within=0.05)]}")


if __name__ == "__main__":
    main()
