"""Energies of the elements, which set the zero of formation energies and the corners of a hull. It builds no hull.

A potential trained on the Materials Project knows compounds better than elements: 7net-0 puts W 218 meV/atom too high. An
element that is too high makes every compound look too stable. The PBE energies of the elements are known, whatever a
potential makes of them. So the hull of a PBE potential has the Materials Project's energies at its corners (as
matbench-discovery's formation energies do), and the hull with the potential's own elements stands beside it.
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
"""Whose energies of the elements set the zero: those of the hull's own method, or the Materials Project's."""

DATA = Path(__file__).parents[1] / "data" / "element_energies.json"
OFF = 0.03
"""eV/atom; an element whose energy by a potential differs by more from the Materials Project's is named in every report."""


@dataclass(frozen=True)
class ElementReferences:
    """The zero of formation energies: a part of the energy scale, beside the method.

    Attributes
    ----------
    scheme : Scheme
        Whose energies they are.
    energies : Mapping of str to float
        By symbol (eV/atom); empty for `own`, where the lowest phase of each element in the hull counts.
    reason : str
        Why they are the method's own where another scheme would be the default; empty otherwise.
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
        By symbol (eV/atom). Sources and licence stand in ``ccdcgan_al/data/element_energies.json``: matbench-discovery's
        list of 2023 and, for Br, I, Bi and Eu, the lower phases that CAMD recorded.
    """
    return {symbol: item["energy"] for symbol, item in _data()["materials_project"]["energies"].items()}


def potential_energies(calculator: str) -> dict[str, float]:
    """Return the energies of the elements by a potential that comes with the package.

    Parameters
    ----------
    calculator : str
        The model, e.g. ``SevenNet 7net-0`` (`Method.calculator`).

    Returns
    -------
    dict of str to float
        By symbol (eV/atom), relaxed; empty for a potential without a table.
    """
    return dict(_data()["potentials"].get(calculator, {}).get("energies", {}))


def references_of(method: Method, elements: Sequence[str]) -> ElementReferences:
    """Return the element references that the hull of a method has by default.

    Parameters
    ----------
    method : Method
        How the energies of the hull were obtained.
    elements : sequence of str
        Symbols of the chemical system.

    Returns
    -------
    ElementReferences
        The Materials Project's for a potential whose functional is ``PBE`` (PBE + U where the Materials Project uses a U);
        the method's own for VASP, for other functionals, and where an element has no energy in the Materials Project.
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
    """Return the energy that the elements of a composition have apart.

    Parameters
    ----------
    composition : Composition
        Of any number of atoms.
    energies : Mapping of str to float
        Energies of the elements by symbol (eV/atom).

    Returns
    -------
    float or None
        eV/atom; None where the energy of an element is not known.
    """
    amounts = composition.fractional_composition.get_el_amt_dict()
    if not all(symbol in energies for symbol in amounts):
        return None
    return float(sum(fraction * energies[symbol] for symbol, fraction in amounts.items()))


def deviations(own: Mapping[str, float]) -> dict[str, float]:
    """Return how far energies of the elements lie above the Materials Project's.

    Parameters
    ----------
    own : Mapping of str to float
        Energies of the elements by a method, by symbol (eV/atom).

    Returns
    -------
    dict of str to float
        By symbol (eV/atom), positive where the method's element is too high; elements without an energy in the Materials
        Project are left out.
    """
    known = materials_project_energies()
    return {symbol: energy - known[symbol] for symbol, energy in own.items() if symbol in known}


def warnings_of(deviations: Mapping[str, float], calculator: str) -> list[str]:
    """Return a sentence for each element whose energy is off by more than `OFF`.

    Parameters
    ----------
    deviations : Mapping of str to float
        By symbol (eV/atom), see `deviations`.
    calculator : str
        The model whose energies they are.

    Returns
    -------
    list of str
        The worst first.
    """
    off = sorted((item for item in deviations.items() if abs(item[1]) > OFF), key=lambda item: (-abs(item[1]), item[0]))
    return [
        f"{symbol}: {calculator} puts the element {abs(1000 * value):.0f} meV/atom {'above' if value > 0 else 'below'} "
        "the Materials Project's PBE energy"
        for symbol, value in off
    ]
