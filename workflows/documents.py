"""Relaxation documents, made and read: `workflows.schemas.RelaxationDocument` as plain JSON. Where they go is others' business.

`relax_to_document` is what every relaxation goes through: it calls a relaxer, and makes a document of whatever comes.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from ccdcgan_al.errors import HullError
from ccdcgan_al.types import FailedRelaxation, Method, Relaxed
from workflows.guards import RelaxationError
from workflows.schemas import RelaxationDocument, plain

if TYPE_CHECKING:
    from workflows.jobs import Relaxer

_PACKAGES = ("ccdcgan-al", "atomate2", "ase", "pymatgen", "torch", "sevenn", "chgnet", "custodian")


def relaxation_document(
    structure_id: str, relaxed: Relaxed, *, seconds: float | None = None, maker: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document of a finished relaxation.

    Parameters
    ----------
    structure_id : str
        Id in the campaign.
    relaxed : Relaxed
        The result.
    seconds : float or None
        Wall time of the relaxation (s).
    maker : dict of str to Any or None
        The Maker's fields.

    Returns
    -------
    dict of str to Any
        A `RelaxationDocument` as plain JSON.
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
    structure_id : str
        Id in the campaign.
    reason : str
        One of `workflows.guards.Reason`, or ``lost``.
    message : str
        What came and what was wanted, or the end of a traceback.
    method : Method or str
        The method, or its name where the rest is not known.
    structure : Structure or None
        The last structure, where there is one.
    energy_per_atom : float or None
        Its energy (eV/atom), for information.
    seconds : float or None
        Wall time until the failure (s).
    maker : dict of str to Any or None
        The Maker's fields.
    details : dict of str to Any or None
        What else is known about the run.

    Returns
    -------
    dict of str to Any
        A `RelaxationDocument` as plain JSON.
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


def relax_to_document(structure: Structure, structure_id: str, maker: Relaxer) -> dict[str, Any]:
    """Relax here and now; whatever goes wrong is a document, too. Ctrl-C and a worker's exit pass through.

    Parameters
    ----------
    structure : Structure
        Where the relaxation starts.
    structure_id : str
        Id in the campaign.
    maker : Relaxer
        What relaxes.

    Returns
    -------
    dict of str to Any
        A `RelaxationDocument` as plain JSON.
    """
    started = time.perf_counter()
    choices = {key: value for key, value in maker.as_dict().items() if not key.startswith("@")}

    def failed(reason: str, message: str, last: Structure | None, **more: Any) -> dict[str, Any]:
        seconds = time.perf_counter() - started
        return failure_document(
            structure_id, reason, message, maker.method, last, seconds=seconds, maker=choices, **more
        )

    try:
        relaxed = maker.relax(structure, structure_id)
    except RelaxationError as failure:
        energy, details = failure.energy_per_atom, failure.details
        return failed(failure.reason, failure.message, failure.structure, energy_per_atom=energy, details=details)
    except Exception as error:  # noqa: BLE001 - MemoryError, a missing package, a bug: stored, so that the round closes
        return failed("calculator_error", "".join(traceback.format_exception(error)[-4:]).strip(), None)
    return relaxation_document(structure_id, relaxed, seconds=time.perf_counter() - started, maker=choices)


def of_one_method(
    documents: Sequence[RelaxationDocument | dict[str, Any]], recorded: Method | None
) -> list[dict[str, Any]]:
    """Return documents of which no two energies are of different methods, those with energies of the one method first.

    A result of another method, perhaps of the same potential in another version, shares no hull with the rest: it becomes
    a failure, reason ``inconsistent``.

    Parameters
    ----------
    documents : sequence of RelaxationDocument or dict of str to Any
        Of one batch, as jobflow hands them over.
    recorded : Method or None
        The method of the energies that its campaign has already; None where it has none, then that of most of these.

    Returns
    -------
    list of dict of str to Any
        The documents as plain JSON.
    """
    came_back = [plain(document) for document in documents]
    methods = [Method(**document["method"]) for document in came_back if document["state"] == "relaxed"]
    if not methods:
        return came_back
    wanted = recorded or Counter(methods).most_common(1)[0][0]
    kept, other = [], []
    for document in came_back:
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


def read_relaxation(document: RelaxationDocument | dict[str, Any]) -> Relaxed | FailedRelaxation:
    """Return what a document holds, as it is stored or as jobflow hands it over.

    Parameters
    ----------
    document : RelaxationDocument or dict of str to Any
        Of this version or an older one.

    Returns
    -------
    Relaxed or FailedRelaxation
        The result.

    Raises
    ------
    ValueError
        The document has no known state.
    """
    document = plain(document)
    stored = document.get("structure")
    structure = None if stored is None else Structure.from_dict(stored)
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
    """Fill and check the schema; a number that JSON cannot hold becomes None."""
    structure, energy = values.pop("structure"), values.pop("energy_per_atom")
    return plain(
        RelaxationDocument(
            structure_id=structure_id,
            structure=None if structure is None else _bare(structure),
            energy_per_atom=float(energy) if energy is not None and math.isfinite(energy) else None,
            **values,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            worker={"hostname": platform.node(), "pid": os.getpid()},
            versions=package_versions(),
        )
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages an energy depends on, those installed."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _bare(structure: Structure) -> Structure | None:
    """Return a structure without site properties; None where a coordinate is not finite."""
    bare = structure.copy()
    for name in list(bare.site_properties):  # a potential's own, such as CHGNet's magnetic moments in float32
        bare.remove_site_property(name)
    numbers = [*bare.lattice.matrix.ravel(), *bare.frac_coords.ravel()]
    return bare if all(math.isfinite(number) for number in numbers) else None
