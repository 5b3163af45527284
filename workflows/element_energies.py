"""Energies of the elements, by which the guard (`workflows.guards`) tells a hole of a potential; no hull contains them.

They are those of 7net-0 (sevenn 0.13.0) for the lowest of the first two to four of `ccdcgan_al.seeds.element_structures`: the molecular ones
and those up to P after 60 steps of relaxation, the others at their measured volume. Potentials trained on the same data agree to 0.2 eV/atom,
also CHGNet, since an element has no correction.
"""

from __future__ import annotations

ELEMENT_ENERGIES = {  # eV/atom
    "H": -3.38, "Li": -1.91, "Be": -3.71, "B": -6.63, "C": -9.21, "N": -8.32, "O": -4.91, "F": -1.88, "Ne": -0.03,
    "Na": -1.31, "Mg": -1.60, "Al": -3.72, "Si": -5.40, "P": -5.38, "S": -4.10, "Cl": -1.83, "Ar": -0.05,
    "K": -1.07, "Ca": -1.99, "Sc": -6.29, "Ti": -7.82, "V": -9.08, "Cr": -9.50, "Mn": -9.06, "Fe": -8.36,
    "Co": -7.07, "Ni": -5.77, "Cu": -4.10, "Zn": -1.25, "Ga": -3.02, "Ge": -4.57, "As": -4.63, "Se": -3.46,
    "Br": -1.61, "Kr": -0.02, "Rb": -0.94, "Sr": -1.67, "Y": -6.45, "Zr": -8.57, "Nb": -10.09, "Mo": -10.68,
    "Tc": -10.36, "Ru": -9.25, "Rh": -7.33, "Pd": -5.13, "Ag": -2.81, "Cd": -0.89, "In": -2.70, "Sn": -3.94,
    "Sb": -4.05, "Te": -3.06, "I": -1.49, "Xe": 0.01, "Cs": -0.85, "Ba": -1.87, "La": -4.92, "Ce": -5.73,
    "Pr": -4.75, "Nd": -4.75, "Pm": -4.73, "Sm": -4.70, "Eu": -10.24, "Gd": -14.06, "Tb": -4.62, "Dy": -4.59,
    "Ho": -4.57, "Er": -4.56, "Tm": -4.46, "Yb": -1.52, "Lu": -4.53, "Hf": -9.95, "Ta": -11.84, "W": -12.74,
    "Re": -12.43, "Os": -11.19, "Ir": -8.85, "Pt": -6.04, "Au": -3.23, "Hg": -0.20, "Tl": -2.32, "Pb": -3.68,
    "Bi": -3.81, "Ac": -3.94, "Th": -7.41, "Pa": -9.49, "U": -11.19, "Np": -12.86, "Pu": -14.05,
}  # fmt: skip
