"""The crystals of a CIF text, each checked against what the text itself states. It opens no file and reduces nothing.

pymatgen splits the text into values, and makes the cell's atoms from sites and operations. What it would guess (operations of an unknown space
group, a coordinate that is no number, the element of an odd label) is settled here before, or refused.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure
from pymatgen.core.operations import SymmOp

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.checks import MAX_RAW_SITES, ReadCrystal, overlap
from ccdcgan_al.seeds.cif_symmetry import Symmetry, symmetries_of
from ccdcgan_al.seeds.cif_values import CifValues, blocks_of, number_of, values_of
from ccdcgan_al.structures.matching import structure_matcher

if TYPE_CHECKING:
    from collections.abc import Sequence

ON_POSITION = (
    0.1  # Å: an atom nearer than this to its own image is meant to lie on the element of symmetry between them
)
TOLD_FROM = 1e-4  # Å: a shift that is said
FULL, TOLERANCE = 1.0, 1e-3  # of an occupancy; of the share of an element in a formula with decimals
_SAME_POINT = 5e-3  # of a fractional coordinate, for an operation that is not written out
_SYMBOL = re.compile(r"([A-Za-z]{1,2})([\d+\-_(*'.][^,/\s]*)?")  # Bi, Bi3+, Bi1, Bi_2, BI3


@dataclass(frozen=True)
class Site:
    """A row of the table of atoms.

    Attributes
    ----------
    label, element : str
        Its label, and the symbol of its element.
    position : tuple of (float, float, float)
        Fractional, (3,).
    occupancy : float
        In (0, 1].
    multiplicity : int or None
        As stated; None where it is not.
    """

    label: str
    element: str
    position: tuple[float, float, float]
    occupancy: float
    multiplicity: int | None


def read_cif(text: str) -> tuple[list[ReadCrystal], list[str]]:
    """Return the crystals of all data blocks, and the names of the blocks without atoms.

    Raises
    ------
    StructureInputError
        No block holds atoms, or what one holds cannot be trusted; the message says which block.
    """
    crystals, empty = [], []
    blocks = blocks_of(text)
    for name, block in blocks:
        try:
            values = values_of(block)
            crystal = _crystal(name, values) if values.has_atoms else None
        except StructureInputError as error:
            raise StructureInputError(f"block {name}: {error}" if len(blocks) > 1 else str(error)) from None
        if crystal is None:
            empty.append(name)
        else:
            crystals.append(crystal)
    if not crystals:
        raise StructureInputError(
            "not a readable CIF file (no data block holds atoms); give a CIF with a table of atoms"
        )
    return crystals, empty


def _crystal(name: str, values: CifValues) -> ReadCrystal:
    """Return the crystal of a block."""
    lattice, repairs = _lattice(values)
    sites, of_sites = _sites(values)
    choices, of_symmetry = symmetries_of(values, lattice)
    built: list[tuple[Structure, Symmetry, float]] = []
    reasons = []
    for choice in choices:
        try:
            structure, moved = _built(lattice, sites, choice.operations)
            _check_stated(structure, sites, values, choice)
        except StructureInputError as error:
            reasons.append(choice.told(str(error)))
            continue
        if not any(structure_matcher().fit(structure, other) for other, _, _ in built if len(choices) > 1):
            built.append((structure, choice, moved))
    if not built:
        raise StructureInputError(reasons[0])
    if len(built) > 1:
        names = " or ".join(repr(choice.name) for _, choice, _ in built)
        raise StructureInputError(
            f"its space group can be {names}, which give different crystals; write the setting (as in 'F d -3 m :2') or the operations"
        )
    structure, choice, moved = built[0]
    repairs += [*of_sites, *of_symmetry, *choice.repairs]
    if moved > TOLD_FROM:
        repairs.append(f"atoms near a special position were put on it, by at most {moved:.4f} Å")
    return ReadCrystal(structure, name, tuple(repairs))


def _lattice(values: CifValues) -> tuple[Lattice, list[str]]:
    """Return the cell; angles that a CIF leaves out are 90 degrees."""
    found: list[float] = []
    left_out = []
    for key in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"):
        text = values.scalar(f"_cell_{key}")
        if text is None and key.startswith("angle"):
            left_out.append(key.removeprefix("angle_"))
            found.append(90.0)
            continue
        value = None if text is None else number_of(text)
        if value is None or value <= 0:
            raise StructureInputError(f"_cell_{key} is {text or 'missing'}; wanted a positive number")
        found.append(value)
    alpha, beta, gamma = np.radians(found[3:])
    cosines = np.cos([alpha, beta, gamma])
    if max(found[3:]) >= 180 or 1 - (cosines**2).sum() + 2 * cosines.prod() <= 0:  # noqa: PLR2004 - degrees
        raise StructureInputError(f"angles {', '.join(f'{angle:g}' for angle in found[3:])} make no cell; correct them")
    said = [f"no angle {', '.join(left_out)}, which a CIF leaves out where it is 90"] if left_out else []
    return Lattice.from_parameters(*found), said


def _sites(values: CifValues) -> tuple[list[Site], list[str]]:
    """Return the rows of the table of atoms, and what was assumed of them."""
    labels, symbols = values.column("_atom_site_label"), values.column("_atom_site_type_symbol")
    positions = [values.column(f"_atom_site_fract_{axis}") for axis in "xyz"]
    occupancies = values.column("_atom_site_occupancy")
    multiplicities = values.column("_atom_site_symmetry_multiplicity") or values.column(
        "_atom_site_site_symmetry_multiplicity"
    )
    hydrogens = values.column("_atom_site_attached_hydrogens")
    count = len(positions[0])
    if not all(positions):
        raise StructureInputError("no fractional coordinates (_atom_site_fract_x, _y, _z); write them out")
    columns = (labels, symbols, *positions, occupancies, multiplicities, hydrogens)
    if not (labels or symbols) or any(len(column) != count for column in columns if column):
        raise StructureInputError(
            "its table of atoms has columns of different lengths, or no labels; correct the table"
        )
    if count > MAX_RAW_SITES:
        raise StructureInputError(f"{count} rows of atoms; at most {MAX_RAW_SITES} are read; give its primitive cell")
    sites, unknown, absent = [], 0, 0
    for row in range(count):
        label = labels[row] if labels else symbols[row]
        if hydrogens and (number_of(hydrogens[row]) or 0) != 0:
            raise StructureInputError(f"site {label} has hydrogens without positions; write them as sites of their own")
        occupancy = FULL
        if occupancies and occupancies[row] not in ("?", "."):
            occupancy = _number(occupancies[row], label, "occupancy")
        else:
            unknown += bool(occupancies)
        if occupancy == 0:
            absent += 1
            continue
        if not 0 < occupancy <= FULL + TOLERANCE:
            raise StructureInputError(f"site {label} has the occupancy {occupancy:g}; wanted one of 0 to 1")
        x, y, z = (_number(column[row], label, "coordinate") for column in positions)
        stated = number_of(multiplicities[row]) if multiplicities else None
        symbol = symbols[row] if symbols and symbols[row] not in ("?", ".") else label
        multiplicity = None if stated is None else round(stated)
        sites.append(Site(label, _element(symbol, label), (x, y, z), min(occupancy, FULL), multiplicity))
    if not sites:
        raise StructureInputError("every site has the occupancy 0; wanted atoms")
    said = [f"occupancy of {unknown} sites is not stated and taken as 1"] if unknown else []
    return sites, said + ([f"{absent} sites of occupancy 0 left out"] if absent else [])


def _number(text: str, label: str, what: str) -> float:
    value = number_of(text)
    if value is None:
        raise StructureInputError(f"site {label} has the {what} {text!r}, which is no number; write it out")
    return value


def _element(symbol: str, label: str) -> str:
    """Return the element that a type symbol or label begins with: Bi of Bi, Bi3+, Bi1 and BI2."""
    found = _SYMBOL.fullmatch(symbol)
    element = found.group(1).title() if found else ""
    if not Element.is_valid_symbol(element):
        raise StructureInputError(
            f"site {label} is of {symbol!r}, which begins with no element; write _atom_site_type_symbol"
        )
    return element


def _built(lattice: Lattice, sites: Sequence[Site], operations: Sequence[SymmOp]) -> tuple[Structure, float]:
    """Return the cell's atoms, and the longest way (Å) that a site was moved onto a special position."""
    from pymatgen.io.cif import CifBlock, CifParser

    placed, moved = [], 0.0
    for site in sites:
        position, way = _on_position(lattice, np.array(site.position), operations)
        placed.append(position)
        moved = max(moved, way)
    x, y, z = np.array(placed).T
    columns = {
        "_atom_site_label": [f"{site.element}{k}" for k, site in enumerate(sites)],
        "_atom_site_type_symbol": [site.element for site in sites],
        **{
            f"_atom_site_fract_{axis}": [f"{v:.15f}" for v in values]
            for axis, values in zip("xyz", (x, y, z), strict=True)
        },
        "_atom_site_occupancy": [str(site.occupancy) for site in sites],
    }
    cell = {
        **{f"_cell_length_{axis}": repr(float(v)) for axis, v in zip("abc", lattice.abc, strict=True)},
        **{
            f"_cell_angle_{axis}": repr(float(v))
            for axis, v in zip(("alpha", "beta", "gamma"), lattice.angles, strict=True)
        },
    }
    symmetry = {"_space_group_symop_operation_xyz": [operation.as_xyz_str() for operation in operations]}
    block = CifBlock({**cell, **symmetry, **columns}, [list(symmetry), list(columns)], "read")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it returns the cell as given; its warnings of the text are looked at
        parser = CifParser.from_str(str(block), frac_tolerance=0.0, check_cif=False)
        try:
            (structure,) = parser.parse_structures(primitive=False, on_error="raise")
        except ValueError as error:
            reason = " ".join(str(error).partition("\n")[2].split())
            if "Occupancy" in reason:
                raise StructureInputError(
                    "more than one atom on one point (occupancies that sum to more than 1); give each atom once"
                ) from None
            raise StructureInputError(f"not a readable CIF file ({reason[:150]})") from None
    if parser.warnings:
        raise StructureInputError(
            f"pymatgen's reader says: {' '.join(' '.join(parser.warnings).split())[:150]}; correct the file"
        )
    for site in structure:
        site.label = sites[int(site.label[len(re.match(r"[A-Za-z]+", site.label).group()) :])].label  # type: ignore[union-attr]
    return structure, moved


