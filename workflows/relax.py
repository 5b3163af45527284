"""The relaxers: one Maker over atomate2's ML force fields. A relaxation here knows no database and no campaign.

A cheap, robust potential (CHGNet) relaxes first, the accurate one (SevenNet) after it; every stage is guarded
(`workflows.guards`). The scientific choices are the Maker's fields, so they are stored with the job. A worker process
loads each model once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import traceback
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from ccdcgan_al.errors import UnknownMethodError
from ccdcgan_al.hull.element_references import materials_project_energies
from ccdcgan_al.types import DEFAULT_METHOD, Method, Relaxed
from workflows.guards import RelaxationError, RelaxationObserver, check_bound, check_physical
from workflows.jobs import Relaxer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure


@dataclass(frozen=True)
class Potential:
    """An ML potential that atomate2 can load and whose energy scale is known.

    Attributes
    ----------
    mlff : name in atomate2's `MLFF`
    calculator : the model, as a reader knows it
    package : distribution whose version is the method's version
    install : what `pip install` takes
    kwargs : keyword arguments of its ASE calculator
    functional : functional of its training energies
    corrections : correction scheme inside its raw output; MP2020 is taken off
    """

    mlff: str
    calculator: str
    package: str
    install: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    functional: str = "PBE"
    corrections: str = "none"


OURS = "'ccdcgan-al[potentials]'"  # what installs the potentials that come with this project
POTENTIALS: dict[str, Potential] = {
    "sevennet": Potential("SevenNet", "SevenNet 7net-0", "sevenn", OURS, {"model": "7net-0"}),
    "sevennet-l3i5": Potential("SevenNet", "SevenNet 7net-l3i5", "sevenn", OURS, {"model": "7net-l3i5"}),
    # trained on corrected energies: the MP2020 corrections are inside (pymatgen issue 3803)
    "chgnet": Potential("CHGNet", "CHGNet 0.3.0", "chgnet", OURS, {"stress_unit": "eV/A3"}, corrections="MP2020"),
    # the rest: raw PBE (r2SCAN) by their authors' account; not checked here, and they fetch their weights
    "mace": Potential("MACE-MPA-0", "MACE-MPA-0 medium", "mace-torch", "mace-torch", {"model": "medium-mpa-0"}),
    "mace-mp-0": Potential("MACE-MP-0", "MACE-MP-0 medium", "mace-torch", "mace-torch", {"model": "medium"}),
    "mattersim": Potential("MatterSim", "MatterSim", "mattersim", "mattersim"),
    "matpes-pbe": Potential("MatPES-PBE", "TensorNet MatPES-PBE", "matgl", "matgl", functional="PBE without U"),
    "matpes-r2scan": Potential("MatPES-r2SCAN", "TensorNet MatPES-r2SCAN", "matgl", "matgl", functional="r2SCAN"),
}
"""What a user may type as a method. A potential whose energy scale is not known here cannot name its method honestly,
so it is not listed."""


def method_of(name: str) -> Method:
    """Return how energies of the method `name` are obtained; imports no potential.

    Raises
    ------
    UnknownMethodError
        the name is not in `POTENTIALS`, or its package is not installed
    """
    potential = POTENTIALS.get(name)
    if potential is None:
        raise UnknownMethodError(
            f"Unknown method {name!r}; known are {', '.join(POTENTIALS)}. "
            f"sevennet, sevennet-l3i5 and chgnet come with: pip install {OURS}"
        )
    try:
        package_version = version(potential.package)
    except PackageNotFoundError as error:
        raise UnknownMethodError(
            f"The method {name!r} needs the package {potential.package}, which is not installed: "
            f"pip install {potential.install} (known methods: {', '.join(POTENTIALS)})"
        ) from error
    return Method(name, potential.calculator, package_version, potential.functional, corrections="none")


@functools.cache
def load_calculator(method: str) -> Calculator:
    """Load a potential, once a process: atomate2 calls this for every relaxation, by this function's import path.

    ASE's calculators compare the atoms with the last ones and drop their results where anything differs, so one may
    serve many structures.
    """
    from atomate2.forcefields.utils import MLFF, ase_calculator

    _one_thread()
    with contextlib.redirect_stdout(io.StringIO()):  # CHGNet prints its number of weights
        return ase_calculator(MLFF(POTENTIALS[method].mlff), **POTENTIALS[method].kwargs)


def _one_thread() -> None:
    """Keep torch to one thread where the worker was started with one."""
    import torch

    if os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(1)


@dataclass
class RelaxMaker(Relaxer):
    """Relax a crystal, cell and positions, with one or two ML potentials.

    Parameters
    ----------
    name : job name
    method : potential whose energy counts, a name in `POTENTIALS`
    fmax : convergence criterion on forces, the cell's included (eV/Å)
    max_steps : steps after which it counts as not converged, 2 or more: atomate2 takes fewer for a single point, and that for converged
    pre_relax : potential that relaxes first, None: none (nor where it is the same as `method`)
    pre_relax_fmax : its criterion (eV/Å); need not be reached
    pre_relax_max_steps : its steps
    rattle : every atom is moved by this much in a random direction first (Å), so that symmetric saddle points are
        left; seeded by the structure's id
    max_fall : after a pre-relaxation, how far the energy may fall in the second stage before it is a hole of the
        potential (eV/atom), where the guard knows no energies of the elements
    references : energies of the elements on the method's scale (eV/atom), for the guard's bound; empty: the Materials
        Project's for a PBE potential, else a bound below all elements
    optimizer_kwargs : arguments of ASE's FIRE
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
        structure : ordered periodic structure
        structure_id : seeds the rattle

        Raises
        ------
        RelaxationError
            no usable energy; its reason says why
        UnknownMethodError
            `method` or `pre_relax` is unknown or not installed
        """
        method = method_of(self.method)
        pre_relaxed = self.pre_relax is not None and self.pre_relax != self.method
        start = ready_structure(structure, structure_id, self.rattle)
        if pre_relaxed and self.pre_relax is not None:
            method_of(self.pre_relax)
            start = self._stage(self.pre_relax, start, self.pre_relax_fmax, self.pre_relax_max_steps, None).structure
        relaxed = self._stage(self.method, start, self.fmax, self.max_steps, self.max_fall if pre_relaxed else None)
        relaxed = _without_corrections(relaxed)
        if not relaxed.converged:
            raise RelaxationError(
                "not_converged",
                f"forces (with the cell's) above {self.fmax} eV/Å after {relaxed.n_steps} steps of {method.name}; "
                f"the largest on an atom is {relaxed.max_force:.3f}. A larger max_steps may help",
                relaxed.structure,
                relaxed.energy_per_atom,
            )
        check_bound(relaxed.structure, relaxed.energy_per_atom, self.references or _element_energies(self.method))
        return relaxed

    def _stage(self, method: str, structure: Structure, fmax: float, max_steps: int, max_fall: float | None) -> Relaxed:
        """Relax with one potential, guarded; `converged` says whether `fmax` was reached."""
        import numpy as np

        references = (self.references if method == self.method else {}) or _element_energies(method)
        try:
            maker = _force_field_maker(
                method,
                fmax=fmax,
                max_steps=max_steps,
                optimizer_kwargs=self.optimizer_kwargs,
                references=references,
                max_fall=max_fall,
            )
            document = maker.make.original(maker, structure)
        except RelaxationError:
            raise
        except Exception as error:  # a potential's own error, of whatever kind: the round goes on, the reason is kept
            tail = "".join(traceback.format_exception(error)[-4:]).strip()
            raise RelaxationError("calculator_error", f"{method}: {tail}", structure) from error
        relaxed, energy = document.structure, float(document.output.energy_per_atom)
        forces = np.asarray(document.output.forces)
        check_physical(relaxed, energy, forces, references=references)
        return Relaxed(
            structure=relaxed,
            energy_per_atom=energy,
            method=method_of(method),
            n_steps=max(0, document.output.n_steps - 2),  # atomate2's are frames: the first too, the last twice
            max_force=float(np.linalg.norm(forces, axis=1).max()),
            converged=str(getattr(document.state, "value", document.state)) == "successful",
        )


def _element_energies(method: str) -> dict[str, float]:
    """Return the energies of the elements by which the guard bounds a potential's (eV/atom); none where its functional is not the table's."""
    return materials_project_energies() if POTENTIALS[method].functional == "PBE" else {}


def ready_structure(structure: Structure, structure_id: str, rattle: float) -> Structure:
    """Check a structure that is to be relaxed, and return a rattled copy without site properties.

    Parameters
    ----------
    structure : ordered periodic structure
    structure_id : seeds the rattle
    rattle : distance by which every atom is moved (Å)

    Raises
    ------
    RelaxationError
        ``bad_input``
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


