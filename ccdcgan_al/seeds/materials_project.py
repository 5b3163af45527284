"""Entries and structures of the Materials Project, through mp-api's `MPRester`; it stores nothing and builds no hull.

The key is that of `MP_API_KEY`, or of pymatgen's settings (`PMG_MAPI_KEY`); it is sent to the server and goes nowhere else.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeVar

from ccdcgan_al.errors import MaterialsProjectError

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry

THERMO_TYPES = ("GGA_GGA+U", "R2SCAN")
"""One energy scale each. mp-api's default mixes the two; its entries fit neither."""

TRIES = 5  # repetitions of a request that met 429, 5xx or a dropped connection
LONGEST_WAIT = 60  # s between two of them, whatever Retry-After asks for
BACKOFF = 0.5  # s, doubled each time, where no Retry-After says how long
TIMEOUT = 60.0  # s
KEY_LENGTH = 32
_KEY_PAGE = "https://next-gen.materialsproject.org/api"
_REFUSED, _SLOW = (401, 403), 429

T = TypeVar("T")


@dataclass(frozen=True)
class Fetched:
    """What was fetched, and from which version of the database.

    Attributes
    ----------
    entries : tuple of ComputedStructureEntry, optional
        Computed entries, with corrections and parameters.
    structures : tuple of tuple of (str, Structure), optional
        Relaxed structures by material id.
    database_version : str, default ""
        Such as ``2025.09.25``.
    """

    entries: tuple[ComputedStructureEntry, ...] = ()
    structures: tuple[tuple[str, Structure], ...] = ()
    database_version: str = ""


def api_key() -> str:
    """Return the user's key.

    Raises
    ------
    MaterialsProjectError
        There is none, or it cannot be one.
    """
    from pymatgen.core import SETTINGS

    key = str(os.environ.get("MP_API_KEY") or SETTINGS.get("PMG_MAPI_KEY") or "")
    if not key:
        raise MaterialsProjectError(
            f"no Materials Project key: set MP_API_KEY, or `pmg config --add PMG_MAPI_KEY <key>`; get one at {_KEY_PAGE}"
        )
    if len(key) != KEY_LENGTH:
        raise MaterialsProjectError(
            f"the Materials Project key has {len(key)} characters, wanted {KEY_LENGTH}; get one at {_KEY_PAGE}"
        )
    return key


def fetch_entries(elements: Sequence[str], thermo_type: str = THERMO_TYPES[0]) -> Fetched:
    """Fetch the entries of a chemical system and of its subsystems.

    Parameters
    ----------
    elements : sequence of str
        Symbols.
    thermo_type : str, default THERMO_TYPES[0]
        One of `THERMO_TYPES`.

    Raises
    ------
    MaterialsProjectError
        An unknown thermo type, no key or a refused one, or a server that does not answer after some tries.
    """
    if thermo_type not in THERMO_TYPES:
        raise MaterialsProjectError(
            f"unknown thermo type {thermo_type!r}: wanted one of {', '.join(THERMO_TYPES)}; "
            "mixed ones hold energies of two functionals, which do not share a hull"
        )

    def ask(rester: Any) -> list[ComputedStructureEntry]:
        found: list[ComputedStructureEntry] = rester.get_entries(
            subsystems(elements), additional_criteria={"thermo_types": [thermo_type]}
        )
        return sorted(found, key=lambda entry: str(entry.entry_id))

    entries, version = _ask(ask)
    return Fetched(entries=tuple(entries), database_version=version)


def fetch_structures(elements: Sequence[str]) -> Fetched:
    """Fetch the relaxed structures of a chemical system and of its subsystems; raises as `fetch_entries` does."""

    def ask(rester: Any) -> list[tuple[str, Structure]]:
        documents = rester.materials.search(
            chemsys=subsystems(elements), all_fields=False, fields=["material_id", "structure"]
        )
        return sorted((str(document["material_id"]), _structure(document["structure"])) for document in documents)

    structures, version = _ask(ask)
    return Fetched(structures=tuple(structures), database_version=version)


def subsystems(elements: Sequence[str]) -> list[str]:
    """Return a chemical system and all within it: `Bi`, `Se`, `Bi-Se`."""
    symbols = sorted(elements)
    return ["-".join(subset) for size in range(1, len(symbols) + 1) for subset in combinations(symbols, size)]


def _structure(found: Any) -> Structure:
    from pymatgen.core import Structure

    return Structure.from_dict(found) if isinstance(found, dict) else found


def _ask(question: Callable[[Any], T]) -> tuple[T, str]:
    """Put a question to an MPRester; return its answer and the database's version, or raise one clear line."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    key = api_key()
    retry = Retry(
        total=TRIES,
        status_forcelist=(_SLOW, 500, 502, 503, 504),
        backoff_factor=BACKOFF,
        backoff_max=LONGEST_WAIT,
        retry_after_max=LONGEST_WAIT,
    )
    with requests.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mp-api warns of its defaults
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        try:
            from mp_api.client import MPRester
            from mp_api.client.core.utils import validate_endpoint

            endpoint = validate_endpoint(os.environ.get("MP_API_ENDPOINT"))
            heartbeat = session.get(f"{endpoint}heartbeat", timeout=TIMEOUT)  # MPRester's own is not repeated
            heartbeat.raise_for_status()
            version = str(heartbeat.json()["db_version"])
            rester = MPRester(key, endpoint, session=session, use_document_model=False, mute_progress_bars=True)
            return question(rester), version
        except Exception as error:  # noqa: BLE001 - mp-api's, requests', a page instead of JSON: one line each
            raise MaterialsProjectError(_told(error, key)) from None


def _told(error: Exception, key: str) -> str:
    """Return what went wrong and what to do, in one line without the key."""
    text = " ".join(str(error).replace(key, "***").split())
    found = re.search(r"status code (\d{3})|too many (\d{3}) error|^(\d{3}) (?:Client|Server) Error", text)
    status = int(next(filter(None, found.groups()))) if found else None
    if status in _REFUSED:
        return f"the Materials Project refused the key ({status}): check MP_API_KEY, or get a new one at {_KEY_PAGE}"
    if status == _SLOW:
        return f"the Materials Project asks for fewer requests (429), still after {TRIES + 1} tries: try again later"
    if status is not None and status >= 500:  # noqa: PLR2004 - HTTP's own classes
        return (
            f"the Materials Project's server fails ({status}), still after {TRIES + 1} tries: try again later; "
            "its state is at https://status.materialsproject.org"
        )
    lost = ("Connection", "Max retries", "timed out", "RemoteDisconnected", "IncompleteRead")
    if any(word in f"{type(error).__name__} {text}" for word in lost):
        return f"no connection to the Materials Project, after {TRIES + 1} tries: check the network ({text[:160]})"
    return f"the Materials Project's answer cannot be used ({type(error).__name__}: {text[:200]})"
