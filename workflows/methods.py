"""Methods by name: the names that a user can type after `--method`, and their relaxers. This module relaxes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ccdcgan_al.errors import UnknownMethodError
from ccdcgan_al.hull.element_references import deviations, potential_energies, warnings_of
from ccdcgan_al.types import DFT
from workflows.jobs import Relaxer
from workflows.potentials import POTENTIALS, method_of
from workflows.relax import GuardedForceFieldRelaxMaker

METHODS = (*POTENTIALS, DFT)


def relaxer(method: str, **choices: Any) -> Relaxer:
    """Return the Maker that relaxes with a method.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    **choices : Any
        Values of fields of `GuardedForceFieldRelaxMaker`, or of `GuardedVaspRelaxMaker` for ``vasp``. Others have their defaults.

    Returns
    -------
    Relaxer
        Maker of the method.

    Raises
    ------
    UnknownMethodError
        If there is no such method.
    """
    if method == DFT:
        from workflows.vasp import GuardedVaspRelaxMaker

        return GuardedVaspRelaxMaker(**choices)
    if method not in POTENTIALS:
        raise UnknownMethodError(f"Unknown method {method!r}; known are {', '.join(METHODS)}")
    return GuardedForceFieldRelaxMaker(method=method, **choices)


def element_warnings(method: str, elements: Sequence[str]) -> list[str]:
    """Return the known errors of a method for the elements of a system, before anything is relaxed.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    elements : sequence of str
        Symbols of the system.

    Returns
    -------
    list of str
        A sentence for each element whose energy differs by more than 30 meV/atom, according to the package's table
        (``docs/energies.md``). Empty for VASP, or for a potential without a table.
    """
    if method not in POTENTIALS:
        return []
    calculator = POTENTIALS[method].calculator
    table = potential_energies(calculator)
    return warnings_of(deviations({symbol: table[symbol] for symbol in elements if symbol in table}), calculator)


def check_method(method: str, *, runs_here: bool = True) -> None:
    """Raise an error if a method cannot be used, before a campaign fails for each structure.

    Parameters
    ----------
    method : str
        Name that the user typed.
    runs_here : bool
        Whether this machine's workers relax. If not, only the name is checked.

    Raises
    ------
    UnknownMethodError
        If there is no such method, if its package is not installed, or if VASP lacks its executable or POTCARs.
    """
    if method not in METHODS:
        raise UnknownMethodError(f"Unknown method {method!r}; known are {', '.join(METHODS)}")
    if not runs_here:
        return
    if method == DFT:
        from workflows.vasp import check_vasp

        check_vasp()
    else:
        method_of(method)
