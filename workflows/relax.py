"""The relaxer of ML potentials: a Maker over atomate2's `AseRelaxer`. A relaxation here knows no database and no campaign.

A cheap, robust potential (CHGNet) relaxes first, the accurate one (SevenNet) after it; every stage is guarded
(`workflows.guards`). The scientific choices are the Maker's fields, so they are stored with the job. A worker process
loads each model once.
"""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcgan_al.types import DEFAULT_METHOD, Relaxed
from workflows.guards import RelaxationError, RelaxationObserver, check_bound, check_physical
from workflows.jobs import Relaxer
from workflows.potentials import bounding_energies, load_calculator, method_of, without_corrections

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomate2.ase.schemas import AseResult
    from pymatgen.core import Structure


@dataclass
class GuardedForceFieldRelaxMaker(Relaxer):
    """Relax a crystal, cell and positions, with one or two ML potentials.

    Attributes
    ----------
    name : str
        Job name.
    method : str
        The potential whose energy counts, a name in `workflows.potentials.POTENTIALS`.
    fmax : float
        Convergence criterion on forces, the cell's included (eV/Å).
    max_steps : int
        Steps after which it counts as not converged, 2 or more: atomate2 takes fewer for a single point, and that for converged.
    pre_relax : str or None
        The potential that relaxes first; None: none (nor where it is the same as `method`).
    pre_relax_fmax : float
        Its criterion (eV/Å); need not be reached.
    pre_relax_max_steps : int
        Its steps.
    rattle : float
        Every atom is moved by this much in a random direction first (Å), so that symmetric saddle points are left; seeded by
        the structure's id.
    max_fall : float
        After a pre-relaxation, how far the energy may fall in the second stage before it is a hole of the potential (eV/atom),
        where the guard knows no energies of the elements.
    references : dict of str to float
        Energies of the elements on the method's scale (eV/atom), for the guard's bound; empty: the Materials Project's for a
        PBE potential, else a bound below all elements.
    optimizer_kwargs : dict of str to float
        Arguments of ASE's FIRE.

    Raises
    ------
    ValueError
        `max_steps` is less than 2.
    """

    name: str = "relax"
    method: str = DEFAULT_METHOD
    fmax: float = 0.05
    max_steps: int = 300
    pre_relax: str | None = "chgnet"
    pre_relax_fmax: float = 0.2
    pre_relax_max_steps: int = 60
    rattle: float = 0.03
    max_fall: float = 1.0
    references: dict[str, float] = field(default_factory=dict)
    optimizer_kwargs: dict[str, float] = field(default_factory=lambda: {"dt": 0.2})

    def __post_init__(self) -> None:
        if self.max_steps < 2:  # noqa: PLR2004
            raise ValueError(f"max_steps must be at least 2, got {self.max_steps}: fewer relax nothing")

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        """Relax a structure here and now.

        Parameters
        ----------
        structure : Structure
            Ordered and periodic.
        structure_id : str
            Seeds the rattle.

        Returns
        -------
        Relaxed
            The converged result.

        Raises
        ------
        RelaxationError
            There is no usable energy; its reason says why.
        UnknownMethodError
            `method` or `pre_relax` is unknown or not installed.
        """
        method = method_of(self.method)
        pre_relaxed = self.pre_relax is not None and self.pre_relax != self.method
        start = ready_structure(structure, structure_id, self.rattle)
        if pre_relaxed and self.pre_relax is not None:
            method_of(self.pre_relax)
            start = self._stage(self.pre_relax, start, self.pre_relax_fmax, self.pre_relax_max_steps, None).structure
        relaxed = self._stage(self.method, start, self.fmax, self.max_steps, self.max_fall if pre_relaxed else None)
        relaxed = without_corrections(relaxed)
        if not relaxed.converged:
            raise RelaxationError(
                "not_converged",
                f"forces (with the cell's) above {self.fmax} eV/Å after {relaxed.n_steps} steps of {method.name}; "
                f"the largest on an atom is {relaxed.max_force:.3f}. A larger max_steps may help",
                relaxed.structure,
                relaxed.energy_per_atom,
            )
        check_bound(relaxed.structure, relaxed.energy_per_atom, self.references or bounding_energies(self.method))
        return relaxed

    def _stage(self, method: str, structure: Structure, fmax: float, max_steps: int, max_fall: float | None) -> Relaxed:
        """Relax with one potential, guarded; `converged` says whether `fmax` was reached."""
        references = (self.references if method == self.method else {}) or bounding_energies(method)
        observe = partial(RelaxationObserver, references=references, max_fall=max_fall)
        try:
            result = _run_ase(method, structure, observe, fmax=fmax, steps=max_steps, **self.optimizer_kwargs)
        except RelaxationError:
            raise
        except Exception as error:  # a potential's own error, of whatever kind: the round goes on, the reason is kept
            tail = "".join(traceback.format_exception(error)[-4:]).strip()
            raise RelaxationError("calculator_error", f"{method}: {tail}", structure) from error
        frames, relaxed = result.trajectory, result.final_mol_or_struct
        last = frames.frame_properties[-1]
        energy, forces = float(last["energy"] / len(relaxed)), np.asarray(last["forces"])
        check_physical(relaxed, energy, forces, references=references)
        return Relaxed(
            structure=relaxed,
            energy_per_atom=energy,
            method=method_of(method),
            n_steps=max(0, len(frames) - 2),  # a frame for the start, one a step, and the last once more
            max_force=float(np.linalg.norm(forces, axis=1).max()),
            converged=bool(result.converged),
        )


