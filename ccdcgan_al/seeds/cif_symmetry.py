"""Read the symmetry of a CIF block: its symmetry operations, or those of its space group. It builds no crystal."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.operations import SymmOp

from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.seeds.cif_values import CifValues, number_of
from ccdcgan_al.structures.space_groups import Setting, fits_cell, settings_of

if TYPE_CHECKING:
    from pymatgen.core import Lattice

_OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_SYMBOLS = (
    "_symmetry_space_group_name_H-M",
    "_symmetry_space_group_name_H_M",
    "_space_group_name_H-M_alt",
    "_space_group_name_H-M",
)
_HALL = ("_symmetry_space_group_name_Hall", "_space_group_name_Hall")
_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")
_MAGNETIC = ("_space_group_magn", "_space_group_symop_magn", "_magnetic_space_group", "_atom_site_moment")
_MODULATED = ("_cell_modulation", "_cell_wave_vector", "_space_group_ssg", "_atom_site_displace_fourier")
_XYZ = re.compile(r"[xyzXYZ0-9+\-*/. ]+(,[xyzXYZ0-9+\-*/. ]+){2}")
_IDENTITY = SymmOp.from_xyz_str("x,y,z")


@dataclass(frozen=True)
class Symmetry:
    """Possible symmetry of a block.

    Attributes
    ----------
    operations : tuple of SymmOp
        All operations of the space group.
    name : str
        Name of the space group, for messages.
    repairs : tuple of str, optional
        Notes on assumptions.
    needs_formula : bool, default False
        Whether the crystal is accepted only if the stated formula agrees.
    needs_count : bool, default False
        Whether the crystal is accepted only if the stated number of formula units agrees.
    named : tuple of Setting, optional
        Settings of the named space group if their number of operations differs from the operations in the text.
        Otherwise empty.
    doubt : str, default ""
        Text to write before the reason of a refusal.
    """

    operations: tuple[SymmOp, ...]
    name: str
    repairs: tuple[str, ...] = ()
    needs_formula: bool = False
    needs_count: bool = False
    named: tuple[Setting, ...] = ()
    doubt: str = ""

    def told(self, reason: str) -> str:
        """Return the reason of a refusal, with `doubt` before it."""
        return f"{self.doubt}: {reason}" if self.doubt else reason


def symmetries_of(values: CifValues, lattice: Lattice) -> tuple[list[Symmetry], list[str]]:
    """Return the possible symmetries of a block in its cell, and notes on assumptions that all of them share.

    Raises
    ------
    StructureInputError
        Operations cannot be read, do not fit the cell or contradict the space group, the crystal is modulated, or the
        space group's symbol and number contradict each other.
    """
    if any(name.startswith(_MODULATED) for name in values.values):
        raise StructureInputError(
            "the crystal is modulated (incommensurate); give an ordered approximant with its own cell"
        )
    if any(name.startswith(_MAGNETIC) for name in values.values):
        operations = _magnetic(values)
        said = ["magnetic moments were left out"]
        if operations:
            _check_cell(operations, lattice, "the magnetic symmetry operations")
            return [Symmetry(operations, "the magnetic space group")], said
    else:
        said = []
    symbol, number_text = values.scalar(*_SYMBOLS), values.scalar(*_NUMBERS)
    stated = number_of(number_text or "?")
    number = None if stated is None else round(stated)
    written = [text for text in values.column(*_OPERATIONS) if text.strip() not in ("", "?", ".")]
    if written:
        operations = _parsed(written)
        _check_cell(operations, lattice, "the symmetry operations")
        return [Symmetry(operations, symbol or "", named=_named_beside(operations, symbol, lattice))], said
    settings = settings_of(symbol, number, values.scalar(*_HALL))
    if settings:
        return _in_cell(settings, lattice), said
    return _assumed(symbol, number, lattice), said


def _parsed(written: list[str]) -> tuple[SymmOp, ...]:
    """Parse operations from texts such as ``-x,y+1/2,-z``."""
    operations = []
    for text in written:
        if not _XYZ.fullmatch(text.strip()):
            raise StructureInputError(f"the symmetry operation {text!r} cannot be read; write it as in 'x,-y,z+1/2'")
        operation = SymmOp.from_xyz_str(text)
        if abs(abs(np.linalg.det(operation.rotation_matrix)) - 1) > 1e-3:  # noqa: PLR2004 - of rounding
            raise StructureInputError(f"{text!r} is not a symmetry operation; write it as in 'x,-y,z+1/2'")
        operations.append(operation)
    if not any(np.allclose(operation.affine_matrix, np.eye(4)) for operation in operations):
        raise StructureInputError("the symmetry operations lack 'x,y,z'; write all of them out")
    return tuple(operations)


def _check_cell(operations: tuple[SymmOp, ...], lattice: Lattice, what: str) -> None:
    if not fits_cell(operations, lattice):
        cell = ", ".join(f"{value:g}" for value in (*lattice.abc, *lattice.angles))
        raise StructureInputError(f"{what} do not fit the cell {cell}; correct one of them")


def _named_beside(operations: tuple[SymmOp, ...], symbol: str | None, lattice: Lattice) -> tuple[Setting, ...]:
    """Return the settings of the named space group if none has as many operations as the text. The atoms must then have one of these symmetries."""
    try:
        settings = [setting for setting in settings_of(symbol, None) if fits_cell(setting.operations, lattice)]
    except StructureInputError:
        return ()
    return () if any(len(setting.operations) == len(operations) for setting in settings) else tuple(settings)


def _in_cell(settings: list[Setting], lattice: Lattice) -> list[Symmetry]:
    """Return the settings with operations that fit the cell. If several monoclinic settings fit, those with the unique axis b are preferred."""
    fitting = [setting for setting in settings if fits_cell(setting.operations, lattice)]
    if not fitting:
        _check_cell(settings[0].operations, lattice, f"the symmetry operations of {settings[0].name}")
    fitting = [setting for setting in fitting if setting.choice.startswith("b")] or fitting
    return [Symmetry(setting.operations, setting.name) for setting in fitting]


def _assumed(symbol: str | None, number: int | None, lattice: Lattice) -> list[Symmetry]:
    """Return symmetries to try if a block has no operations and an unknown space group symbol."""
    if symbol is None:
        said = "no symmetry is stated: P 1 is assumed, with the listed atoms"
        return [Symmetry((_IDENTITY,), "P 1", (said,))]
    doubt = f"the space group {symbol!r} is unknown, and no symmetry operations are written out"
    if number is not None:
        tried = _in_cell(settings_of(None, number), lattice)
        said = f"the space group {symbol!r} is unknown: the operations of number {number} are used"
        return [Symmetry(item.operations, item.name, (said,), needs_formula=True, doubt=doubt) for item in tried]
    said = f"the space group {symbol!r} is unknown: P 1 is assumed, which gives the stated formula and number of atoms"
    return [Symmetry((_IDENTITY,), "P 1", (said,), needs_formula=True, needs_count=True, doubt=doubt)]


def _magnetic(values: CifValues) -> tuple[SymmOp, ...]:
    """Return the operations of a magnetic space group without time reversal. Empty if the block has no magnetic space group."""
    from pymatgen.io.cif import CifBlock, CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns if there is no magnetic symmetry; this is checked below
        parser = CifParser.from_str(values.text)
        (data,) = parser.as_dict().values()
        try:
            found = parser.get_magsymops(CifBlock(data, [], "read"))
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - unknown symbols fail in many ways
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise StructureInputError(
                f"the magnetic space group cannot be read ({reason}); write the operations out"
            ) from None
    if any("No magnetic symmetry" in warning for warning in parser.warnings):
        return ()
    return tuple(SymmOp(operation.affine_matrix) for operation in found)
