"""A potential may relax before VASP does: where the structure begins, once, with its symmetry."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from workflows.relax import GuardedForceFieldRelaxMaker
from workflows.vasp import pre_relaxed


def test_a_pre_relaxation_keeps_the_symmetry_and_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compressed = Structure(Lattice.cubic(3.3), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    relaxed = pre_relaxed("chgnet", compressed, "BiSe", tmp_path)
    assert relaxed.volume > 1.05 * compressed.volume
    assert relaxed.get_space_group_info(symprec=1e-3)[0] == "Pm-3m"

    def again(*_: object) -> None:
        raise AssertionError("relaxed a second time")

    monkeypatch.setattr(GuardedForceFieldRelaxMaker, "relax", again)
    assert pre_relaxed("chgnet", compressed, "BiSe", tmp_path) == relaxed