RelaxMaker = GuardedForceFieldRelaxMaker
"""Its name in Fireworks that were stored before schema version 4; for a worker that takes one before the database is migrated."""


def ready_structure(structure: Structure, structure_id: str, rattle: float) -> Structure:
    """Check a structure that is to be relaxed, and return a rattled copy without site properties.

    Parameters
    ----------
    structure : Structure
        Ordered and periodic.
    structure_id : str
        Seeds the rattle.
    rattle : float
        Distance by which every atom is moved (Å).

    Returns
    -------
    Structure
        The copy.

    Raises
    ------
    RelaxationError
        It is no structure that can be relaxed; the reason is ``bad_input``.
    """
    from pymatgen.core import Structure

    if not isinstance(structure, Structure) or len(structure) == 0:
        raise RelaxationError("bad_input", f"wanted a pymatgen Structure with atoms, got {type(structure).__name__}")
    if not structure.is_ordered:
        raise RelaxationError(
            "bad_input", f"{structure.formula} is disordered: a relaxation needs whole atoms", structure
        )
    values = [*structure.lattice.matrix.ravel(), *structure.frac_coords.ravel()]
    if not all(abs(value) < float("inf") for value in values) or structure.volume < 1e-3 * len(structure):
        raise RelaxationError("bad_input", f"{structure.formula} has NaN coordinates or a cell without volume")
    species = [site.specie.symbol for site in structure]
    bare = Structure(structure.lattice, species, structure.frac_coords)
    seed = int.from_bytes(hashlib.sha256(structure_id.encode()).digest()[:8], "big")
    return bare.perturb(rattle, min_distance=None, seed=seed) if rattle else bare


def _run_ase(
    method: str, structure: Structure, observe: Callable[[Any], Callable[[], None]], **kwargs: Any
) -> AseResult:
    """Relax cell and positions by atomate2's relaxer and FIRE; no file is written.

    Parameters
    ----------
    method : str
        Potential, a name in `POTENTIALS`.
    structure : Structure
        Where it starts.
    observe : callable
        Takes ASE atoms, and returns what is called at each step.
    **kwargs : Any
        Of `AseRelaxer.relax`: ``fmax`` (eV/Å), ``steps``; what it does not know itself is FIRE's.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from atomate2.ase.utils import AseRelaxer
    from atomate2.forcefields.utils import revert_default_dtype

    class OnceAStepFilter(FrechetCellFilter):
        """The cell filter; FIRE asks it three times a step, the matrix functions are computed once (-20 %)."""

        _last: tuple[bytes, Any] = (b"", None)

        def get_forces(self, **kwargs: Any) -> Any:
            key = self.atoms.positions.tobytes() + self.atoms.cell.array.tobytes()
            if key != self._last[0]:
                self._last = (key, super().get_forces(**kwargs))
            return self._last[1].copy()

    def observed(atoms: Any, **kwargs: Any) -> FIRE:
        optimizer = FIRE(atoms, logfile=None, **kwargs)
        optimizer.attach(observe(atoms), interval=1)
        return optimizer

    with revert_default_dtype():  # some potentials change torch's
        relaxer = AseRelaxer(load_calculator(method), optimizer=observed, relax_cell=True)
        return relaxer.relax(
            structure, cell_filter=OnceAStepFilter, final_atoms_object_file=None, use_emmet_models=False, **kwargs
        )
