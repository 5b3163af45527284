"""Results of a VASP run, from atomate2's task document and custodian's log. This module runs nothing and judges no energy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.guards import Reason, RelaxationError, check_physical

if TYPE_CHECKING:
    from pymatgen.core import Structure


def summary(task: Any, attempt: int) -> dict[str, Any]:
    """Return the part of atomate2's task document that is kept: plain JSON, some kilobytes instead of megabytes."""
    calculation = task.calcs_reversed[0]
    steps = calculation.output.ionic_steps
    potcar = [spec.titel for spec in calculation.input.potcar_spec or []]
    outcar = calculation.output.outcar or {}
    return {
        "structure": json.loads(
            task.output.structure.to_json()
        ),  # with magnetic moments, from which the next stage starts
        "energy_per_atom": float(task.output.energy_per_atom),
        "forces": [[float(value) for value in force] for force in task.output.forces or []],
        "n_steps": len(steps),
        "vasp_version": calculation.vasp_version.strip(),
        "run_type": str(getattr(calculation.run_type, "value", calculation.run_type)),
        "hubbards": {symbol: float(value) for symbol, value in (calculation.input.hubbards or {}).items()},
        "potcar": potcar,
        "magnetization": outcar.get("total_magnetization"),
        "bandgap": task.output.bandgap,
        "stopped": bool(outcar.get("is_stopped")),
        "custodian": [_correction(entry) for run in task.custodian or [] for entry in run.corrections or []],
        "incar_changes": _incar_changes(task),
        "attempts": attempt,
    }


def unconverged(stage: str, folder: Path, task: Any, result: dict[str, Any]) -> RelaxationError:
    """Return the failure of a run that ended normally but did not converge."""
    calculation = task.calcs_reversed[0]
    errors = [name for entry in result["custodian"] for name in entry["errors"]]
    nelm = int(calculation.input.parameters.get("NELM", 60))
    electronic = len(calculation.output.ionic_steps[-1].electronic_steps or []) >= nelm
    if result["stopped"] or "Walltime reached" in errors:
        reason: Reason = "walltime"
        message = f"{stage} was stopped by a STOPCAR after {result['n_steps']} ionic steps; run again, it goes on"
    else:
        reason = "not_converged"
        what = f"the electrons, in {nelm} steps" if electronic else f"the ions, in {result['n_steps']} steps"
        told = f"; custodian saw: {', '.join(dict.fromkeys(errors))}" if errors else ""
        warned = (task.analysis.errors if task.analysis else None) or []
        message = f"{stage} did not converge: {what}{told}{'; ' if warned else ''}{'; '.join(warned)}; see {folder}"
    details = {"custodian": {stage: result["custodian"]}, "folder": str(folder.parent)}
    return RelaxationError(reason, message, structure_of(result), result["energy_per_atom"], details)


def _correction(entry: dict[str, Any]) -> dict[str, Any]:
    """Return one of custodian's corrections: the error and the action."""
    handler = entry.get("handler")
    name = handler.get("@class") if isinstance(handler, dict) else type(handler).__name__
    return {
        "handler": name,
        "errors": [str(error) for error in entry.get("errors") or []],
        "actions": json.loads(json.dumps(entry.get("actions"), default=str)),
    }


def custodian_log(folder: Path) -> list[dict[str, Any]]:
    """Return the corrections in custodian's log in a folder. Empty if there is no log."""
    try:
        runs = json.loads((folder / "custodian.json").read_text())
    except (OSError, ValueError):
        return []
    return [_correction(entry) for run in runs for entry in run.get("corrections") or []]


def _incar_changes(task: Any) -> dict[str, list[Any]]:
    """Return the INCAR tags that differ from the input set: tag -> [first value, value of the last run]."""
    first = _tags(task.orig_inputs.incar if task.orig_inputs else None)
    if not first:  # no copy of the input set's INCAR: custodian did not run
        return {}
    last = _tags(task.calcs_reversed[0].input.incar)
    tags = sorted(tag for tag in first.keys() | last.keys() if str(first.get(tag)) != str(last.get(tag)))
    return {tag: [json.loads(json.dumps(values.get(tag), default=str)) for values in (first, last)] for tag in tags}


def _tags(incar: Any) -> dict[str, Any]:
    """Return the tags of an INCAR, without the additions of pymatgen."""
    return {tag: value for tag, value in dict(incar or {}).items() if not tag.startswith("@")}


def mp2020_correction(structure: Structure, stage: dict[str, Any]) -> float:
    """Return the MP2020 correction (eV/atom) of a run, from pymatgen with the run's own U values and POTCARs.

    Raises
    ------
    HullError
        If the run does not follow the Materials Project: other U values, POTCARs or functional.
    """
    from ccdcgan_al.hull.corrections import mp2020_correction_per_atom

    return mp2020_correction_per_atom(
        structure,
        hubbard_u={symbol: value for symbol, value in stage["hubbards"].items() if value},
        run_type=stage["run_type"],
        potcar=stage["potcar"],
    )


def last_valid_structure(folder: Path, start: Structure, *, moved: bool = False) -> Structure | None:
    """Return the structure from which an interrupted relaxation can continue.

    Parameters
    ----------
    folder : Path
        Folder of the interrupted VASP run.
    start : Structure
        Structure at the start of the relaxation. A CONTCAR must have its composition.
    moved : bool
        Whether only a CONTCAR, written after an ionic step, is accepted, and not the run's own POSCAR.

    Returns
    -------
    Structure or None
        Structure of CONTCAR, otherwise of POSCAR. None if neither is a complete file of a possible crystal of this composition.
    """
    from pymatgen.io.vasp import Poscar

    for name in ("CONTCAR", "CONTCAR.gz", *(() if moved else ("POSCAR", "POSCAR.gz"))):
        path = folder / name
        try:
            structure = Poscar.from_file(path, check_for_potcar=False).structure
            check_physical(structure)
        except (OSError, ValueError, IndexError, RelaxationError):  # no file, an empty or cut one, or atoms overlap
            continue
        if structure.composition == start.composition:
            structure = bare(structure)
            moments = start.site_properties.get("magmom")  # of the last stage; a POSCAR keeps the order of the atoms
            if moments and structure.species == start.species:
                structure.add_site_property("magmom", moments)
            return structure
    return None


def bare(structure: Structure) -> Structure:
    """Return a copy without site properties such as moments, velocities and selective dynamics."""
    bare = structure.copy()
    for name in list(bare.site_properties):
        bare.remove_site_property(name)
    return bare


def structure_of(stage: dict[str, Any]) -> Structure:
    """Return the structure of a stage's results, with magnetic moments if there are any."""
    from pymatgen.core import Structure

    return Structure.from_dict(stage["structure"])
