"""Value types that several modules share. They are frozen and check themselves when they are made. They have no other behaviour."""

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
"""Default relaxation method. docs/energies.md has the comparison that led to this choice."""

Origin = Literal["reference", "seed", "generated"]
"""Origin of a structure: an element's own phase, the starting set, or the loop."""


CodecName = Literal["fast", "paper"]
"""Codec of the crystal graphs, see docs/codec.md. fast: structure factors, without training. paper: the published images, compressed."""

FloatArray = NDArray[np.floating]
"""Array of real numbers. Each use states its shape."""

Strategy = str
"""Name of a strategy that proposes structures: a key of `ccdcgan_al.strategies.registry.STRATEGIES`."""

Operation = Literal["swap", "transmute", "slip", "distortion"]
"""Operation on a parent. swap: unlike atoms change places. transmute: atoms of one element become atoms of another. slip: layers
move against each other. distortion: the parent is slightly distorted, to test whether it relaxes back."""


@dataclass(frozen=True)
class Method:
    """How an energy was obtained. Energies of two methods never share a hull.

    Attributes
    ----------
    name : str
        Name that a user types, e.g. ``sevennet``.
    calculator : str
        Model or code, e.g. ``SevenNet 7net-0``.
    version : str
        Version of the package (or of VASP) that computed the energy.
    functional : str, default "PBE"
        Functional of the energies, e.g. ``PBE`` (PBE + U where the Materials Project uses a U).
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
        Id of the structure, unique in its campaign. It is made from round and rank, so the same seed gives the same id.
    structure : Structure
        Unrelaxed structure.
    origin : Origin
        Reference, seed or generated.
    round_number : int
        Number of the round. Seeds have 0.
    source : str, default ""
        Label of a seed: its prototype, or the file that contains it. Empty for a proposed structure.
    predicted_energy : float, optional
        Formation energy predicted by the constraint (eV/atom). None if no constraint was used.
    uncertainty : float, optional
        Standard deviation of the prediction over the ensemble (eV/atom).
    strategy : Strategy, optional
        Strategy that proposed the structure. None for seeds.
    operation : Operation, optional
        Operation on the parents. None if there was none.
    parents : tuple of str, optional
        structure_ids of the parents.
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
        Norm of the largest force on an atom at the end (eV/Å).
    converged : bool
        Whether the forces met the criterion.
    details : dict
        Other data about the energy, as plain JSON. For VASP: version, U values, POTCARs, and the changes that custodian made.
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
        Id of the structure in the campaign.
    reason : str
        Short word, e.g. ``unphysical``.
    message : str
        What was received and what was expected.
    method : str, default ""
        Name of the method. Empty if it is not known.
    structure : Structure, optional
        Last structure. None if there is none.
    energy_per_atom : float, optional
        Energy of the last structure (eV/atom), for information only.
    """

    structure_id: str
    reason: str
    message: str
    method: str = ""
    structure: Structure | None = None
    energy_per_atom: float | None = None


@dataclass(frozen=True)
class Phase:
    """One relaxed structure as a point of a hull.

    Attributes
    ----------
    structure_id : str
        Id of the structure in the campaign.
    structure : Structure
        Relaxed structure.
    energy_per_atom : float
        Total energy on the method's scale, without corrections unless `method` states one (eV/atom).
    method : Method
        How the energy was obtained.
    origin : Origin
        Reference, seed or generated.
    round_number : int, default 0
        Round that relaxed the structure.
    space_group : str or None
        Hermann-Mauguin symbol, if it is known. Otherwise the hull determines it.
    correction_per_atom : float or None
        MP2020 correction (eV/atom), if it is known. Otherwise the hull computes it.
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
    """A phase and its position relative to the convex hull.

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
        Energies on the hull that counts: uncorrected, with the hull's element references (eV/atom).
    corrected_formation_energy_per_atom, corrected_energy_above_hull : float or None
        The same energies with MP2020 corrections (eV/atom). None if there is no corrected hull.
    correction_driven : bool
        Whether the phase is on the corrected hull but not on the uncorrected one. Such a phase is no discovery.
    own_elements_formation_energy_per_atom, own_elements_energy_above_hull : float or None
        Energies on the uncorrected hull with the method's own energies of the elements (eV/atom). None in documents of
        versions that had only these energies.
    element_driven : bool
        Whether the phase is on only one of the two uncorrected hulls. Such a phase is no discovery.
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
