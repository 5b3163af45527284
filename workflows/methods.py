"""Methods by name: what a user may type after `--method`, and the relaxer that it stands for. It relaxes nothing."""

from __future__ import annotations

from typing import Any

from ccdcgan_al.errors import UnknownMethodError
from ccdcgan_al.types import DFT
from workflows.jobs import Relaxer
from workflows.relax import POTENTIALS, RelaxMaker, method_of

METHODS = (*POTENTIALS, DFT)


def relaxer(method: str, **choices: Any) -> Relaxer:
    """Return the Maker that relaxes by a method.

    Parameters
    ----------
    method : one of `METHODS`
    choices : fields of `RelaxMaker`, or of `VaspMaker` for ``vasp``, other than their defaults

    Raises
    ------
    UnknownMethodError
        there is no such method
    """
    if method == DFT:
        from workflows.vasp import VaspMaker

        return VaspMaker(**choices)
    if method not in POTENTIALS:
        raise UnknownMethodError(f"Unknown method {method!r}; known are {', '.join(METHODS)}")
    return RelaxMaker(method=method, **choices)


def check_method(method: str, *, runs_here: bool = True) -> None:
    """Say what is wrong with a method, before a campaign finds out structure by structure.

    Parameters
    ----------
    method : what the user typed
    runs_here : whether this machine's workers relax; if not, only the name is checked

    Raises
    ------
    UnknownMethodError
        there is no such method, its package is not installed, or VASP lacks its executable or POTCARs
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