def _on_position(lattice: Lattice, position: np.ndarray, operations: Sequence[SymmOp]) -> tuple[np.ndarray, float]:
    """Return a position (3,) moved to the mean of those of its images that nearly coincide with it, and by how much (Å)."""
    rotations = np.array([operation.rotation_matrix for operation in operations])
    shifts = rotations @ position + [operation.translation_vector for operation in operations] - position
    shifts -= np.round(shifts)
    near = np.linalg.norm(shifts @ lattice.matrix, axis=1) < ON_POSITION
    mean = shifts[near].mean(axis=0)
    return position + mean, float(np.linalg.norm(mean @ lattice.matrix))


def _check_stated(structure: Structure, sites: Sequence[Site], values: CifValues, choice: Symmetry) -> None:
    """Raise where the crystal is not what the block states: formula, formula units in the cell, multiplicities."""
    if not structure.is_ordered:
        raise StructureInputError("disordered (partial occupancies); wanted an ordered structure")
    stated = _stated_formula(values)
    came = structure.composition
    if stated is not None and not _same_formula(came, stated):
        raise StructureInputError(
            f"the stated formula {values.scalar('_chemical_formula_sum')} is not what the file gives ({came.reduced_formula}); "
            "correct the formula, the sites or the symmetry"
        )
    if choice.named and not any(_has_symmetry(structure, setting.operations) for setting in choice.named):
        raise StructureInputError(
            f"{len(choice.operations)} symmetry operations are written out and {choice.name} has {len(choice.named[0].operations)}, which the atoms "
            "do not have; write all operations, or P 1 with all atoms of the cell"
        )
    if choice.needs_formula and stated is None:
        raise StructureInputError("no _chemical_formula_sum to check it by; write the symmetry operations out")
    if pair := overlap(structure):
        raise StructureInputError(
            f"two atoms {pair[2]:.2f} Å apart ({pair[0]} and {pair[1]}); give each atom once, with coordinates of four decimals or more"
        )
    units = number_of(values.scalar("_cell_formula_units_Z") or "?")
    if stated is not None and units:
        wanted = {round(units * total, 3) for total in (stated.num_atoms, stated.reduced_composition.num_atoms)}
        if not any(abs(came.num_atoms - total) < 0.01 * total for total in wanted):
            raise StructureInputError(
                f"{units:g} formula units of {values.scalar('_chemical_formula_sum')} are stated, and the file gives "
                f"{came.num_atoms:g} atoms; correct _cell_formula_units_Z, the sites or the symmetry"
            )
    elif choice.needs_count:
        raise StructureInputError("no _cell_formula_units_Z to check it by; write the symmetry operations out")
    _check_multiplicities(structure, sites, len(choice.operations))


