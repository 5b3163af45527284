"""Relaxation documents: `workflows.schemas.RelaxationDocument` as plain JSON. This module makes and reads them. It does not store them.

Every relaxation runs through `relax_to_document`. It calls a relaxer and makes a document of the result or the error.
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
        Id of the structure in the campaign.
    relaxed : Relaxed
        Result of the relaxation.
    seconds : float or None
        Wall time of the relaxation (s).
    maker : dict of str to Any or None
        Fields of the Maker.

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
    """Return the space group and MP2020 correction of a structure. A hull needs them, and this finds them only once."""
    from ccdcgan_al.hull.corrections import mp2020_correction_per_atom
    from ccdcgan_al.structures.symmetry import space_group

    correction = None
    if relaxed.method.functional == "PBE":
        with contextlib.suppress(HullError):  # the hull states the reason
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
    """Return the document of a failed relaxation. It has a state and a reason, so no document is missing.

    Parameters
    ----------
    structure_id : str
        Id of the structure in the campaign.
    reason : str
        One of `workflows.guards.Reason`, or ``lost``.
    message : str
        What was received and what was expected, or the end of a traceback.
    method : Method or str
        Method, or only its name if the rest is not known.
    structure : Structure or None
        Last structure, if there is one.
    energy_per_atom : float or None
        Energy of the last structure (eV/atom), for information.
    seconds : float or None
        Wall time until the failure (s).
    maker : dict of str to Any or None
        Fields of the Maker.
    details : dict of str to Any or None
        Other data about the run.

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
    """Relax a structure in this process. An error also gives a document. Only Ctrl-C and a worker's exit are not caught.

    Parameters
    ----------
    structure : Structure
        Structure before relaxation.
    structure_id : str
        Id of the structure in the campaign.
    maker : Relaxer
        Maker that relaxes.

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
        return relaxation_document(structure_id, relaxed, seconds=time.perf_counter() - started, maker=choices)
    except RelaxationError as failure:
        energy, details = failure.energy_per_atom, failure.details
        return failed(failure.reason, failure.message, failure.structure, energy_per_atom=energy, details=details)
    except Exception as error:  # noqa: BLE001 - MemoryError, a missing package, a bug: stored, so that the round closes
        return failed("calculator_error", "".join(traceback.format_exception(error)[-4:]).strip(), None)


def of_one_method(
    documents: Sequence[RelaxationDocument | dict[str, Any]], recorded: Method | None
) -> list[dict[str, Any]]:
    """Return documents whose energies are all of one method. The documents that became failures are last.

    A result of another method cannot share the hull. This may be the same potential in another version. Such a result becomes
    a failure with the reason ``inconsistent``.

    Parameters
    ----------
    documents : sequence of RelaxationDocument or dict of str to Any
        Documents of one batch, from jobflow.
    recorded : Method or None
        Method of the energies that the campaign already has. If None, the most frequent method of these documents.

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
    """Return the failure for a result of another method. It keeps structure and energy for information."""
    message = f"relaxed by {came}, its campaign's energies are of {wanted}: they share no hull; give every worker that version"
    known = {"converged": False, "space_group": None, "mp2020_correction_per_atom": None}
    return {**document, **known, "state": "failed", "reason": "inconsistent", "message": message}


def read_relaxation(document: RelaxationDocument | dict[str, Any]) -> Relaxed | FailedRelaxation:
    """Return the content of a document, from the database or from jobflow.

    Parameters
    ----------
    document : RelaxationDocument or dict of str to Any
        Document of this version or an older one.

    Returns
    -------
    Relaxed or FailedRelaxation
        Result or failure.

    Raises
    ------
    ValueError
        If the document has no known state.
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
    """Fill the schema and check it. A number that JSON cannot represent becomes None."""
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
    """Return the versions of the installed packages that an energy depends on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _bare(structure: Structure) -> Structure | None:
    """Return a structure without site properties. Return None if a coordinate is not finite."""
    bare = structure.copy()
    for name in list(bare.site_properties):  # a potential's own, such as CHGNet's magnetic moments in float32
        bare.remove_site_property(name)
    numbers = [*bare.lattice.matrix.ravel(), *bare.frac_coords.ravel()]
    return bare if all(math.isfinite(number) for number in numbers) else None
