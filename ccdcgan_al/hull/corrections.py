"""MP2020 energy corrections, from pymatgen's own data. This module computes no energies and does not decide which hull counts.

The scheme is Wang et al., Sci. Rep. 11, 15496 (2021), doi 10.1038/s41598-021-94550-5. It adds a constant per atom for anions in
compounds (Se: -0.472 eV, 0 in the element) and for transition metals computed with a Hubbard U. All numbers come from
`MaterialsProject2020Compatibility`, and the U values from `MPRelaxSet`.

Limits of the scheme:

- It was fitted to VASP energies with the Materials Project's settings (PBE, and PBE + U for V, Cr, Mn, Fe, Co, Ni, Mo and W
  with O or F). With a potential's energy, it is only as good as the potential imitates those settings.
- It stabilises every compound of an anion, real or not, in proportion to the anion's share. A corrected hull therefore makes
  false discoveries among anion-rich compositions (pymatgen issue 3803). Discoveries are claimed on the uncorrected hull.
- Anions are identified by guessed oxidation states, which depend only on the formula. Oxide, peroxide, superoxide and sulfide
  are identified by distances, so they depend on the structure. If no oxidation state can be guessed, the most electronegative
  element counts as the anion (pymatgen's rule). An element of unknown electronegativity (He, Ne, Ar, beyond Lr) never counts
  as the anion here. In pymatgen this depends on the order of the atoms, so this module sorts the atoms first.
- pymatgen has three rules for anions. The default here is `no_check`, the scheme as published. It corrected the training
  set of CHGNet 0.3.0, so it removes exactly the corrections inside that potential. `require_bound`, pymatgen's default since
  May 2024, needs an oxidation state <= -1. It gives BiSe6 no correction, while `no_check` gives it -0.405 eV/atom.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pymatgen.core import Structure

from ccdcgan_al.errors import HullError
from ccdcgan_al.structures.electronegativity import (
    by_electronegativity,
    most_electronegative,
    without_electronegativity,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

StrictAnions = Literal["require_exact", "require_bound", "no_check"]


@lru_cache(maxsize=6)
def _scheme(strict_anions: StrictAnions, *, check_potcar: bool = False) -> Any:
    """Return pymatgen's correction scheme. It is cached because reading it takes a moment."""
    from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility(strict_anions=strict_anions, check_potcar=check_potcar)


@lru_cache(maxsize=4096)
def _oxidation_states(formula: str) -> tuple[tuple[str, float], ...]:
    """Return the oxidation states that pymatgen's scheme would guess for a reduced formula. They are cached because the guess is slow."""
    from pymatgen.core import Composition

    try:
        guesses = Composition(formula).oxi_state_guesses(max_sites=-20)
    except ValueError:  # the formula is too large to guess, as in pymatgen
        guesses = ()
    return tuple(guesses[0].items()) if guesses else ()


def mp_hubbard_u(structure: Structure) -> dict[str, float]:
    """Return the U values (eV) with which the Materials Project would compute the structure.

    Parameters
    ----------
    structure : Structure
        Any structure.

    Returns
    -------
    dict of str to float
        U values by symbol. Empty if the Materials Project would use plain PBE. Source: `MPRelaxSet`, in which a U belongs to
        the most electronegative element (O or F).
    """
    symbols = sorted(element.symbol for element in structure.composition.element_composition)
    if len(symbols) == 1:
        return {}
    values = _scheme("no_check").u_settings.get(most_electronegative(symbols), {})
    return {symbol: float(values[symbol]) for symbol in symbols if values.get(symbol)}


def _in_one_order(structure: Structure) -> Structure:
    """Return the structure without oxidation states. The order of its atoms does not depend on their original order.

    Elements of unknown electronegativity come first. NaN confuses pymatgen's sort, and in this order it leaves them there.
    """
    bare = structure.copy().remove_oxidation_states()
    sites = sorted(
        bare, key=lambda site: (*by_electronegativity(site.specie.symbol), *(site.frac_coords % 1).round(6).tolist())
    )
    return Structure.from_sites(sites)


def mp_potcar_symbols(structure: Structure) -> list[str]:
    """Return the POTCARs that the Materials Project would use for the structure, e.g. ``V_pv``. Source: `MPRelaxSet`."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    symbols = MPRelaxSet.CONFIG["POTCAR"]
    return [symbols.get(element.symbol, element.symbol) for element in structure.composition.element_composition]


def mp2020_correction_per_atom(
    structure: Structure,
    *,
    hubbard_u: Mapping[str, float] | None = None,
    strict_anions: StrictAnions = "no_check",
    run_type: str | None = None,
    potcar: Sequence[str] | None = None,
) -> float:
    """Return the MP2020 correction of a structure.

    Parameters
    ----------
    structure : Structure
        Ordered and relaxed structure. Oxides and sulfides are told apart by distances, so the positions matter.
    hubbard_u : mapping of str to float, optional
        U values (eV) by symbol that the energy contains. None means those of the Materials Project, because a potential
        trained on its energies imitates them. An empty mapping means plain PBE.
    strict_anions : StrictAnions, default "no_check"
        Rule for the species that count as anions, see the module's description.
    run_type : str, optional
        Run type of a VASP run, e.g. ``GGA+U``, which is checked. None means the run type that follows from `hubbard_u`.
    potcar : sequence of str, optional
        TITELs of a VASP run's POTCARs. They are checked against the Materials Project's. None means that it is not VASP.

    Returns
    -------
    float
        Correction to be ADDED to the raw PBE or PBE + U energy (eV/atom). It is 0 for an element.

    Raises
    ------
    HullError
        If there is no correction for any reason: a U, run type or POTCAR other than the Materials Project's, an
        element that the scheme does not know, or an element of unknown electronegativity.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if len(structure.composition.element_composition) == 1 and potcar is None:
        return 0.0  # the scheme's own rule; pymatgen would ask for U values first
    formula = structure.composition.element_composition.reduced_formula
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns at every guess of oxidation states
        try:
            values = dict(mp_hubbard_u(structure) if hubbard_u is None else hubbard_u)
            entry = ComputedStructureEntry(
                _in_one_order(structure),
                energy=0.0,
                parameters={
                    "run_type": run_type or ("GGA+U" if values else "GGA"),
                    "hubbards": values,
                    "software": "potential" if potcar is None else "vasp",
                    "potcar_symbols": list(potcar or ()),
                },
                data={"oxidation_states": dict(_oxidation_states(formula))},
                entry_id=formula,
            )
            adjustments = _scheme(strict_anions, check_potcar=potcar is not None).get_adjustments(entry)
            correction = float(sum(adjustment.value for adjustment in adjustments)) / len(structure)
        except Exception as error:  # pymatgen raises many kinds of error for an unknown element
            raise HullError(_why_none(structure, error)) from error
    if not math.isfinite(correction):
        raise HullError(_why_none(structure, ValueError(f"pymatgen's is {correction}")))
    return correction


def _why_none(structure: Structure, error: Exception) -> str:
    """Return one line that states why there is no correction and which electronegativities are not known."""
    unknown = without_electronegativity(element.symbol for element in structure.composition.element_composition)
    reason = " ".join(str(error).split(" for {")[0].split())  # the rest is the whole entry
    reason = reason or type(error).__name__
    return (
        f"no MP2020 correction for {structure.composition.reduced_formula}: {reason}"
        f"{f' (no electronegativity of {chr(32).join(unknown)} is known)' if unknown else ''}; "
        "compute it with the Materials Project's settings, or build the hull without corrections"
    )
