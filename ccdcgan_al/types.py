"""The values that cross module borders: frozen, checked at birth. They hold no behaviour beyond their own consistency."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

DFT = "vasp"
"""Name of the method that is VASP."""

DEFAULT_METHOD = "sevennet-l3i5"
"""Name of the method that relaxes where the user names none; docs/energies.md has the comparison that chose it."""

Origin = Literal["reference", "seed", "generated"]
"""Where a structure came from: an element's own phase, the starting set, or the loop."""


CodecName = Literal["fast", "paper"]
"""How structures become crystal graphs, see docs/codec.md. fast: structure factors, nothing is trained. paper: the published images, compressed."""

FloatArray = NDArray[np.floating]
"""Array of real numbers; its shape is stated where it is used."""

Strategy = str
"""Name of a strategy, by which structures are proposed: a key of `ccdcgan_al.strategies.registry.STRATEGIES`."""

Operation = Literal["swap", "transmute", "slip", "distortion"]
"""What was done to a parent. swap: unlike atoms changed places. transmute: atoms became those of another element. slip: layers were
moved against each other. distortion: the parent was distorted a little, to see whether it relaxes back."""


@dataclass(frozen=True)
class Method:
    """How an energy was obtained; energies of two methods never share a hull.

    Attributes
    ----------
    name : str
        What a user types, e.g. ``sevennet``.
    calculator : str
        Model or code, e.g. ``SevenNet 7net-0``.
    version : str
        Version of the package (or of VASP) that computed it.
    functional : str, default "PBE"
        The functional whose energies it gives, e.g. ``PBE`` (PBE + U where the Materials Project uses a U).
    corrections : str, default "none"
        Correction scheme contained in the energy: ``none`` or ``MP2020``.
    """

    name: str
    calculator: str
    version: str
    functional: str = "PBE"
    corrections: str = "none"

    def __str__(self) -> str:
        return f"{self.name} ({self.calculator} {self.version}, {self.functional}, corrections: {self.corrections})"


@dataclass(frozen=True)
class Candidate:
    """A structure that is about to be relaxed.

    Attributes
    ----------
    structure_id : str
        Unique in its campaign, derived from round and rank, the same for the same seed.
    structure : Structure
        The unrelaxed structure.
    origin : Origin
        Reference, seed or generated.
    round_number : int
        0 for seeds.
    source : str, default ""
        Label of a seed: its prototype, or the file that it came from; empty for what a strategy proposed.
    predicted_energy : float, optional
        Formation energy predicted by the constraint (eV/atom), None where no constraint was asked.
    uncertainty : float, optional
        Its standard deviation over the ensemble (eV/atom).
    strategy : Strategy, optional
        What proposed it, None for seeds.
    operation : Operation, optional
        What was done to its parents, None where it has none.
    parents : tuple of str, optional
        structure_ids of the structures that it was made from.
    """

    structure_id: str
    structure: Structure
    origin: Origin
    round_number: int
    source: str = ""
    predicted_energy: float | None = None
    uncertainty: float | None = None
    strategy: Strategy | None = None
    operation: Operation | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relaxed:
    """A finished relaxation.

    Attributes
    ----------
    structure : Structure
        Relaxed structure.
    energy_per_atom : float
        Total energy on the method's scale (eV/atom).
    method : Method
        How the energy was obtained.
    n_steps : int
        Optimiser steps of the last stage.
    max_force : float
        Largest force component norm on an atom at the end (eV/Å).
    converged : bool
        Whether forces met the criterion.
    details : dict
        What else belongs to the energy, plain JSON: for VASP its version, U values, POTCARs, and what custodian
        changed.
    """

    structure: Structure
    energy_per_atom: float
    method: Method
    n_steps: int
    max_force: float
    converged: bool
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.energy_per_atom):
            raise ValueError(f"energy_per_atom must be finite, got {self.energy_per_atom}")


@dataclass(frozen=True)
class FailedRelaxation:
    """A relaxation that gave no usable energy.

    Attributes
    ----------
    structure_id : str
        Id in the campaign.
    reason : str
        Short word, e.g. ``unphysical``.
    message : str
        What came and what was wanted.
    method : str, default ""
        Name of the method, empty where it is not known.
    structure : Structure, optional
        The last structure, None where there is none.
    energy_per_atom : float, optional
        Its energy (eV/atom), for information only.
    """

    structure_id: str
    reason: str
    message: str
    method: str = ""
    structure: Structure | None = None
    energy_per_atom: float | None = None


@dataclass(frozen=True)
class Phase:
    """One relaxed structure as a point for the hull.

    Attributes
    ----------
    structure_id : str
        Id in the campaign.
    structure : Structure
        Relaxed structure.
    energy_per_atom : float
        Total energy on the method's scale, without corrections unless the method says so (eV/atom).
    method : Method
        How the energy was obtained.
    origin : Origin
        Reference, seed or generated.
    round_number : int, default 0
        The round that relaxed it.
    space_group : str or None
        Hermann-Mauguin symbol, if it is known. Otherwise a hull determines it.
    correction_per_atom : float or None
        MP2020 correction (eV/atom), if it is known. Otherwise a hull computes it.
    """

    structure_id: str
    structure: Structure
    energy_per_atom: float
    method: Method
    origin: Origin
    round_number: int = 0
    space_group: str | None = field(default=None, compare=False)
    correction_per_atom: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class HullEntry:
    """A phase with its place against the convex hull.

    Attributes
    ----------
    structure_id : str
        Id of the phase in the campaign.
    formula : str
        Reduced formula.
    space_group : str
        Hermann-Mauguin symbol.
    n_sites : int
        Number of sites in the cell.
    origin : {"reference", "seed", "generated"}
        Where the phase came from.
    round_number : int
        Round that relaxed the phase.
    formation_energy_per_atom, energy_above_hull : float
        On the hull that counts: uncorrected, with the hull's element references (eV/atom).
    corrected_formation_energy_per_atom, corrected_energy_above_hull : float or None
        The same with MP2020 corrections (eV/atom); None where the corrected hull is empty.
    correction_driven : bool
        On the corrected hull but not on the uncorrected one: no discovery.
    own_elements_formation_energy_per_atom, own_elements_energy_above_hull : float or None
        On the uncorrected hull with the method's own energies of the elements (eV/atom); None in documents of versions
        that had no other.
    element_driven : bool
        On one of the two uncorrected hulls but not on the other: no discovery.
    """

    structure_id: str
    formula: str
    space_group: str
    n_sites: int
    formation_energy_per_atom: float
    energy_above_hull: float
    corrected_formation_energy_per_atom: float | None
    corrected_energy_above_hull: float | None
    correction_driven: bool
    origin: Origin
    round_number: int
    own_elements_formation_energy_per_atom: float | None = None
    own_elements_energy_above_hull: float | None = None
    element_driven: bool = False