def _has_symmetry(structure: Structure, operations: Sequence[SymmOp]) -> bool:
    """Tell whether every operation takes the atoms of each element onto atoms of that element."""
    from pymatgen.util.coord import is_coord_subset_pbc

    of_elements = [
        structure.frac_coords[[site.specie == element for site in structure]] for element in structure.composition
    ]
    return all(
        is_coord_subset_pbc(operation.operate_multi(positions), positions, atol=_SAME_POINT)
        for operation in operations
        for positions in of_elements
    )


def _check_multiplicities(structure: Structure, sites: Sequence[Site], order: int) -> None:
    """Raise where the orbits are of other sizes than stated; SHELX states the order of the site's group in the same column."""
    if any(site.multiplicity is None for site in sites) or len({site.label for site in sites}) < len(sites):
        return
    sizes = [sum(atom.label == site.label for atom in structure) for site in sites]
    stated = [site.multiplicity or 0 for site in sites]
    if sizes == stated or [size * given for size, given in zip(sizes, stated, strict=True)] == [order] * len(sites):
        return
    wrong = next(k for k in range(len(sites)) if sizes[k] != stated[k])
    raise StructureInputError(
        f"site {sites[wrong].label} has the multiplicity {stated[wrong]} and the file gives {sizes[wrong]} atoms of it; "
        "correct its position or the symmetry"
    )


def _stated_formula(values: CifValues) -> Composition | None:
    """Return the stated formula; None where there is none."""
    text = values.scalar("_chemical_formula_sum")
    if not text:
        return None
    for written in (text, text.title()):  # some programs write BI2 SE3
        try:
            formula = Composition(re.sub(r"\s+", "", written))
        except ValueError:
            continue
        if formula and all(isinstance(element, Element) for element in formula):
            return formula
    raise StructureInputError(f"the stated formula {text!r} cannot be read; write it as in 'Bi2 Se3'")


def _same_formula(came: Composition, stated: Composition) -> bool:
    symbols = {element.symbol for element in came} | {element.symbol for element in stated}
    shares = [(came.get_atomic_fraction(symbol), stated.get_atomic_fraction(symbol)) for symbol in symbols]
    return all(abs(one - other) < TOLERANCE for one, other in shares)
