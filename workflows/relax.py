"""The relaxer for ML potentials: a Maker based on atomate2's `AseRelaxer`. It knows no database and no campaign.

A cheap, robust potential (CHGNet) relaxes first, then the accurate one (SevenNet). Every stage is guarded
(`workflows.guards`). The scientific choices are the Maker's fields, so they are stored with the job. Each worker process
loads a model only once.
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
    """Relax cell and positions of a crystal with one or two ML potentials.

    Attributes
    ----------
    name : str
        Name of the job.
    method : str
        Potential whose energy counts, a name in `workflows.potentials.POTENTIALS`.
    fmax : float
        Convergence criterion for forces, including those on the cell (eV/Å).
    max_steps : int
        Maximum number of steps, at least 2. For 1 step, atomate2 makes a single point and calls it converged.
    pre_relax : str or None
        Potential that relaxes first. None, or the same potential as `method`, means no first stage.
    pre_relax_fmax : float
        Convergence criterion of the first stage (eV/Å). The first stage need not reach it.
    pre_relax_max_steps : int
        Maximum number of steps of the first stage.
    rattle : float
        Distance (Å) by which every atom is first moved in a random direction, so that the relaxation leaves symmetric saddle
        points. The structure's id is the seed.
    max_fall : float
        Largest decrease of the energy in the second stage (eV/atom). A larger one is a hole of the potential. It applies after a
        first stage, if the guard knows no energies of the elements.
    references : dict of str to float
        Energies of the elements on the method's scale (eV/atom), for the guard's bound. If empty, a PBE potential uses the
        Materials Project's energies, and others use a bound below all elements.
    optimizer_kwargs : dict of str to float
        Arguments of ASE's FIRE.

    Raises
    ------
    ValueError
        If `max_steps` is less than 2.
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
        """Relax a structure in this process.

        Parameters
        ----------
        structure : Structure
            Ordered periodic structure.
        structure_id : str
            Id of the structure, the seed of the rattle.

        Returns
        -------
        Relaxed
            Converged result.

        Raises
        ------
        RelaxationError
            If there is no usable energy. The error's reason states why.
        UnknownMethodError
            If `method` or `pre_relax` is unknown or not installed.
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
        """Relax with one potential and the guard. `converged` states whether `fmax` was reached."""
        references = (self.references if method == self.method else {}) or bounding_energies(method)
        observe = partial(RelaxationObserver, references=references, max_fall=max_fall)
        try:
            result = _run_ase(method, structure, observe, fmax=fmax, steps=max_steps, **self.optimizer_kwargs)
        except RelaxationError:
            raise
        except Exception as error:  # any error of a potential: the round continues, and the reason is stored
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
            n_steps=max(0, len(frames) - 2),  # frames: the start, one per step, and the last one twice
            max_force=float(np.linalg.norm(forces, axis=1).max()),
            converged=bool(result.converged),
        )


RelaxMaker = GuardedForceFieldRelaxMaker
"""Old class name, in Fireworks that versions before November 2026 stored."""


def ready_structure(structure: Structure, structure_id: str, rattle: float) -> Structure:
    """Check a structure before its relaxation, and return a rattled copy without site properties.

    Parameters
    ----------
    structure : Structure
        Ordered periodic structure.
    structure_id : str
        Id of the structure, the seed of the rattle.
    rattle : float
        Distance by which every atom is moved (Å).

    Returns
    -------
    Structure
        Rattled copy.

    Raises
    ------
    RelaxationError
        If the structure cannot be relaxed. The reason is ``bad_input``.
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
    """Relax cell and positions with atomate2's relaxer and FIRE. No file is written.

    Parameters
    ----------
    method : str
        Name of a potential in `POTENTIALS`.
    structure : Structure
        Structure before relaxation.
    observe : callable
        Function that takes ASE atoms and returns a function to call at each step.
    **kwargs : Any
        Arguments of `AseRelaxer.relax`: ``fmax`` (eV/Å), ``steps``. Arguments that it does not have go to FIRE.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from atomate2.ase.utils import AseRelaxer
    from atomate2.forcefields.utils import revert_default_dtype

    class OnceAStepFilter(FrechetCellFilter):
        """A cell filter that computes the matrix functions once per step (-20 %). FIRE asks for them three times."""

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

    with revert_default_dtype():  # some potentials change torch's default dtype
        relaxer = AseRelaxer(load_calculator(method), optimizer=observed, relax_cell=True)
        return relaxer.relax(
            structure, cell_filter=OnceAStepFilter, final_atoms_object_file=None, use_emmet_models=False, **kwargs
        )
