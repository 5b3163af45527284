"""The ablation's machinery on a stand-in relaxer, and its report on figures that can be checked by hand."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from pymatgen.core import Structure

from ccdcgan_al.reports.ablation import COLUMNS, figures_of, plot_compositions, plot_energies, summarise, table
from ccdcgan_al.strategies.random_search import random_structures
from ccdcgan_al.types import Method, Relaxed
from launchpad.cli.benchmark_ablation import outcome_of, write_result
from workflows.experiments.ablation import Ablation, AblationData, read_data
from workflows.result_cache import ResultCache

DOCS = Path(__file__).resolve().parents[2] / "docs"


@dataclass
class StandInRelaxer:
    """Stands in for `GuardedForceFieldRelaxMaker`: nothing moves, and the energy is the deviation from a volume of 25 Å^3 an atom."""

    method: str = "sevennet"
    calls: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {"method": self.method, "name": "stand-in"}

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        self.calls.append(structure_id)
        energy = -3 + 0.01 * abs(structure.volume / len(structure) - 25)
        return Relaxed(structure, energy, Method("sevennet", "stand-in", "1", "PBE"), 1, 0.01, converged=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A data set of six structures, relaxed by the stand-in."""
    elements = [Structure(np.eye(3) * 3, [symbol], [[0, 0, 0]]) for symbol in ("Bi", "Se")]
    structures = [*elements, *random_structures(("Bi", "Se"), 4, seed=0, max_sites=6)]
    relaxed = [StandInRelaxer().relax(structure, "") for structure in structures]
    rows = [
        {
            "structure_id": f"{structure.composition.reduced_formula}-{number:04d}",
            "start": plain(structure),
            "relaxed": plain(result.structure),
            "energy_per_atom": result.energy_per_atom,
        }
        for number, (structure, result) in enumerate(zip(structures, relaxed, strict=True))
    ]
    document = {"elements": ["Bi", "Se"], "method": asdict(relaxed[0].method), "structures": rows}
    file = tmp_path / "data.json.gz"
    file.write_bytes(gzip.compress(json.dumps(document).encode()))
    return file


def plain(structure: Structure) -> dict[str, Any]:
    return {
        "lattice": structure.lattice.matrix.tolist(),
        "species": [site.specie.symbol for site in structure],
        "coordinates": structure.frac_coords.tolist(),
    }


def test_what_is_learnt_from_is_chosen_by_the_seed(file: Path) -> None:
    data = read_data(file, training=3)
    assert len(data.training) == len(data.examples) == 3
    assert data.training == read_data(file, training=3).training != read_data(file, training=3, seed=1).training
    assert len(data.seen) == 12


@pytest.mark.slow
def test_a_finished_part_is_not_run_again(file: Path, tmp_path: Path) -> None:
    data = read_data(file, training=3)
    relaxer = StandInRelaxer()

    def ablation(learnt: AblationData = data) -> Ablation:
        work = tmp_path / "work"
        return Ablation(learnt, work, ResultCache(work / "relaxed"), relaxer, relaxations=2)  # type: ignore[arg-type]

    (run,) = ablation().run(["random"], [0])
    assert run["generated"] == 8
    assert [item["state"] for item in run["candidates"]] == ["relaxed", "relaxed"]
    assert len(relaxer.calls) == 2
    assert list(ablation().run(["random"], [0])) == [run]
    assert len(relaxer.calls) == 2
    result = ablation().result([run])
    assert run["training"] == 3
    larger = ablation(read_data(file, training=4))
    assert list(larger.run(["random"], [0])) == [{**run, "training": 4, "cpu_seconds": ANY}]  # a part of its own
    others = replace(data.hull, phases=tuple(replace(phase, energy_per_atom=-1.0) for phase in data.hull.phases))
    with pytest.raises(ValueError, match=r"is of another data set .*: remove it or use another --work"):
        list(ablation(replace(data, hull=others)).run(["random"], [0]))
    assert len(result["data"]) == 6
    assert sum(item["training"] for item in result["data"]) == 3
    outcome = outcome_of(result)
    assert outcome.ratio is None
    write_result(result, tmp_path / "out" / "ablation.json")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "ablation.json",
        "ablation-energies.png",
        "ablation-compositions.png",
    }


def made_up() -> dict[str, Any]:
    """Two seeds of `dcgan`, one of `random`."""

    def item(above: float, *, new: bool = True) -> dict[str, Any]:
        energy = {"formation_energy": above - 0.3, "above_hull": above, "fraction": 0.5}
        return {"state": "relaxed", "new": new, **energy}

    failed = {"state": "failed", "reason": "unphysical"}
    counts = {"generated": 100, "decoded": 80, "valid": 70, "strict": 50, "unique": 30, "novel": 20}
    times = {"cpu_seconds": {"gan": 40.0, "draw": 10.0}}
    runs = [
        {
            "strategy": "dcgan",
            "seed": 0,
            "training": 160,
            **counts,
            **times,
            "candidates": [item(0.04), item(0.08, new=False)],
        },
        {"strategy": "dcgan", "seed": 1, "training": 160, **counts, **times, "candidates": [item(0.2), failed]},
        {"strategy": "random", "seed": 0, "training": 160, **counts, **times, "candidates": [failed, failed]},
    ]
    data = [{"fraction": 0.5, "formation_energy": -0.3, "above_hull": 0.0, "training": True}]
    method = {"calculator": "stand-in"}
    return {"elements": ["Bi", "Se"], "method": method, "relaxations": 2, "runs": runs, "data": data}


def test_figures_by_hand() -> None:
    first, second, none = (figures_of(run) for run in made_up()["runs"])
    assert (first["decoded"], first["novel"], first["seconds"]) == (0.8, 0.2, 50)
    assert (first["above"], first["formation"]) == (pytest.approx(60), pytest.approx(-240))
    assert (first["near"], first["metastable"], first["new_near"], first["new_metastable"]) == (0.5, 1, 0.5, 0.5)
    assert (second["above"], second["near"], second["metastable"]) == (pytest.approx(200), 0, 0)
    assert np.isnan(none["above"])
    assert none["near"] == 0
    summary = summarise(made_up())
    assert list(summary) == ["random", "dcgan"]
    assert summary["dcgan"]["above"] == (pytest.approx(130), pytest.approx(np.std([60, 200], ddof=1)))
    assert "| `dcgan` | 2 | 80 ± 0 % |" in table(made_up())
    assert plot_energies(made_up()).axes[0].get_ylabel() == "energy above hull (meV/atom)"
    assert len(plot_compositions(made_up()).axes[0].collections) == 4


def test_several_training_sizes_are_rows_of_their_own() -> None:
    first, second, third = made_up()["runs"]
    result = made_up() | {"runs": [third, {**second, "training": 400}, {**first, "training": 50}]}
    assert list(summarise(result)) == ["random of 160", "dcgan of 50", "dcgan of 400"]
    assert "| `dcgan of 50` | 1 | 80 ± 0 % |" in table(result)
    assert plot_energies(result).axes[0].get_xticklabels()[2].get_text() == "dcgan\nof 50"


@pytest.mark.parametrize("name", ["ablation", "ablation-training"])
def test_the_documents_table_is_the_results(name: str) -> None:
    """docs/ablation.md shows what the files in docs/results hold."""
    result = json.loads((DOCS / "results" / f"{name}.json").read_text(encoding="utf-8"))
    text = (DOCS / "ablation.md").read_text(encoding="utf-8")
    assert table(result) in text
    assert list(COLUMNS) == list(figures_of(result["runs"][0]))
