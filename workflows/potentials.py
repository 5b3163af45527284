"""The ML potentials that can relax: how atomate2 loads each, and the scale of its energies. It relaxes nothing.

Importing it imports neither torch nor atomate2.
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
        Its name in atomate2's `MLFF`.
    calculator : str
        The model, as a reader knows it.
    package : str
        The distribution whose version is the method's version.
    install : str
        What `pip install` takes.
    kwargs : dict of str to Any
        Keyword arguments of its ASE calculator.
    functional : str
        The functional of its training energies.
    corrections : str
        The correction scheme inside its raw output; MP2020 is taken off.
    """

    mlff: str
    calculator: str
    package: str
    install: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    functional: str = "PBE"
    corrections: str = "none"


OURS = "'ccdcgan-al[potentials]'"  # what installs the potentials that come with this project
POTENTIALS: dict[str, Potential] = {
    "sevennet": Potential("SevenNet", "SevenNet 7net-0", "sevenn", OURS, {"model": "7net-0"}),
    "sevennet-l3i5": Potential("SevenNet", "SevenNet 7net-l3i5", "sevenn", OURS, {"model": "7net-l3i5"}),
    # trained on corrected energies: the MP2020 corrections are inside (pymatgen issue 3803)
    "chgnet": Potential("CHGNet", "CHGNet 0.3.0", "chgnet", OURS, {"stress_unit": "eV/A3"}, corrections="MP2020"),
    # the rest: raw PBE (r2SCAN) by their authors' account; not checked here, and they fetch their weights
    "mace": Potential("MACE-MPA-0", "MACE-MPA-0 medium", "mace-torch", "mace-torch", {"model": "medium-mpa-0"}),
    "mace-mp-0": Potential("MACE-MP-0", "MACE-MP-0 medium", "mace-torch", "mace-torch", {"model": "medium"}),
    "mattersim": Potential("MatterSim", "MatterSim", "mattersim", "mattersim"),
    "matpes-pbe": Potential("MatPES-PBE", "TensorNet MatPES-PBE", "matgl", "matgl", functional="PBE without U"),
    "matpes-r2scan": Potential("MatPES-r2SCAN", "TensorNet MatPES-r2SCAN", "matgl", "matgl", functional="r2SCAN"),
}
"""What a user may type as a method. A potential whose energy scale is not known here cannot name its method honestly,
so it is not listed."""


def method_of(name: str) -> Method:
    """Return how the energies of a method are obtained; imports no potential.

    Parameters
    ----------
    name : str
        A name in `POTENTIALS`.

    Returns
    -------
    Method
        With the version of the package that is installed.

    Raises
    ------
    UnknownMethodError
        The name is not in `POTENTIALS`, or its package is not installed.
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
    """Load a potential by atomate2, once a process.

    ASE's calculators compare the atoms with the last ones and drop their results where anything differs, so one may
    serve many structures.

    Parameters
    ----------
    method : str
        A name in `POTENTIALS`.

    Returns
    -------
    Calculator
        Of ASE; energies in eV, forces in eV/Å.
    """
    from atomate2.forcefields.utils import MLFF, ase_calculator

    _one_thread()
    with contextlib.redirect_stdout(io.StringIO()):  # CHGNet prints its number of weights
        return ase_calculator(MLFF(POTENTIALS[method].mlff), **POTENTIALS[method].kwargs)


def _one_thread() -> None:
    """Keep torch to one thread where the worker was started with one."""
    import torch

    if os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(1)


def bounding_energies(method: str) -> dict[str, float]:
    """Return the energies of the elements by which the guard bounds the energies of a potential.

    Parameters
    ----------
    method : str
        A name in `POTENTIALS`.

    Returns
    -------
    dict of str to float
        Element -> energy (eV/atom), the Materials Project's; empty where the potential's functional is not theirs.
    """
    return materials_project_energies() if POTENTIALS[method].functional == "PBE" else {}


def without_corrections(relaxed: Relaxed) -> Relaxed:
    """Take MP2020 corrections off an energy whose potential was trained with them, by pymatgen's own data.

    Parameters
    ----------
    relaxed : Relaxed
        A result of one of `POTENTIALS`, with the energy as the potential gives it (eV/atom).

    Returns
    -------
    Relaxed
        The same, with the uncorrected energy (eV/atom).
    """
    if POTENTIALS[relaxed.method.name].corrections != "MP2020":
        return relaxed
    from ccdcgan_al.hull.corrections import mp2020_correction_per_atom

    return replace(relaxed, energy_per_atom=relaxed.energy_per_atom - mp2020_correction_per_atom(relaxed.structure))
