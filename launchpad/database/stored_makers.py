"""Conversion of stored relaxation jobs of older versions to this version. It converts the given data and reads no database.

Before schema version 4 a relaxation job was the function `workflows.jobs.relax` with structure, structure_id and Maker. Now it is the
Maker's own ``make`` with the structure. The id is in the metadata, the output has a schema, and two Makers have other names.
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
    """Return stored JSON in which every relaxation job, at any depth, has the form of this version.

    Parameters
    ----------
    stored : Any
        Tasks of a Firework, or the action of a launch. It is not changed.

    Returns
    -------
    Any
        Converted data. If there is no such job, they equal `stored`.
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
    """Return one relaxation job in the form of this version."""
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
