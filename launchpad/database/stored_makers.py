"""Relaxation jobs as older versions stored them, and how this one does. It rewrites what it is given and reads no database.

Before schema version 4 a relaxation's job was the function `workflows.jobs.relax` of structure, structure_id and Maker; now it is the
Maker's own ``make`` of the structure, the id is metadata, the output has a schema, and two Makers have other names.
"""

from __future__ import annotations

from typing import Any

OLD_FUNCTION = {"@module": "workflows.jobs", "@callable": "relax"}
_FUNCTION = {"@module": "workflows.jobs", "@callable": "Relaxer.make"}
_SCHEMA = {"@module": "workflows.schemas", "@callable": "RelaxationDocument", "@bound": None}
_RENAMED = {
    ("workflows.relax", "RelaxMaker"): "GuardedForceFieldRelaxMaker",
    ("workflows.vasp", "VaspMaker"): "GuardedVaspRelaxMaker",
}


def with_makers(stored: Any) -> Any:
    """Return stored JSON with every relaxation job in it, however deep, as this version stores it.

    Parameters
    ----------
    stored : Any
        The tasks of a Firework, or the action of a launch; not changed.

    Returns
    -------
    Any
        The same, where it holds no such job.
    """
    if isinstance(stored, list):
        return [with_makers(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    function = stored.get("function")
    if isinstance(function, dict) and function.items() >= OLD_FUNCTION.items():
        return _relaxation_job(stored)
    return {key: with_makers(value) for key, value in stored.items()}


def _relaxation_job(job: dict[str, Any]) -> dict[str, Any]:
    """Return one relaxation job as this version stores it."""
    structure, structure_id, maker = job["function_args"]
    name = _RENAMED.get((maker.get("@module"), maker.get("@class")), maker.get("@class"))
    return {
        **job,
        "function": {
            **_FUNCTION,
            "@bound": {**maker, "@class": name, "name": job["name"]},
        },  # jobflow names a Maker like its job
        "function_args": [structure],
        "output_schema": _SCHEMA,
        "metadata": {**job["metadata"], "structure_id": structure_id},
    }
