"""The ML potentials that can relax: how atomate2 loads each, and the scale of its energies. This module relaxes nothing.

Its import loads neither torch nor atomate2.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from ccdcgan_al.errors import UnknownMethodError
from ccdcgan_al.hull.element_references import materials_project_energies
from ccdcgan_al.types import Method, Relaxed

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


@dataclass(frozen=True)
class Potential:
    """An ML potential that atomate2 can load and whose energy scale is known.

    Attributes
    ----------
    mlff : str
        Name in atomate2's `MLFF`.
    calculator : str
        Usual name of the model.
    package : str
        Distribution package. Its version is the method's version.
    install : str
        Argument of `pip install`.
    kwargs : dict of str to Any
        Keyword arguments of the ASE calculator.
    functional : str
        Functional of the training energies.
    corrections : str
        Correction scheme inside the raw output. MP2020 is subtracted.
    """

    mlff: str
    calculator: str
    package: str
    install: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    functional: str = "PBE"
    corrections: str = "none"


OURS = "'ccdcgan-al[potentials]'"  # installs the potentials that this project supports directly
POTENTIALS: dict[str, Potential] = {
    "sevennet": Potential("SevenNet", "SevenNet 7net-0", "sevenn", OURS, {"model": "7net-0"}),
    "sevennet-l3i5": Potential("SevenNet", "SevenNet 7net-l3i5", "sevenn", OURS, {"model": "7net-l3i5"}),
    # trained on corrected energies: the MP2020 corrections are inside (pymatgen issue 3803)
    "chgnet": Potential("CHGNet", "CHGNet 0.3.0", "chgnet", OURS, {"stress_unit": "eV/A3"}, corrections="MP2020"),
    # the others: raw PBE (r2SCAN) according to their authors; not checked here, and they download their weights
    "mace": Potential("MACE-MPA-0", "MACE-MPA-0 medium", "mace-torch", "mace-torch", {"model": "medium-mpa-0"}),
    "mace-mp-0": Potential("MACE-MP-0", "MACE-MP-0 medium", "mace-torch", "mace-torch", {"model": "medium"}),
    "mattersim": Potential("MatterSim", "MatterSim", "mattersim", "mattersim"),
    "matpes-pbe": Potential("MatPES-PBE", "TensorNet MatPES-PBE", "matgl", "matgl", functional="PBE without U"),
    "matpes-r2scan": Potential("MatPES-r2SCAN", "TensorNet MatPES-r2SCAN", "matgl", "matgl", functional="r2SCAN"),
}
"""Methods that a user can type. A potential is listed only if its energy scale is known here. Otherwise its method could not be
stated correctly."""


def method_of(name: str) -> Method:
    """Return how the energies of a method are obtained. No potential is imported.

    Parameters
    ----------
    name : str
        A name in `POTENTIALS`.

    Returns
    -------
    Method
        Method with the version of the installed package.

    Raises
    ------
    UnknownMethodError
        If the name is not in `POTENTIALS`, or if its package is not installed.
    """
    potential = POTENTIALS.get(name)
    if potential is None:
        raise UnknownMethodError(
            f"Unknown method {name!r}; known are {', '.join(POTENTIALS)}. "
            f"sevennet, sevennet-l3i5 and chgnet come with: pip install {OURS}"
        )
    try:
        package_version = version(potential.package)
    except PackageNotFoundError as error:
        raise UnknownMethodError(
            f"The method {name!r} needs the package {potential.package}, which is not installed: "
            f"pip install {potential.install} (known methods: {', '.join(POTENTIALS)})"
        ) from error
    return Method(name, potential.calculator, package_version, potential.functional, corrections="none")


@functools.cache
def load_calculator(method: str) -> Calculator:
    """Load a potential with atomate2, once in each process.

    ASE's calculators compare the atoms with the previous atoms and drop their results if anything differs. So one calculator
    can be used for many structures.

    Parameters
    ----------
    method : str
        A name in `POTENTIALS`.

    Returns
    -------
    Calculator
        ASE calculator. Energies are in eV, forces in eV/Å.
    """
    from atomate2.forcefields.utils import MLFF, ase_calculator

    _one_thread()
    with contextlib.redirect_stdout(io.StringIO()):  # CHGNet prints its number of weights
        return ase_calculator(MLFF(POTENTIALS[method].mlff), **POTENTIALS[method].kwargs)


def _one_thread() -> None:
    """Limit torch to one thread if the worker was started with one thread."""
    import torch

    if os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(1)


def bounding_energies(method: str) -> dict[str, float]:
    """Return the energies of the elements that the guard uses for its bound on a potential's energies.

    Parameters
    ----------
    method : str
        A name in `POTENTIALS`.

    Returns
    -------
    dict of str to float
        Energies by symbol (eV/atom), from the Materials Project. Empty if the potential has another functional.
    """
    return materials_project_energies() if POTENTIALS[method].functional == "PBE" else {}


def without_corrections(relaxed: Relaxed) -> Relaxed:
    """Subtract MP2020 corrections from an energy if its potential was trained with them. The values come from pymatgen.

    Parameters
    ----------
    relaxed : Relaxed
        Result of one of `POTENTIALS`, with the raw energy of the potential (eV/atom).

    Returns
    -------
    Relaxed
        Same result with the uncorrected energy (eV/atom).
    """
    if POTENTIALS[relaxed.method.name].corrections != "MP2020":
        return relaxed
    from ccdcgan_al.hull.corrections import mp2020_correction_per_atom

    return replace(relaxed, energy_per_atom=relaxed.energy_per_atom - mp2020_correction_per_atom(relaxed.structure))
