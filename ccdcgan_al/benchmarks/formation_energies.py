"""Compare the formation energies of a table with those of a method, for all compounds and by class. It computes no energy of a structure.

The table's formation energies contain MP2020 corrections. These are subtracted. Compounds that the Materials Project computes with a
Hubbard U are reported separately, because their entries mix PBE and PBE + U.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import random
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition, Structure

from ccdcgan_al.errors import HullError, StructureInputError
from ccdcgan_al.hull.corrections import mp2020_correction_per_atom, mp_hubbard_u
from ccdcgan_al.hull.element_references import energy_of_elements
from ccdcgan_al.hull.hull import DEGENERATE

COLUMNS = ("material_id", "formation_energy_per_atom", "cif")
CLASSES = (
    ("oxide", {"O"}),
    ("fluoride", {"F"}),
    ("other halide", {"Cl", "Br", "I"}),
    ("chalcogenide", {"S", "Se", "Te"}),
    ("pnictide", {"N", "P", "As", "Sb"}),
    ("hydride", {"H"}),
    ("boride, carbide, silicide, germanide", {"B", "C", "Si", "Ge"}),
)
"""A compound belongs to the first class that contains one of its elements. All others are intermetallics."""


def compound_class(composition: Composition) -> str:
    """Return the class of a compound from its elements: the first match in `CLASSES`, otherwise ``intermetallic``."""
    symbols = set(composition.get_el_amt_dict())
    return next((name for name, anions in CLASSES if symbols & anions), "intermetallic")


@dataclass(frozen=True)
class TableCompound:
    """One compound of a table.

    Attributes
    ----------
    material_id : str
        Identifier in the table.
    structure : Structure
        Structure in the table, relaxed with PBE.
    formation_energy : float
        Formation energy without MP2020 corrections (eV/atom).
    hubbard_u : bool
        Whether the Materials Project computes the compound with a Hubbard U.
    """

    material_id: str
    structure: Structure
    formation_energy: float
    hubbard_u: bool

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return str(self.structure.composition.reduced_formula)


@dataclass(frozen=True)
class Comparison:
    """Energy of a compound by a method.

    Attributes
    ----------
    compound : TableCompound
        Compound of the table.
    energy : float
        Total energy by the method (eV/atom).
    """

    compound: TableCompound
    energy: float

    def error(self, elements: Mapping[str, float]) -> float | None:
        """Return the method's formation energy minus the table's (meV/atom), or None if the energy of an element (eV/atom) is missing."""
        apart = energy_of_elements(self.compound.structure.composition, elements)
        return None if apart is None else 1000 * (self.energy - apart - self.compound.formation_energy)


def read_rows(table: Path) -> list[dict[str, str]]:
    """Read a table of compounds.

    Parameters
    ----------
    table : Path
        CSV file, optionally gzipped, with the columns `material_id`, `formation_energy_per_atom` (eV/atom, with MP2020
        corrections) and `cif`.

    Returns
    -------
    list of dict
        Rows of the table. Keys are column names, values are text.

    Raises
    ------
    ValueError
        The file is missing or empty, cannot be read, or lacks a column.
    """
    if not table.is_file():
        raise ValueError(f"{table}: no such file; give a CSV file with the columns {', '.join(COLUMNS)}")
    try:
        content = gzip.decompress(table.read_bytes()) if table.suffix == ".gz" else table.read_bytes()
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{table}: cannot be read ({error}); give a CSV file with the columns {', '.join(COLUMNS)}"
        ) from None
    missing = [name for name in COLUMNS if not rows or rows[0].get(name) is None]
    if missing:
        raise ValueError(
            f"{table}: no column {', '.join(missing)}, or no rows; give a CSV file with the columns {', '.join(COLUMNS)}"
        )
    return rows


def chosen_rows(
    rows: Sequence[dict[str, str]], count: int | None, seed: int, *, polymorphs: bool
) -> list[dict[str, str]]:
    """Return rows in a random order. The same seed gives the same order.

    Parameters
    ----------
    rows : sequence of dict
        Rows of `read_rows`.
    count : int or None
        Maximum number of rows. None means all rows.
    seed : int
        Random seed of the order.
    polymorphs : bool
        Whether to keep only formulas with two or more rows. All rows of such a formula follow each other.

    Returns
    -------
    list of dict
        Selected rows.
    """
    generator = random.Random(seed)
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups[_formula(row) if polymorphs else row["material_id"]].append(row)
    chosen = [group for _, group in sorted(groups.items()) if len(group) > 1 or not polymorphs]
    generator.shuffle(chosen)
    flat = [row for group in chosen for row in group]
    return flat if count is None else flat[:count]


def _formula(row: dict[str, str]) -> str:
    """Return the reduced formula in a row's CIF."""
    line = next((line for line in row["cif"].splitlines() if line.startswith("_chemical_formula_sum")), "")
    return str(Composition(line.partition(" ")[2].strip(" '\"")).reduced_formula) if line else row["material_id"]


