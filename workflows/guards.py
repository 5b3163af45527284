"""Guards: the limits of a physical relaxed crystal. They judge a configuration. They move no atom and compute no energy.

Far from equilibrium an ML potential can give extremely low energies (7net-0 ended at -71 and -4e12 eV/atom with atoms on
top of each other). Such a case is a failure with the reason `unphysical`. It is raised after a stage (`check_physical`), or
already at the step where it happens, which is cheaper (`RelaxationObserver`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.hull.element_references import energy_of_elements
from ccdcgan_al.structures.covalent import covalent_ratio
from ccdcgan_al.structures.electronegativity import electronegativity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike
    from pymatgen.core import Composition, Structure

Reason = Literal["unphysical", "not_converged", "calculator_error", "bad_input", "inconsistent", "walltime"]

MIN_DISTANCE_RATIO = 0.5
"""Smallest distance divided by the sum of covalent radii (`ccdcgan_al.structures.covalent`). The lowest of 7,140 binary and ternary
Materials Project crystals (mp_20) is 0.63 (UFeGe). 0.5 is shorter than any bond, and much longer than the distance of atoms on top
of each other."""

MIN_VOLUME_RATIO, MAX_VOLUME_RATIO = 0.2, 10.0
"""Volume divided by the sum of the elements' own molar volumes (pymatgen `Element.molar_volume`). The same crystals range
from 0.34 (Al(OH)3) to 8.1 (a Li2S8 molecule in a box), 98 % of them from 0.39 to 1.24."""

MAX_FORCE = 1000.0
"""Largest force on one atom (eV/Å). Bi-Se pairs at 0.8-2.0 Å give at most 43 (CHGNet) and 300 (7net-0). In a hole of the potential
at 0.5 Å, the force is 1e7."""

ENERGY_FLOOR = -20.0
"""eV/atom, if no reference energies are known. The lowest element in PBE is Pu with -14.3 (Materials Project), and no
formation energy per atom exceeds `DEEPEST_FORMATION`."""

DEEPEST_FORMATION = 5.0
"""eV/atom below the elements. The most stable compounds (LaF3, CaF2) lie about 4.5 below."""

BASE_FORMATION, PER_SQUARE = 2.5, 0.5
"""eV/atom, and eV/atom per square of the largest difference of Pauling electronegativities. They limit how far a compound may lie below its
elements (the project's own choice). Measured compounds stay 0.6 eV/atom above this limit (SiO2, HfO2, WO3, Al2O3). In Bi-Se the limit is 2.6, and
Bi2Se3 lies 0.4 below its elements."""

HIGHEST_FORMATION = 4.0
"""eV/atom above the elements. A structure above this limit is no crystal. Of 4,398 structures relaxed with 7net-0, one ended higher, a flat net
of Bi2Se at 6.6 with forces of 0.03 eV/Å. The next was at 2.3."""

_GEOMETRY_EVERY = 5


class RelaxationError(CcdcganError, RuntimeError):
    """A relaxation that gave no usable energy. The job stores it with its reason.

    Parameters
    ----------
    reason : Reason
        Kind of failure. ``inconsistent`` is a run whose energy is not of its method. ``walltime`` is a run that was stopped before
        the end of its batch job and continues when it is run again.
    message : str
        What was received and what was expected.
    structure : Structure or None
        Last structure, if there is one.
    energy_per_atom : float or None
        Energy of the last structure (eV/atom), for information. It never enters a hull.
    details : dict of str to Any or None
        Other data about the run, as plain JSON.

    Raises
    ------
    ValueError
        If the reason is not one of `Reason`.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        structure: Structure | None = None,
        energy_per_atom: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        if reason not in get_args(Reason):
            raise ValueError(f"reason must be one of {get_args(Reason)}, got {reason!r}")
        super().__init__(f"{reason}: {message}")
        self.reason: Reason = reason
        self.message = message
        self.structure = structure
        self.energy_per_atom = energy_per_atom
        self.details = details or {}


def deepest_formation(composition: Composition) -> float:
    """Return how far a crystal may lie below its elements (eV/atom). It is `DEEPEST_FORMATION` if an electronegativity is unknown."""
    values = [electronegativity(element.symbol) for element in composition.element_composition]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return DEEPEST_FORMATION
    return min(DEEPEST_FORMATION, BASE_FORMATION + PER_SQUARE * (max(known) - min(known)) ** 2)


def energy_floor(composition: Composition, references: Mapping[str, float] | None = None) -> float:
    """Return the energy (eV/atom) below which a crystal of this composition is unphysical.

    Parameters
    ----------
    composition : Composition
        Composition of the crystal.
    references : mapping of str to float or None
        Energies of the elements on the same method's scale (eV/atom). If one is missing, the bound is `ENERGY_FLOOR`.

    Returns
    -------
    float
        Lower bound of the energy (eV/atom).
    """
    of_elements = energy_of_elements(composition, references or {})
    return ENERGY_FLOOR if of_elements is None else of_elements - deepest_formation(composition)


def volume_ratio(structure: Structure) -> float:
    """Return the volume divided by the sum of the elements' own molar volumes. It is 1 if a molar volume is unknown."""
    from scipy.constants import Avogadro

    per_mole = [site.specie.molar_volume for site in structure]
    if any(not volume for volume in per_mole):
        return 1.0
    return float(structure.volume / (sum(per_mole) * 1e24 / Avogadro))


def check_physical(
    structure: Structure,
    energy_per_atom: float | None = None,
    forces: ArrayLike | None = None,
    *,
    references: Mapping[str, float] | None = None,
    min_distance_ratio: float = MIN_DISTANCE_RATIO,
) -> None:
    """Raise an error if a configuration is no crystal: its smallest distance, volume, energy or a force is out of bounds.

    Parameters
    ----------
    structure : Structure
        Ordered periodic structure.
    energy_per_atom : float or None
        Total energy (eV/atom).
    forces : array_like or None
        Forces (eV/Å), shape (n_atoms, 3).
    references : mapping of str to float or None
        Energies of the elements on the same scale (eV/atom).
    min_distance_ratio : float
        Smallest allowed distance divided by the sum of covalent radii.

    Raises
    ------
    RelaxationError
        If the configuration is no crystal. The error has the reason ``unphysical``, the structure and its energy.
    """
    problem = _energy_problem(energy_per_atom, forces, energy_floor(structure.composition, references))
    problem = problem or _geometry_problem(structure, min_distance_ratio)
    if problem:
        raise RelaxationError("unphysical", problem, structure, energy_per_atom)


def check_bound(structure: Structure, energy_per_atom: float, references: Mapping[str, float] | None) -> None:
    """Raise an error if a relaxed structure is no crystal, because its energy is more than `HIGHEST_FORMATION` above the elements' energy.

    Parameters
    ----------
    structure : Structure
        Relaxed structure.
    energy_per_atom : float
        Energy of the relaxed structure (eV/atom).
    references : mapping of str to float or None
        Energies of the elements on the same scale (eV/atom). If one is missing, no error is raised.

    Raises
    ------
    RelaxationError
        If the energy is too high. The error has the reason ``unphysical``, the structure and its energy.
    """
    of_elements = energy_of_elements(structure.composition, references or {})
    if of_elements is not None and energy_per_atom > of_elements + HIGHEST_FORMATION:
        problem = (
            f"the energy is {energy_per_atom:.6g} eV/atom, more than {HIGHEST_FORMATION:g} above the elements' {of_elements:.2f}: "
            "stranded where the potential knows no crystal"
        )
        raise RelaxationError("unphysical", problem, structure, energy_per_atom)


def _energy_problem(energy_per_atom: float | None, forces: ArrayLike | None, floor: float) -> str | None:
    """Return the problem with an energy (eV/atom) or forces (eV/Å), or None."""
    if energy_per_atom is not None and not np.isfinite(energy_per_atom):
        return f"the energy is {energy_per_atom}, not a finite number"
    if energy_per_atom is not None and energy_per_atom < floor:
        return (
            f"the energy fell to {energy_per_atom:.6g} eV/atom, below the bound of {floor:.2f}: a hole of the potential"
        )
    if forces is not None:
        norms = np.linalg.norm(np.asarray(forces, dtype=float), axis=-1)
        if not np.isfinite(norms).all():
            return "a force is not a finite number"
        if norms.max() > MAX_FORCE:
            return f"a force of {norms.max():.6g} eV/Å, above the bound of {MAX_FORCE:g}"
    return None


def _geometry_problem(structure: Structure, min_ratio: float) -> str | None:
    """Return the problem with the cell or the distances, or None."""
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        return "the cell or a coordinate is not a finite number"
    volume = volume_ratio(structure)
    if not MIN_VOLUME_RATIO <= volume <= MAX_VOLUME_RATIO:
        per_atom = structure.volume / len(structure)
        return (
            f"{per_atom:.3g} Å^3 an atom is {volume:.3g} times the elements' own volume, outside "
            f"{MIN_VOLUME_RATIO:g} to {MAX_VOLUME_RATIO:g}"
        )
    ratio = covalent_ratio(structure)
    if ratio < min_ratio:
        return (
            f"two atoms at {ratio:.2f} times the sum of their covalent radii, closer than the bound of {min_ratio:.2f}"
        )
    return None


class RelaxationObserver:
    """An optimiser's observer. It raises an error at the step where a relaxation becomes unphysical, not only at the end.

    It checks energy and forces at every step (they are already computed), and cell and distances at every fifth step. A
    structure can start with atoms closer than `MIN_DISTANCE_RATIO`, because a soft potential pushes them apart. But the
    relaxation must not bring them much closer.

    Parameters
    ----------
    atoms : Atoms
        ASE atoms with a calculator, or a cell filter around them.
    references : mapping of str to float or None
        Energies of the elements on the same scale (eV/atom).
    max_fall : float or None
        Largest decrease of the energy from the first step (eV/atom), if an element's energy is not known. None sets no limit.
        If all are known, it is not used, because a start can lie 1 eV/atom above its crystal without any hole of the potential.
    """

    def __init__(
        self, atoms: Any, *, references: Mapping[str, float] | None = None, max_fall: float | None = None
    ) -> None:
        self.atoms = getattr(atoms, "atoms", atoms)
        self.references = references
        self.max_fall = max_fall
        self.calls = 0
        self._floor = 0.0
        self._min_ratio = MIN_DISTANCE_RATIO

    def __call__(self) -> None:
        """Check the present state of the atoms.

        Raises
        ------
        RelaxationError
            If the atoms are in an unphysical state. The reason is ``unphysical``.
        """
        energy = float(self.atoms.get_potential_energy()) / len(self.atoms)
        if self.calls == 0:
            self._start(energy)
        problem = _energy_problem(energy, self.atoms.get_forces(), self._floor)
        if problem is None and self.calls % _GEOMETRY_EVERY == 0:
            problem = _geometry_problem(self._structure(), self._min_ratio)
        if problem is not None:
            raise RelaxationError("unphysical", f"at step {self.calls}: {problem}", self._structure(), energy)
        self.calls += 1

    def _start(self, energy: float) -> None:
        structure = self._structure()
        self._floor = energy_floor(structure.composition, self.references)
        unknown = energy_of_elements(structure.composition, self.references or {}) is None
        if unknown and self.max_fall is not None and np.isfinite(energy):
            self._floor = max(self._floor, energy - self.max_fall)
        self._min_ratio = min(MIN_DISTANCE_RATIO, 0.8 * covalent_ratio(structure))

    def _structure(self) -> Structure:
        from pymatgen.io.ase import AseAtomsAdaptor

        return AseAtomsAdaptor.get_structure(self.atoms)