def _without_corrections(relaxed: Relaxed) -> Relaxed:
    """Take MP2020 corrections off an energy whose potential was trained with them, by pymatgen's own data."""
    if POTENTIALS[relaxed.method.name].corrections != "MP2020":
        return relaxed
    from ccdcgan_al.hull.corrections import mp2020_correction_per_atom

    return replace(relaxed, energy_per_atom=relaxed.energy_per_atom - mp2020_correction_per_atom(relaxed.structure))


def _force_field_maker(
    method: str,
    *,
    fmax: float,
    max_steps: int,
    optimizer_kwargs: dict[str, float],
    references: dict[str, float],
    max_fall: float | None,
) -> Any:
    """Return atomate2's relaxer with the cached potential, a guarded optimiser and no trajectory stored."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    class OnceAStepFilter(FrechetCellFilter):
        """The cell filter; FIRE asks it three times a step, the matrix functions are computed once (-20 %)."""

        _last: tuple[bytes, Any] = (b"", None)

        def get_forces(self, **kwargs: Any) -> Any:
            key = self.atoms.positions.tobytes() + self.atoms.cell.array.tobytes()
            if key != self._last[0]:
                self._last = (key, super().get_forces(**kwargs))
            return self._last[1].copy()

    def guarded(atoms: Any, **kwargs: Any) -> FIRE:
        optimizer = FIRE(atoms, logfile=None, **kwargs)
        optimizer.attach(RelaxationObserver(atoms, references=references, max_fall=max_fall), interval=1)
        return optimizer

    optimizer: Callable[..., FIRE] = guarded
    return ForceFieldRelaxMaker(
        force_field_name="Forcefield",
        calculator_meta=f"{load_calculator.__module__}.{load_calculator.__name__}",
        calculator_kwargs={"method": method},
        relax_cell=True,
        steps=max_steps,
        optimizer_kwargs={"optimizer": optimizer},
        relax_kwargs={
            "fmax": fmax,
            "cell_filter": OnceAStepFilter,
            "final_atoms_object_file": None,
            **optimizer_kwargs,
        },
        ionic_step_data=None,
    )
