"""Energies of the elements. They set the zero of formation energies and the corners of a hull. This module builds no hull.

A potential trained on the Materials Project is better for compounds than for elements: 7net-0 puts W 218 meV/atom too high.
An element that is too high makes every compound appear too stable. The PBE energies of the elements are known and need no
potential. Therefore the hull of a PBE potential has the Materials Project's energies at its corners, like the formation
energies of matbench-discovery. A second hull with the potential's own elements is kept for comparison.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ccdcgan_al.types import DFT

if TYPE_CHECKING:
    from pymatgen.core import Composition

    from ccdcgan_al.types import Method

Scheme = Literal["own", "materials_project"]
"""Source of the element energies that set the zero: the hull's own method, or the Materials Project."""

DATA = Path(__file__).parents[1] / "data" / "element_energies.json"
OFF = 0.03
"""eV/atom. Every report names an element if its energy by a potential differs by more from the Materials Project's."""


@dataclass(frozen=True)
class ElementReferences:
    """The zero of formation energies. It is a part of the energy scale, like the method.

    Attributes
    ----------
    scheme : Scheme
        Source of the energies.
    energies : Mapping of str to float
        Energies by symbol (eV/atom). Empty for `own`: then the lowest phase of each element in the hull counts.
    reason : str
        Why the scheme is `own` although another scheme would be the default. Otherwise empty.
    """

    scheme: Scheme = "own"
    energies: Mapping[str, float] = field(default_factory=dict, compare=False)
    reason: str = field(default="", compare=False)

    def __str__(self) -> str:
        return "the Materials Project's elements" if self.scheme == "materials_project" else "the method's own elements"


OWN = ElementReferences()


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return loaded


def materials_project_energies() -> dict[str, float]:
    """Return the Materials Project's PBE energies of 89 elements, without corrections.

    Returns
    -------
    dict of str to float
        Energies by symbol (eV/atom). ``ccdcgan_al/data/element_energies.json`` states sources and licence: matbench-discovery's
        list of 2023 and, for Br, I, Bi and Eu, the lower phases that CAMD recorded.
    """
    return {symbol: item["energy"] for symbol, item in _data()["materials_project"]["energies"].items()}


def potential_energies(calculator: str) -> dict[str, float]:
    """Return the energies of the elements by a potential, from the package's own table.

    Parameters
    ----------
    calculator : str
        Name of the model, e.g. ``SevenNet 7net-0`` (`Method.calculator`).

    Returns
    -------
    dict of str to float
        Energies of the relaxed elements by symbol (eV/atom). Empty for a potential without a table.
    """
    return dict(_data()["potentials"].get(calculator, {}).get("energies", {}))


def references_of(method: Method, elements: Sequence[str]) -> ElementReferences:
    """Return the default element references for the hull of a method.

    Parameters
    ----------
    method : Method
        How the energies of the hull were obtained.
    elements : sequence of str
        Symbols of the chemical system.

    Returns
    -------
    ElementReferences
        The Materials Project's energies for a potential whose functional is ``PBE`` (PBE + U where the Materials Project uses a U).
        The method's own energies for VASP, for other functionals, and if an element has no energy in the Materials Project.
    """
    if method.name == DFT:
        return OWN
    if method.functional != "PBE":
        return ElementReferences(
            reason=f"there is no table of the elements' {method.functional} energies, so they are not checked"
        )
    energies = materials_project_energies()
    missing = [element for element in elements if element not in energies]
    if missing:
        return ElementReferences(reason=f"the Materials Project has no energy of {', '.join(missing)}")
    return ElementReferences("materials_project", {element: energies[element] for element in elements})


def energy_of_elements(composition: Composition, energies: Mapping[str, float]) -> float | None:
    """Return the energy of the separate elements of a composition, per atom.

    Parameters
    ----------
    composition : Composition
        Composition with any number of atoms.
    energies : Mapping of str to float
        Energies of the elements by symbol (eV/atom).

    Returns
    -------
    float or None
        Energy (eV/atom). None if the energy of an element is not known.
    """
    amounts = composition.fractional_composition.get_el_amt_dict()
    if not all(symbol in energies for symbol in amounts):
        return None
    return float(sum(fraction * energies[symbol] for symbol, fraction in amounts.items()))


def deviations(own: Mapping[str, float]) -> dict[str, float]:
    """Return how far the energies of the elements lie above the Materials Project's.

    Parameters
    ----------
    own : Mapping of str to float
        Energies of the elements by a method, by symbol (eV/atom).

    Returns
    -------
    dict of str to float
        Differences by symbol (eV/atom). A positive value means that the method's element is too high. Elements without an
        energy in the Materials Project are left out.
    """
    known = materials_project_energies()
    return {symbol: energy - known[symbol] for symbol, energy in own.items() if symbol in known}


def warnings_of(deviations: Mapping[str, float], calculator: str) -> list[str]:
    """Return a sentence for each element whose energy differs by more than `OFF`.

    Parameters
    ----------
    deviations : Mapping of str to float
        Differences by symbol (eV/atom), see `deviations`.
    calculator : str
        Name of the model that computed the energies.

    Returns
    -------
    list of str
        Sentences. The largest deviation comes first.
    """
    off = sorted((item for item in deviations.items() if abs(item[1]) > OFF), key=lambda item: (-abs(item[1]), item[0]))
    return [
        f"{symbol}: {calculator} puts the element {abs(1000 * value):.0f} meV/atom {'above' if value > 0 else 'below'} "
        "the Materials Project's PBE energy"
        for symbol, value in off
    ]
