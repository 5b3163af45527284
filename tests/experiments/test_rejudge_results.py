"""Results of an earlier version get this version's zero: made old by hand and judged again, they are what this version makes."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure
from typer.testing import CliRunner

from ccdcgan_al.hull.element_references import materials_project_energies
from ccdcgan_al.types import Method, Relaxed
from launchpad.cli.benchmark_discovery import measure_discovery
from launchpad.cli.main import app
from tests.experiments.test_discovery import StandInRelaxer, experiment
from workflows.experiments.ablation import read_data
from workflows.experiments.discovery_judge import Judge
from workflows.experiments.rejudge_results import rejudged, rejudged_ablation

DOCS = Path(__file__).resolve().parents[2] / "docs"
DATA = DOCS / "results" / "ablation-data.json.gz"
KNOWN = materials_project_energies()


@dataclass
class PbeRelaxer(StandInRelaxer):
    """Stands in for a PBE potential that puts Bi 30 and Se 20 meV/atom too high, and has compounds near the hull."""

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        self.calls.append(structure_id)
        x = structure.composition.get_atomic_fraction("Se")
        elements = (1 - x) * KNOWN["Bi"] + x * KNOWN["Se"]
        high = 0.01 * abs(structure.volume / len(structure) - 28) / 5
        energy = elements + (0.02 + 0.01 * (1 - x) if x in (0, 1) else -0.4 * x * (1 - x)) + high
        return Relaxed(structure, energy, Method("sevennet", "stand-in", "1", "PBE"), 1, 0.01, converged=True)


def made_old(result: dict[str, Any], own: dict[str, float]) -> dict[str, Any]:
    """Return a result as the earlier version wrote it: places against the method's own elements, and nothing of others."""
    old = copy.deepcopy(result)
    del old["provenance"]["element_references"]
    for row in old["reference"]:
        row["formation_energy"], row["above_hull"] = (
            row.pop("own_elements_formation_energy"),
            row.pop("own_elements_above_hull"),
        )
    for run in old["runs"]:
        for row in run["candidates"]:
            if "formation_energy" in row and len([x for x in row["fractions"] if x]) > 1:
                row["formation_energy"] += sum(
                    x * (KNOWN[symbol] - own[symbol]) for x, symbol in zip(row["fractions"], ("Bi", "Se"), strict=True)
                )
            if "above_hull" in row:
                row["above_hull"] = row.pop("own_elements_above_hull")
                del row["element_driven"]
    for row in old["near_hull"]:
        row["above_hull"] = row.pop("own_elements_above_hull")
        del row["element_driven"]
    return old


@pytest.mark.slow
def test_an_old_discovery_becomes_what_this_version_makes(tmp_path: Path) -> None:
    tried = experiment(tmp_path / "work")
    measure_discovery(tried, tmp_path / "out", only_report=False, check=False, maker=PbeRelaxer())
    wanted = json.loads((tmp_path / "out" / "Bi-Se.json").read_text())
    judge = Judge(tried.discovery(PbeRelaxer()), ())
    own = judge.discovery.reference.hull.own_elements
    assert own["Bi"] - KNOWN["Bi"] > 0.02
    assert wanted["near_hull"]
    again = rejudged(made_old(wanted, own), judge)
    for name in ("reference", "near_hull", "runs"):
        close(again[name], wanted[name])
    assert again["provenance"]["element_references"] == wanted["provenance"]["element_references"]
    with pytest.raises(ValueError, match="has its elements' energies on record already"):
        rejudged(wanted, judge)
    other = made_old(wanted, own)
    other["reference"][0]["formation_energy"] += 0.1
    with pytest.raises(ValueError, match=r"relaxed again .*; wanted the same within 0\.003 eV/atom"):
        rejudged(other, judge)


def close(found: Any, wanted: Any) -> None:
    """Assert that two documents are the same but for the last digits of numbers."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name in wanted:
            close(found[name], wanted[name])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            close(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, abs=5e-6)
    else:
        assert found == wanted


def test_an_old_ablation_gets_the_zero_of_its_data() -> None:
    data = read_data(DATA, 1)
    hull = data.hull
    stored = json.loads((DOCS / "results" / "ablation.json").read_text())
    assert stored["element_references"] == "materials_project"
    with pytest.raises(ValueError, match="on record already"):
        rejudged_ablation(stored, data)
    old = {name: value for name, value in stored.items() if name != "element_references"}
    with pytest.raises(ValueError, match="made with another data set"):
        rejudged_ablation(old, data)
    old["data"] = [
        {**item, "formation_energy": round(entry.own_elements_formation_energy_per_atom or 0.0, 6)}
        for item, entry in zip(stored["data"], hull.entries, strict=True)
    ]
    tetradymite = {
        "formula": "Bi2Se3",
        "state": "relaxed",
        "formation_energy": -0.35,
        "above_hull": 0.0,
        "predicted": -0.3,
    }
    old["runs"] = [{"strategy": "random", "candidates": [tetradymite, {"formula": "BiSe", "state": "failed"}]}]
    again = rejudged_ablation(old, data)
    assert again["data"] == stored["data"]
    moved = 0.4 * hull.element_deviations["Bi"] + 0.6 * hull.element_deviations["Se"]
    placed, failed = again["runs"][0]["candidates"]
    assert placed["formation_energy"] == pytest.approx(-0.35 + moved, abs=1e-6)
    assert placed["predicted"] == pytest.approx(-0.3 + moved, abs=1e-6)
    assert failed == {"formula": "BiSe", "state": "failed"}


def test_what_cannot_be_judged_again_is_one_line(tmp_path: Path) -> None:
    for command in (["discovery", "Bi-Se"], ["ablation", "--data", str(DATA)]):
        found = CliRunner().invoke(app, ["benchmark", *command, "--rejudge", "--out", str(tmp_path / "none")])
        assert found.exit_code == 1
        assert "no such file; give --out" in found.output
        assert len(found.output.strip().splitlines()) == 1
