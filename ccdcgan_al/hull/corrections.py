"""MP2020 energy corrections, from pymatgen's own data; it neither computes energies nor decides which hull counts.

The scheme is Wang et al., Sci. Rep. 11, 15496 (2021), doi 10.1038/s41598-021-94550-5: a constant an atom for anions in
compounds (Se: -0.472 eV, 0 in the element) and for transition metals computed with a Hubbard U. All numbers come from
`MaterialsProject2020Compatibility`, the U values from `MPRelaxSet`.

What to know before use:

- It was fitted to VASP energies of the Materials Project's settings (PBE, PBE + U for V, Cr, Mn, Fe, Co, Ni, Mo and W
  with O or F). Added to a potential's energy it is as good as that potential imitates those settings.
- It stabilises every compound of an anion, real or not, in proportion to the anion's share: a hull with it in makes
  false discoveries among anion-rich compositions (pymatgen issue 3803). The hull that claims a discovery is the one
  without.
- Anions are told by guessed oxidation states, from the formula alone; oxide, peroxide, superoxide and sulfide are told
  by distances, so these depend on the structure. Where no oxidation state can be guessed, the most electronegative
  element counts as the anion (pymatgen's rule). An element whose electronegativity is not known (He, Ne, Ar, beyond Lr)
  never does, here; in pymatgen that depends on the order of the atoms, so it is handed the atoms in one order.
- pymatgen has three rules for what counts as an anion. The default here is `no_check`, the scheme as published: it
  corrected the training set of CHGNet 0.3.0, so it is the one that removes what is inside that potential.
  `require_bound`, pymatgen's default since May 2024, wants an oxidation state <= -1 and gives BiSe6 nothing, where
  `no_check` gives it -0.405 eV/atom.
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
    """Return pymatgen's correction scheme, which takes a moment to read."""
    from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility(strict_anions=strict_anions, check_potcar=check_potcar)


@lru_cache(maxsize=4096)
def _oxidation_states(formula: str) -> tuple[tuple[str, float], ...]:
    """Return the guess that pymatgen's scheme would make for a reduced formula, remembered, since it is slow."""
    from pymatgen.core import Composition

    try:
        guesses = Composition(formula).oxi_state_guesses(max_sites=-20)
    except ValueError:  # too large a formula to guess, as in pymatgen
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
        By symbol; empty where it would use plain PBE. Source: `MPRelaxSet`, where a U belongs to the most
        electronegative element (O or F).
    """
    symbols = sorted(element.symbol for element in structure.composition.element_composition)
    if len(symbols) == 1:
        return {}
    values = _scheme("no_check").u_settings.get(most_electronegative(symbols), {})
    return {symbol: float(values[symbol]) for symbol in symbols if values.get(symbol)}


def _in_one_order(structure: Structure) -> Structure:
    """Return the structure without oxidation states, its atoms in an order that does not depend on the one they came in.

    Elements of which no electronegativity is known come first: so pymatgen's sort, which NaN confuses, leaves them there.
    """
    bare = structure.copy().remove_oxidation_states()
    sites = sorted(
        bare, key=lambda site: (*by_electronegativity(site.specie.symbol), *(site.frac_coords % 1).round(6).tolist())
    )
    return Structure.from_sites(sites)


def mp_potcar_symbols(structure: Structure) -> list[str]:
    """Return the POTCARs with which the Materials Project would compute the structure, e.g. ``V_pv``; source: `MPRelaxSet`."""
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
        Ordered structure, relaxed, since oxides and sulfides are told apart by distances.
    hubbard_u : mapping of str to float, optional
        U (eV) by symbol that the energy contains; None for those of the Materials Project, which a potential trained
        on its energies imitates; {} for plain PBE.
    strict_anions : StrictAnions, default "no_check"
        Which species count as anions, see the module's description.
    run_type : str, optional
        That of a VASP run, e.g. ``GGA+U``, which is checked; None for what `hubbard_u` says.
    potcar : sequence of str, optional
        TITELs of a VASP run's POTCARs, which are checked to be the Materials Project's; None: not VASP.

    Returns
    -------
    float
        To be ADDED to the raw PBE or PBE + U energy (eV/atom); 0 for an element.

    Raises
    ------
    HullError
        There is no correction, whatever the reason: a U, run type or POTCAR other than the Materials Project's, an
        element that the scheme does not know or whose electronegativity nobody knows.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if len(structure.composition.element_composition) == 1 and potcar is None:
        return 0.0  # the scheme's own rule; pymatgen asks for U values before it comes to it
    formula = structure.composition.element_composition.reduced_formula
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every guess of oxidation states
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
        except Exception as error:  # pymatgen fails in many ways where it does not know an element
            raise HullError(_why_none(structure, error)) from error
    if not math.isfinite(correction):
        raise HullError(_why_none(structure, ValueError(f"pymatgen's is {correction}")))
    return correction


def _why_none(structure: Structure, error: Exception) -> str:
    """Say in one line why there is no correction, and which electronegativities are not known."""
    unknown = without_electronegativity(element.symbol for element in structure.composition.element_composition)
    reason = " ".join(str(error).split(" for {")[0].split())  # the rest is the whole entry
    reason = reason or type(error).__name__
    return (
        f"no MP2020 correction for {structure.composition.reduced_formula}: {reason}"
        f"{f' (no electronegativity of {chr(32).join(unknown)} is known)' if unknown else ''}; "
        "compute it with the Materials Project's settings, or build the hull without corrections"
    )
