"""Methods by name: what a user may type after `--method`, and the relaxer that it stands for. It relaxes nothing."""

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
    """Return the Maker that relaxes by a method.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    **choices : Any
        Fields of `GuardedForceFieldRelaxMaker`, or of `GuardedVaspRelaxMaker` for ``vasp``, other than their defaults.

    Returns
    -------
    Relaxer
        The Maker.

    Raises
    ------
    UnknownMethodError
        There is no such method.
    """
    if method == DFT:
        from workflows.vasp import GuardedVaspRelaxMaker

        return GuardedVaspRelaxMaker(**choices)
    if method not in POTENTIALS:
        raise UnknownMethodError(f"Unknown method {method!r}; known are {', '.join(METHODS)}")
    return GuardedForceFieldRelaxMaker(method=method, **choices)


def element_warnings(method: str, elements: Sequence[str]) -> list[str]:
    """Return what is known, before anything is relaxed, of a method's errors in the elements of a system.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    elements : sequence of str
        Symbols of the system.

    Returns
    -------
    list of str
        A sentence for each element off by more than 30 meV/atom, by the table that comes with the package
        (``docs/energies.md``); none for VASP, or for a potential without a table.
    """
    if method not in POTENTIALS:
        return []
    calculator = POTENTIALS[method].calculator
    table = potential_energies(calculator)
    return warnings_of(deviations({symbol: table[symbol] for symbol in elements if symbol in table}), calculator)


def check_method(method: str, *, runs_here: bool = True) -> None:
    """Say what is wrong with a method, before a campaign finds out structure by structure.

    Parameters
    ----------
    method : str
        What the user typed.
    runs_here : bool
        Whether this machine's workers relax; if not, only the name is checked.

    Raises
    ------
    UnknownMethodError
        There is no such method, its package is not installed, or VASP lacks its executable or POTCARs.
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
