"""The relaxer `vasp`: atomate2's Materials Project makers, run one after the other in their own folder.

This module reads and judges a run. It sets no INCAR tag, parses no VASP file and corrects no error: pymatgen's input
sets, atomate2 and custodian do this. The inputs are the Materials Project's (MPRelaxSet: 520 eV, spin with each element's
initial moment, PBE, or PBE + U for the oxides and fluorides of eight transition metals). So MP2020 corrections apply, and
the hull can be compared with the Materials Project's.

A run's folder has a name from the structure, its id and the maker's choices, so a repeated Firework finds it. A finished
stage is read, not computed again. An interrupted stage continues from its last valid CONTCAR. Neither torch nor
TensorFlow is imported.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcgan_al.errors import HullError, UnknownMethodError
from ccdcgan_al.files import write_json
from ccdcgan_al.types import Method, Relaxed
from workflows.guards import Reason, RelaxationError, check_physical
from workflows.jobs import Relaxer
from workflows.relax import GuardedForceFieldRelaxMaker, ready_structure
from workflows.vasp_result import bare, mp2020_correction, structure_of
from workflows.vasp_stage import COMPARABLE, finish, incar_updates_problem, own_folder, settings_of_run

if TYPE_CHECKING:
    from pymatgen.core import Structure

START_FILE = "start.json"


@dataclass
class GuardedVaspRelaxMaker(Relaxer):
    """Relax cell and positions of a crystal with VASP and the Materials Project's settings.

    Attributes
    ----------
    name : str
        Name of the job.
    method : str
        Name of the method.
    static : bool
        Whether to end with the Materials Project's static calculation. Then its energy counts. Structure and forces come from
        the relaxation.
    pre_relax : str or None
        ML potential that relaxes first (see `workflows.potentials.POTENTIALS`). None means no first relaxation and no torch.
    rattle : float
        Distance (Å) by which every atom is first moved in a random direction. In VASP this removes symmetry and adds k-points,
        so the default is none.
    max_attempts : int
        Maximum number of attempts for a stage, including interruptions and crashes of VASP.
    references : dict of str to float
        Energies of the elements (eV/atom), for the guard's bound. If empty, the bound is below all elements.
    """

    method: str = "vasp"
    static: bool = False
    pre_relax: str | None = None
    rattle: float = 0.0
    max_attempts: int = 5
    references: dict[str, float] = field(default_factory=dict)

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        """Relax a structure in this process, or read the results of an earlier attempt.

        Parameters
        ----------
        structure : Structure
            Ordered periodic structure.
        structure_id : str
            Id of the structure. It is part of the folder's name, and the seed of the rattle.

        Returns
        -------
        Relaxed
            Converged result.

        Raises
        ------
        RelaxationError
            If there is no usable energy. The reason states why, and the details state what custodian did.
        """
        settings = settings_of_run()
        name = f"{structure_id}-{_fingerprint(structure, self)}"
        start = ready_structure(structure, structure_id, self.rattle)
        with own_folder(settings.vasp_runs / name, settings) as folder:
            current, previous, stages = pre_relaxed(self.pre_relax, start, structure_id, folder), None, {}
            for stage in ("relax_1", "relax_2", *(["static"] if self.static else [])):
                stages[stage] = finish(stage, folder / stage, current, previous, self.max_attempts, settings)
                current, previous = structure_of(stages[stage]), folder / stage
        return self._judged(current, start, stages, folder)

    def _judged(self, relaxed: Structure, start: Structure, stages: dict[str, Any], folder: Path) -> Relaxed:
        """Return the result. Raise an error if the stages do not give an energy of this method."""
        last, relaxation = list(stages.values())[-1], stages["relax_2"]
        details = {
            **{
                key: last[key] for key in ("vasp_version", "run_type", "hubbards", "potcar", "magnetization", "bandgap")
            },
            "custodian": {name: stage["custodian"] for name, stage in stages.items()},
            "incar_changes": {name: stage["incar_changes"] for name, stage in stages.items()},
            "attempts": {name: stage["attempts"] for name, stage in stages.items()},
            "folder": str(folder),
        }
        energy = last["energy_per_atom"]

        def failed(reason: Reason, message: str) -> RelaxationError:
            return RelaxationError(reason, message, relaxed, energy, details)

        relaxed = bare(relaxed)
        if relaxed.composition != start.composition:
            raise failed("inconsistent", f"{start.formula} went in, {relaxed.formula} came out; see {folder}")
        changed = [
            f"{name}: {tag} {values[0]} -> {values[1]}"
            for name, stage in stages.items()
            for tag, values in stage["incar_changes"].items()
            if tag in COMPARABLE
        ]
        if changed:
            raise failed("inconsistent", f"custodian changed what decides the energy scale ({'; '.join(changed)})")
        try:
            details["mp2020_correction_per_atom"] = mp2020_correction(relaxed, last)
        except HullError as error:
            raise failed("inconsistent", str(error)) from error
        try:
            check_physical(relaxed, energy, relaxation["forces"], references=self.references)
        except RelaxationError as failure:
            raise failed(failure.reason, failure.message) from failure
        return Relaxed(
            structure=relaxed,
            energy_per_atom=energy,
            method=method_of_run(self, last["vasp_version"]),
            n_steps=relaxation["n_steps"],
            max_force=max(math.hypot(*force) for force in relaxation["forces"]),
            converged=True,
            details=details,
        )


VaspMaker = GuardedVaspRelaxMaker
"""Old class name, in Fireworks that versions before November 2026 stored."""


def pre_relaxed(method: str | None, start: Structure, structure_id: str, folder: Path) -> Structure:
    """Relax once with an ML potential before VASP. The result is kept in the run's folder.

    Parameters
    ----------
    method : str or None
        Name of the potential. None means that nothing is relaxed.
    start : Structure
        Structure before relaxation, already rattled.
    structure_id : str
        Id of the structure.
    folder : Path
        Folder of the run.

    Returns
    -------
    Structure
        Start of the VASP relaxation. If the potential did not converge, its last structure is used.

    Raises
    ------
    RelaxationError
        If the potential fails in another way.
    """
    from pymatgen.core import Structure

    if method is None:
        return start
    path = folder / START_FILE
    if not path.is_file():
        try:
            relaxed = GuardedForceFieldRelaxMaker(method=method, rattle=0.0).relax(start, structure_id).structure
        except RelaxationError as failure:
            if failure.reason != "not_converged" or failure.structure is None:
                raise
            relaxed = failure.structure
        bare_one = ready_structure(relaxed, structure_id, rattle=0.0)  # without a potential's float32 data
        write_json(bare_one.as_dict(), path)
    return Structure.from_dict(json.loads(path.read_text()))


def method_of_run(maker: GuardedVaspRelaxMaker, vasp_version: str) -> Method:
    """Return the method of an energy.

    Only VASP's major version is part of it. Within one major version the same input gives the same energy, and a cluster's patch
    update during a campaign must not split its hull. The full version is stored with the energy. The functional is PBE, with
    the Materials Project's U if it uses one. Every run is checked for this.

    Parameters
    ----------
    maker : GuardedVaspRelaxMaker
        Maker that relaxed.
    vasp_version : str
        Version as VASP writes it, e.g. ``6.4.2``.

    Returns
    -------
    Method
        Method of the energy.
    """
    calculation = "MPRelaxSet, double relaxation" + (" and MPStaticSet" if maker.static else "")
    return Method(maker.method, f"VASP {calculation}", vasp_version.partition(".")[0], "PBE", corrections="none")


def check_vasp() -> None:
    """Raise an error if VASP cannot run on this machine, before a campaign fails for each structure.

    Raises
    ------
    UnknownMethodError
        If there is no executable or no folder of POTCARs, or if atomate2's settings change tags that decide the energy scale.
    """
    import shlex

    from atomate2 import SETTINGS
    from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS

    program = shlex.split(SETTINGS.VASP_CMD)
    if not program or shutil.which(program[0]) is None:
        raise UnknownMethodError(
            f"method 'vasp' runs {SETTINGS.VASP_CMD!r}, which is not on this machine's PATH; set ATOMATE2_VASP_CMD, "
            "e.g. 'srun vasp_std', or submit the campaign and let the cluster's workers relax"
        )
    if not PYMATGEN_SETTINGS.get("PMG_VASP_PSP_DIR"):
        raise UnknownMethodError(
            "method 'vasp' needs your POTCARs: set PMG_VASP_PSP_DIR (pymatgen's `pmg config -p` makes such a folder)"
        )
    if problem := incar_updates_problem():
        raise UnknownMethodError(f"method 'vasp' has the Materials Project's settings: {problem}")


def _fingerprint(structure: Structure, maker: GuardedVaspRelaxMaker) -> str:
    """Return twelve hex digits of a hash of the structure and of the choices that decide its energy."""
    from pymatgen.core import Structure

    choices = {key: getattr(maker, key) for key in ("method", "static", "pre_relax", "rattle")}
    crystal = structure.as_dict() if isinstance(structure, Structure) else repr(structure)
    return hashlib.sha256(json.dumps([crystal, choices], sort_keys=True, default=str).encode()).hexdigest()[:12]