def compound_of(row: dict[str, str]) -> TableCompound:
    """Convert a row to a compound.

    Raises
    ------
    StructureInputError
        The CIF or the energy cannot be read, the MP2020 correction cannot be computed, or the row is an element.
    """
    name = row["material_id"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_str(row["cif"], fmt="cif")
        formation = float(row["formation_energy_per_atom"]) - mp2020_correction_per_atom(structure)
    except (HullError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise StructureInputError(f"{name}: {' '.join(str(error).split())[:150]}") from None
    if not math.isfinite(formation) or len(structure.composition.element_composition) == 1:
        raise StructureInputError(
            f"{name}: got {structure.formula} with a formation energy of {formation} eV/atom; wanted a compound and a finite energy"
        )
    return TableCompound(name, structure, formation, bool(mp_hubbard_u(structure)))


def statistics(errors: Iterable[float | None]) -> dict[str, Any]:
    """Return the number, bias, mean absolute value and worst value of errors (meV/atom). None values are left out."""
    found = np.array([error for error in errors if error is not None])
    if not len(found):
        return {"n": 0, "bias_mev_per_atom": None, "mae_mev_per_atom": None, "worst_mev_per_atom": None}
    return {
        "n": len(found),
        "bias_mev_per_atom": round(float(found.mean()), 2),
        "mae_mev_per_atom": round(float(np.abs(found).mean()), 2),
        "worst_mev_per_atom": round(float(found[np.abs(found).argmax()]), 1),
    }


def scheme_figures(comparisons: Sequence[Comparison], elements: Mapping[str, float]) -> dict[str, Any]:
    """Compute the errors for one set of element energies.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Compounds with the energies of one method.
    elements : Mapping of str to float
        Energies of the elements (eV/atom).

    Returns
    -------
    dict
        `n`, `bias_mev_per_atom`, `mae_mev_per_atom` and `worst_mev_per_atom` of the compounds without a Hubbard U.
        `worst_compound` names the compound with the worst error. `by_class` and `by_element` contain the same four
        figures, and so does `with_hubbard_u` for the compounds with a Hubbard U.
    """
    plain = [item for item in comparisons if not item.compound.hubbard_u]
    by_class: dict[str, list[float | None]] = defaultdict(list)
    by_element: dict[str, list[float | None]] = defaultdict(list)
    for item in plain:
        error = item.error(elements)
        by_class[compound_class(item.compound.structure.composition)].append(error)
        for symbol in item.compound.structure.composition.get_el_amt_dict():
            by_element[symbol].append(error)
    known = [(item, error) for item in plain if (error := item.error(elements)) is not None]
    worst = max(known, key=lambda pair: abs(pair[1]), default=None)
    return {
        **statistics(error for _, error in known),
        "worst_compound": None if worst is None else f"{worst[0].compound.formula} ({worst[0].compound.material_id})",
        "by_class": {name: statistics(errors) for name, errors in sorted(by_class.items())},
        "by_element": {name: statistics(errors) for name, errors in sorted(by_element.items())},
        "with_hubbard_u": statistics(item.error(elements) for item in comparisons if item.compound.hubbard_u),
    }


def polymorph_order(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Compare the energy order of polymorphs with the table's. The result does not depend on the element energies.

    Returns
    -------
    dict
        `pairs` is the number of pairs with one formula that differ by more than 5 meV/atom in the table. `share` is the
        fraction of these pairs in the table's order, or None if there are no pairs. `difference_mae_mev_per_atom` is
        the mean absolute error of the energy differences of all pairs.
    """
    groups: dict[str, list[Comparison]] = defaultdict(list)
    for item in comparisons:
        groups[item.compound.formula].append(item)
    right, differences = [], []
    for group in groups.values():
        for one, other in combinations(group, 2):
            table = one.compound.formation_energy - other.compound.formation_energy
            method = one.energy - other.energy
            differences.append(1000 * abs(method - table))
            if abs(table) > DEGENERATE:
                right.append(table * method > 0)
    return {
        "pairs": len(right),
        "share": round(float(np.mean(right)), 4) if right else None,
        "difference_mae_mev_per_atom": round(float(np.mean(differences)), 2) if differences else None,
    }
