"""The symmetry that a CIF block states: its operations, or those of the space group that it names. It builds no crystal."""

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
    """Operations that a block may mean.

    Attributes
    ----------
    operations : tuple of SymmOp
        All of the space group.
    name : str
        Of the space group, for people.
    repairs : tuple of str, optional
        What was assumed.
    needs_formula, needs_count : bool, default False
        Whether the crystal is taken only where the stated formula, and the stated number of formula units, agree.
    named : tuple of Setting, optional
        Settings of the space group that is named beside operations that are fewer or more; empty where there is
        nothing to compare.
    doubt : str, default ""
        What is said before the reason of a refusal.
    """

    operations: tuple[SymmOp, ...]
    name: str
    repairs: tuple[str, ...] = ()
    needs_formula: bool = False
    needs_count: bool = False
    named: tuple[Setting, ...] = ()
    doubt: str = ""

    def told(self, reason: str) -> str:
        """Return the reason of a refusal with what is doubtful of the symmetry."""
        return f"{self.doubt}: {reason}" if self.doubt else reason


def symmetries_of(values: CifValues, lattice: Lattice) -> tuple[list[Symmetry], list[str]]:
    """Return the symmetries that a block may mean in its cell, and what was assumed of all of them.

    Raises
    ------
    StructureInputError
        Operations that cannot be read, do not fit the cell or are not those of the space group; a modulated crystal;
        a symbol and a number that contradict each other.
    """
    if any(name.startswith(_MODULATED) for name in values.values):
        raise StructureInputError(
            "a modulated (incommensurate) crystal; give an ordered approximant with a cell of its own"
        )
    if any(name.startswith(_MAGNETIC) for name in values.values):
        operations = _magnetic(values)
        said = ["magnetic moments are not kept"]
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
    """Return operations of their texts, as in ``-x,y+1/2,-z``."""
    operations = []
    for text in written:
        if not _XYZ.fullmatch(text.strip()):
            raise StructureInputError(f"the symmetry operation {text!r} cannot be read; write it as in 'x,-y,z+1/2'")
        operation = SymmOp.from_xyz_str(text)
        if abs(abs(np.linalg.det(operation.rotation_matrix)) - 1) > 1e-3:  # noqa: PLR2004 - of rounding
            raise StructureInputError(f"{text!r} is no symmetry operation; write it as in 'x,-y,z+1/2'")
        operations.append(operation)
    if not any(np.allclose(operation.affine_matrix, np.eye(4)) for operation in operations):
        raise StructureInputError("its symmetry operations lack 'x,y,z'; write all of them out")
    return tuple(operations)


def _check_cell(operations: tuple[SymmOp, ...], lattice: Lattice, what: str) -> None:
    if not fits_cell(operations, lattice):
        cell = ", ".join(f"{value:g}" for value in (*lattice.abc, *lattice.angles))
        raise StructureInputError(f"{what} do not fit the cell {cell}; correct one of them")


def _named_beside(operations: tuple[SymmOp, ...], symbol: str | None, lattice: Lattice) -> tuple[Setting, ...]:
    """Return the settings named beside operations that are written out, where none has so many: the atoms have to have the symmetry of one."""
    try:
        settings = [setting for setting in settings_of(symbol, None) if fits_cell(setting.operations, lattice)]
    except StructureInputError:
        return ()
    return () if any(len(setting.operations) == len(operations) for setting in settings) else tuple(settings)


def _in_cell(settings: list[Setting], lattice: Lattice) -> list[Symmetry]:
    """Return the settings whose operations fit the cell; of monoclinic ones that all do, those with the unique axis b."""
    fitting = [setting for setting in settings if fits_cell(setting.operations, lattice)]
    if not fitting:
        _check_cell(settings[0].operations, lattice, f"the symmetry operations of {settings[0].name}")
    fitting = [setting for setting in fitting if setting.choice.startswith("b")] or fitting
    return [Symmetry(setting.operations, setting.name) for setting in fitting]


def _assumed(symbol: str | None, number: int | None, lattice: Lattice) -> list[Symmetry]:
    """Return what may be tried where a block writes no operations and no table has its symbol."""
    if symbol is None:
        said = "no symmetry is stated: taken as P 1, with the atoms that are listed"
        return [Symmetry((_IDENTITY,), "P 1", (said,))]
    doubt = f"the space group {symbol!r} is in no table and no symmetry operations are written out"
    if number is not None:
        tried = _in_cell(settings_of(None, number), lattice)
        said = f"the space group {symbol!r} is in no table: the operations of number {number} were taken"
        return [Symmetry(item.operations, item.name, (said,), needs_formula=True, doubt=doubt) for item in tried]
    said = (
        f"the space group {symbol!r} is in no table: taken as P 1, which gives the stated formula and number of atoms"
    )
    return [Symmetry((_IDENTITY,), "P 1", (said,), needs_formula=True, needs_count=True, doubt=doubt)]


def _magnetic(values: CifValues) -> tuple[SymmOp, ...]:
    """Return the operations of a magnetic space group, time reversal left off; empty where the block states none."""
    from pymatgen.io.cif import CifBlock, CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is none, which is looked at
        parser = CifParser.from_str(values.text)
        (data,) = parser.as_dict().values()
        try:
            found = parser.get_magsymops(CifBlock(data, [], "read"))
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - symbols that its table lacks fail in many ways
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise StructureInputError(
                f"its magnetic space group cannot be read ({reason}); write the operations out"
            ) from None
    if any("No magnetic symmetry" in warning for warning in parser.warnings):
        return ()
    return tuple(SymmOp(operation.affine_matrix) for operation in found)
