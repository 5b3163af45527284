"""Relaxation documents: what a relaxation leaves behind, as plain JSON; where they go is others' business.

Keys: structure_id, state (``relaxed`` or ``failed``), reason and message (failed only), structure (pymatgen dict or
None), energy_per_atom (eV/atom), method, n_steps, max_force (eV/Å), converged, seconds, maker (the scientific
choices), space_group and mp2020_correction_per_atom (eV/atom, where PBE), details (what a calculator keeps with its
energy), finished (time, UTC), worker, versions. A failed document may hold the last structure and its energy, for
information; neither ever enters a hull.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from ccdcgan_al.errors import HullError
from ccdcgan_al.types import FailedRelaxation, Method, Relaxed

if TYPE_CHECKING:
    from pymatgen.core import Structure

_PACKAGES = ("ccdcgan-al", "atomate2", "ase", "pymatgen", "torch", "sevenn", "chgnet", "custodian")


def relaxation_document(
    structure_id: str, relaxed: Relaxed, *, seconds: float | None = None, maker: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document of a finished relaxation.

    Parameters
    ----------
    structure_id : id in the campaign
    relaxed : the result
    seconds : wall time of the relaxation (s)
    maker : the Maker's fields
    """
    return _document(
        structure_id,
        state="relaxed",
        structure=relaxed.structure,
        energy_per_atom=relaxed.energy_per_atom,
        method=asdict(relaxed.method),
        n_steps=int(relaxed.n_steps),
        max_force=float(relaxed.max_force),
        converged=bool(relaxed.converged),
        seconds=seconds,
        maker=maker,
        details=relaxed.details,
        **_analysed(relaxed),
    )


def _analysed(relaxed: Relaxed) -> dict[str, Any]:
    """Return what a hull needs of each structure, found once, where it was relaxed: space group and MP2020 correction."""
    from ccdcgan_al.hull.corrections import mp2020_correction_per_atom
    from ccdcgan_al.structures.symmetry import space_group

    correction = None
    if relaxed.method.functional == "PBE":
        with contextlib.suppress(HullError):  # the hull says why
            correction = mp2020_correction_per_atom(relaxed.structure)
    return {"space_group": space_group(relaxed.structure), "mp2020_correction_per_atom": correction}


def failure_document(
    structure_id: str,
    reason: str,
    message: str,
    method: Method | str,
    structure: Structure | None = None,
    *,
    energy_per_atom: float | None = None,
    seconds: float | None = None,
    maker: dict[str, Any] | None = None,
    details: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the document of a failed relaxation: a state with a reason, not a missing document.

    Parameters
    ----------
    structure_id : id in the campaign
    reason : one of `workflows.guards.Reason`
    message : what came and what was wanted, or the end of a traceback
    method : the method, or its name where it could not be found
    structure : the last structure, where there is one
    energy_per_atom : its energy (eV/atom), for information
    seconds : wall time until the failure (s)
    maker : the Maker's fields
    details : what else is known about the run
    """
    return _document(
        structure_id,
        state="failed",
        reason=reason,
        message=message,
        structure=structure,
        energy_per_atom=energy_per_atom,
        method=asdict(method) if isinstance(method, Method) else {"name": method},
        seconds=seconds,
        maker=maker,
        details=details or {},
    )


def of_one_method(documents: Sequence[dict[str, Any]], recorded: Method | None) -> list[dict[str, Any]]:
    """Return documents of which no two energies are of different methods, those with energies of the one method first.

    A result of another method, perhaps of the same potential in another version, shares no hull with the rest: it becomes
    a failure, reason ``inconsistent``.

    Parameters
    ----------
    documents : of one batch
    recorded : the method of the energies that its campaign has already; None where it has none, then that of most of these
    """
    methods = [Method(**document["method"]) for document in documents if document["state"] == "relaxed"]
    if not methods:
        return list(documents)
    wanted = recorded or Counter(methods).most_common(1)[0][0]
    kept, other = [], []
    for document in documents:
        if document["state"] == "relaxed" and (came := Method(**document["method"])) != wanted:
            other.append(_inconsistent(document, came, wanted))
        else:
            kept.append(document)
    return [*kept, *other]


def _inconsistent(document: dict[str, Any], came: Method, wanted: Method) -> dict[str, Any]:
    """Return the failure that a result of another method is; structure and energy stay, for information."""
    message = f"relaxed by {came}, its campaign's energies are of {wanted}: they share no hull; give every worker that version"
    known = {"converged": False, "space_group": None, "mp2020_correction_per_atom": None}
    return {**document, **known, "state": "failed", "reason": "inconsistent", "message": message}


def read_relaxation(document: dict[str, Any]) -> Relaxed | FailedRelaxation:
    """Return what a document holds, as stored or as jobflow hands it over (the structure already decoded).

    Raises
    ------
    ValueError
        the document has no known state
    """
    structure = _structure(document.get("structure"))
    method = document.get("method") or {}
    if document.get("state") == "failed":
        return FailedRelaxation(
            document["structure_id"],
            document["reason"],
            document["message"],
            str(method.get("name")),
            structure,
            document["energy_per_atom"],
        )
    if document.get("state") != "relaxed" or structure is None:
        raise ValueError(
            f"A relaxation document has the state 'relaxed' (with a structure) or 'failed', got "
            f"{document.get('state')!r} in {document.get('structure_id')!r}"
        )
    return Relaxed(
        structure=structure,
        energy_per_atom=document["energy_per_atom"],
        method=Method(**method),
        n_steps=document["n_steps"],
        max_force=document["max_force"],
        converged=document["converged"],
        details=document.get("details") or {},
    )


def _document(structure_id: str, **values: Any) -> dict[str, Any]:
    """Fill the schema; a number that JSON cannot hold becomes None."""
    structure, energy = values.pop("structure"), values.pop("energy_per_atom")
    return {
        "structure_id": structure_id,
        "state": values.pop("state"),
        "reason": None,
        "message": None,
        "structure": None if structure is None else _plain(structure),
        "energy_per_atom": float(energy) if energy is not None and math.isfinite(energy) else None,
        "n_steps": None,
        "max_force": None,
        "converged": False,
        "space_group": None,
        "mp2020_correction_per_atom": None,
        **values,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "worker": {"hostname": platform.node(), "pid": os.getpid()},
        "versions": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages an energy depends on, those installed."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _plain(structure: Structure) -> dict[str, Any] | None:
    """Return a structure as plain JSON without site properties; None where a coordinate is not finite."""
    bare = structure.copy()
    for name in list(bare.site_properties):  # a potential's own, such as CHGNet's magnetic moments in float32
        bare.remove_site_property(name)
    numbers = [*bare.lattice.matrix.ravel(), *bare.frac_coords.ravel()]
    return bare.as_dict() if all(math.isfinite(number) for number in numbers) else None


def _structure(stored: Any) -> Structure | None:
    """Return a structure from its dict, or as it is."""
    from pymatgen.core import Structure

    return Structure.from_dict(stored) if isinstance(stored, dict) else stored
