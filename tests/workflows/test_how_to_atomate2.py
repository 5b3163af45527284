"""The code of `docs/how-to/atomate2.md` runs as it stands there; a stand-in potential takes the place of SevenNet and CHGNet."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.calculators.calculator import Calculator

from workflows import relax
from workflows.schemas import RelaxationDocument

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "atomate2.md"


class Flat(Calculator):
    """A potential without forces: -4 eV/atom."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = None) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces = -4.0 * len(atoms), np.zeros((len(atoms), 3))
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": np.zeros(6)}


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(relax, "load_calculator", lambda _: Flat())
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    names = runpy.run_path(str(script), run_name="page")
    said = capsys.readouterr().out.splitlines()
    assert "relaxed -4.0" in said
    assert any(re.fullmatch(r"cuau relaxed -?\d+\.\d+", line) for line in said)
    document = names["document"]
    assert isinstance(document, RelaxationDocument)
    assert document.method["name"] == "emt"
    assert document.max_force is not None
    assert document.max_force < 0.05
