"""The discovery experiment, small, on a stand-in relaxer: the same loop, seeds and judgement as the real one, and its report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure

from ccdcgan_al.errors import HullError
from ccdcgan_al.hull.hull import Hull
from ccdcgan_al.loop import starting_candidates
from ccdcgan_al.reports.discovery import (
    acceleration,
    by_origin,
    by_round,
    figures_of,
    lowest_by_composition,
    rise,
    table,
    with_figures,
    withheld_found,
)
from ccdcgan_al.reports.discovery_page import overview, page
from ccdcgan_al.types import Method, Relaxed
from launchpad.cli.benchmark_discovery import Experiment, measure_discovery
from workflows.experiments.campaign_spec import systems
from workflows.experiments.discovery_judge import Judge
from workflows.guards import RelaxationError

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
SYSTEMS = [system for system in systems() if (RESULTS / f"{system}.json").is_file()]
HELD = "Bi2Se3 R-3m"
FIGURES = {
    "acceleration_over_random",
    "acceleration_over_one_shot",
    "withheld_total",
    "withheld_found",
    "sun",
    "summary",
}
RUN = ("strategy", "seed", "complete", "relaxations", "rounds", "failures", "candidates")


@dataclass
class StandInRelaxer:
    """Stands in for a relaxer: nothing moves; the energy falls towards the middle composition, and rises away from 28 Å^3 an atom."""

    method: str = "sevennet"
    fails_after: int = 10**6
    calls: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {"method": self.method, "name": "stand-in"}

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        if len(self.calls) >= self.fails_after:
            raise KeyboardInterrupt
        self.calls.append(structure_id)
        x = structure.composition.get_atomic_fraction("Se")
        mixing = 0.0 if len(structure.composition) == 1 else -1.6 * x * (1 - x) + 0.005 * len(structure)
        energy = -3 + mixing + 0.01 * abs(structure.volume / len(structure) - 28)
        return Relaxed(structure, energy, Method("sevennet", "stand-in", "1", "made up"), 1, 0.01, converged=True)


@dataclass
class SeleniumFails(StandInRelaxer):
    """Does not relax the first structures of selenium that it is given."""

    first: int = 10**6
    tried: int = 0

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        if structure.composition.reduced_formula == "Se":
            self.tried += 1
            if self.tried <= self.first:
                raise RelaxationError("unphysical", "told to fail", structure)
        return super().relax(structure, structure_id)


def experiment(work: Path, strategies: str = "random,perturbation", **choices: Any) -> Experiment:
    sizes = {"budget": 17, "seed_count": 11, "per_round": 3, "withhold_hull": True, **choices}
    return Experiment("Bi-Se", tuple(strategies.split(",")), (0,), work=work, **sizes)


@pytest.mark.slow
def test_a_small_experiment_that_is_cut_off_and_goes_on(tmp_path: Path) -> None:
    relaxer = StandInRelaxer(fails_after=22)
    with pytest.raises(KeyboardInterrupt):
        measure_discovery(experiment(tmp_path / "cut"), None, only_report=False, check=False, maker=relaxer)
    rest = StandInRelaxer()
    outcome = measure_discovery(
        experiment(tmp_path / "cut"), tmp_path / "out", only_report=False, check=False, maker=rest
    )
    whole = StandInRelaxer()
    measure_discovery(experiment(tmp_path / "whole"), tmp_path / "out2", only_report=False, check=False, maker=whole)
    assert len(rest.calls) + 22 == len(whole.calls) == len(set(whole.calls))
    assert [row["strategy"] for row in outcome.rows] == ["random", "perturbation"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "Bi-Se.json",
        "Bi-Se.md",
        "Bi-Se-curve.png",
        "Bi-Se-hull.png",
        "Bi-Se-energies.png",
        "README.md",
    }
    cut, same = (json.loads((tmp_path / out / "Bi-Se.json").read_text()) for out in ("out", "out2"))
    assert [run["candidates"] for run in without_times(cut)] == [run["candidates"] for run in without_times(same)]
    assert HELD in cut["withheld"]
    assert cut["withheld_in_limits"] == [HELD]
    seeds = [[row for row in run["candidates"] if row["round"] == 0] for run in without_times(cut)]
    assert seeds[0] == seeds[1]
    assert len(seeds[0]) == 11
    for run in cut["runs"]:
        assert run["complete"]
        assert run["relaxations"] == 17
        assert all(row["withheld"] is None for row in run["candidates"] if row["round"] == 0)
    before = list(rest.calls)
    measure_discovery(experiment(tmp_path / "cut"), None, only_report=True, check=False, maker=rest)
    assert rest.calls == before


def without_times(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs without the seconds, which no two runs share."""
    for run in result["runs"]:
        for row in run["candidates"]:
            row.pop("seconds", None)
    return list(result["runs"])


@pytest.mark.slow
def test_where_the_known_structures_of_an_element_fail_others_make_the_reference_hull(tmp_path: Path) -> None:
    reference = experiment(tmp_path).discovery(SeleniumFails(first=4)).reference
    assert len(reference.failed) == 4
    assert sum(entry.formula == "Se" for entry in reference.hull.entries) == 3


def test_where_all_structures_of_an_element_fail_the_reason_names_it(tmp_path: Path) -> None:
    wanted = r"reference hull of Bi-Se: none of 7 structures of Se could be relaxed \(unphysical: 7\); add a structure of Se that does"
    with pytest.raises(HullError, match=wanted):
        _ = experiment(tmp_path).discovery(SeleniumFails()).reference


@pytest.mark.slow
def test_a_run_of_which_no_seed_of_an_element_relaxes_tries_others(tmp_path: Path) -> None:
    relaxer = SeleniumFails(first=2)
    discovery = experiment(tmp_path, seed_count=8).discovery(relaxer)
    for _ in range(2):
        discovery.run("random", 0)
        document = json.loads(discovery.file_of("random", 0).read_text())
        seeds = document["rounds"][0]
        assert (document["done"], len(seeds["candidates"]), seeds["further"]) == (True, 11, 3)
        assert [item["structure_id"] for item in seeds["candidates"][8:]] == [f"Bi-Se-r0-{n:04d}" for n in (8, 9, 10)]
        assert sum(len(stage["candidates"]) for stage in document["rounds"]) == 17


def test_one_shot_has_the_same_seeds_draws_and_budget(tmp_path: Path) -> None:
    discovery = experiment(tmp_path, budget=18).discovery(StandInRelaxer())
    loop, once = discovery.campaign("ccdcgan", 0), discovery.campaign("one-shot", 0)
    assert (loop.rounds, loop.per_round, once.rounds, once.per_round) == (3, 3, 1, 7)
    assert once.generated_per_round == loop.rounds * loop.generated_per_round
    assert once.budget == loop.budget == 18
    first, second = (starting_candidates(campaign) for campaign in (loop, once))
    assert [item.structure for item in first] == [item.structure for item in second]


def test_a_check_that_loses_a_known_phase_checks_nothing_and_the_runs_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discovery = experiment(tmp_path).discovery(StandInRelaxer())
    near = next(phase for phase in discovery.reference.hull.phases if phase.structure_id == HELD)

    def hull_of(judge: Judge, method: str) -> Hull:
        if method == "chgnet":
            raise HullError("chgnet has no energy of Bi2Se3")
        return judge.discovery.reference.hull

    monkeypatch.setattr(Judge, "_hull_of", hull_of)
    monkeypatch.setattr(Judge, "_checked", lambda *given: None if given[2] is None else 0.001)
    judge = Judge(discovery)
    (row,) = judge.near_hull({"random-0/x": near}, judge.check_hulls()[0])
    assert row["checked"] == {"sevennet-l3i5": 0.001, "chgnet": None}
    assert row["keeps_its_place"]
    result = judge.result(["random"], [0])
    assert result["checks_without_hull"] == {"chgnet": "chgnet has no energy of Bi2Se3"}


def test_what_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown strategy luck: use one or more of random, substitution"):
        experiment(tmp_path, "luck").discovery()
    with pytest.raises(ValueError, match="a budget of 11 relaxations leaves none after 11 seeds"):
        experiment(tmp_path, budget=11).discovery()
    with pytest.raises(ValueError, match="no run of Bi-Se with these choices"):
        measure_discovery(experiment(tmp_path), None, only_report=True, check=False, maker=StandInRelaxer())


def test_a_run_of_another_spec_is_not_gone_on_with(tmp_path: Path) -> None:
    first = experiment(tmp_path).discovery(StandInRelaxer())
    assert HELD in first.reference.withheld  # relaxed, and kept in the cache
    with pytest.raises(KeyboardInterrupt):
        replace(first, maker=StandInRelaxer(fails_after=0)).run("random", 0)
    file = first.file_of("random", 0)
    begun = file.read_bytes()
    other = replace(first, spec=first.spec.model_copy(update={"generated": 7}))
    assert other.file_of("random", 0) == file
    said = r"random-0\.json is a run with other choices \(generated_per_round 1000 there, 7 here\): remove it or use another --work"
    with pytest.raises(ValueError, match=said):
        other.run("random", 0)
    assert file.read_bytes() == begun


def made_up() -> dict[str, Any]:
    """A run of `ccdcgan` and one of `random`, three relaxations after one seed each."""

    def row(number: int, above: float, *, new: bool = True, withheld: str | None = None) -> dict[str, Any]:
        place = {
            "correction_driven": above > 0.05,
            "above_hull": above,
            "own_elements_above_hull": above - 0.01,
            "formation_energy": above - 0.3,
            "fractions": [0.5, 0.5],
            "formula": "BiSe",
        }
        return {"round": number, "state": "relaxed", "new": new, "withheld": withheld, **place}

    failed = {"round": 1, "state": "failed", "reason": "unphysical"}
    rounds: list[dict[str, Any]] = [
        {"round": n, "cpu_seconds": 2.0, "source": "abc", "counts": {}, "models": {}} for n in (0, 1)
    ]
    common = {"seed": 0, "complete": True, "relaxations": 4, "rounds": rounds, "failures": {}}
    seed = row(0, 0.02, new=False) | {"structure_id": "s"}
    ours = [seed, row(1, -0.01), row(1, 0.04, withheld=HELD), row(2, 0.05, new=False)]
    others = [seed, row(1, 0.05), row(2, 0.09), failed]
    runs = [
        {"strategy": "ccdcgan", **common, "candidates": ours},
        {"strategy": "random", **common, "candidates": others, "failures": {"unphysical": 1}},
    ]
    return {
        "chemical_system": "Bi-Se",
        "elements": ["Bi", "Se"],
        "budget": 4,
        "seed_count": 1,
        "per_round": 2,
        "withhold_hull": True,
        "withheld": [HELD, "BiSe P-3m1"],
        "withheld_in_limits": [HELD],
        "runs": runs,
    }


def test_figures_by_hand() -> None:
    result = made_up()
    ours, others = result["runs"]
    assert withheld_found(ours) == {HELD: 3}
    figures = figures_of(ours)
    assert (figures["proposed"], figures["failed"], figures["cpu_seconds"]) == (3, 0, 4)
    assert [figures[key] for key in ("0", "0.05", "0.1", "sun")] == pytest.approx([100 / 3, 200 / 3, 200 / 3, 2 / 3])
    assert figures["above"] == pytest.approx(40)
    assert figures_of(others)["failed"] == 1
    assert figures_of(others)["sound"] == pytest.approx(100 / 3)
    assert by_round(others)[0] == {"round": 1, "relaxations": 2, "0": 0, "0.05": 1, "0.1": 1}
    assert lowest_by_composition(ours) == {"BiSe": -0.01}
    assert acceleration(result, "random") == {"0": None, "0.05": 2.0, "0.1": 1.0}
    assert acceleration(result, "one-shot") == {"0": None, "0.05": None, "0.1": None}
    told = with_figures(result)
    assert told["withheld_total"] == 1
    assert told["withheld_found"] == {"random": 0, "ccdcgan": 1}
    assert told["sun"] == {"random": pytest.approx(2 / 3, abs=1e-4), "ccdcgan": pytest.approx(2 / 3, abs=1e-4)}
    assert "| `ccdcgan` | 1 | 3 | 0 | 40 | 33.3 | 66.7 | 66.7 | 1.0 | 66.7 | 66.7 | 0.0 | 67 % | 1.0 | 4 |" in table(
        result
    )


def test_a_rise_by_round_by_hand() -> None:
    """One of 8 in the first round and 5 of 8 in the second: phi 32 / 3840^(1/2), so t 2.25 with 14 degrees of freedom."""

    def run(*new: int) -> dict[str, Any]:
        rows = [
            {"round": number, "state": "relaxed", "new": k < count, "above_hull": 0.04, "own_elements_above_hull": 0.04}
            for number, count in enumerate(new, start=1)
            for k in range(8)
        ]
        return {"candidates": rows}

    assert rise([run(1, 5)], 0.05) == pytest.approx(0.0203, abs=2e-4)
    assert rise([run(5, 1)], 0.05) == pytest.approx(1 - 0.0203, abs=2e-4)
    assert rise([run(3, 3), run(1, 1)], 0.05) == pytest.approx(0.5)
    assert (rise([run(1)], 0.05), rise([run(0, 0)], 0.05), rise([run(1, 5)], 0.03)) == (None, None, None)


def test_a_run_that_was_cut_off_accelerates_nothing() -> None:
    result = made_up()
    lucky = {**result["runs"][0], "seed": 1, "complete": False, "candidates": result["runs"][0]["candidates"][:2]}
    with_lucky = {**result, "runs": [*result["runs"], lucky]}
    assert acceleration(with_lucky, "random") == acceleration(result, "random")
    none_whole = {**result, "runs": [result["runs"][1], lucky]}
    assert acceleration(none_whole, "random") == {"0": None, "0.05": None, "0.1": None}


def test_origins_by_hand() -> None:
    (run, _) = made_up()["runs"]
    operations = [None, None, "slip", "slip"]
    told = [row | {"operation": operation} for row, operation in zip(run["candidates"], operations, strict=True)]
    assert by_origin([{**run, "candidates": told}]) == {
        "drawn": {"relaxations": 1, "0": 1, "0.05": 1, "0.1": 1},
        "slip": {"relaxations": 2, "0": 0, "0.05": 1, "0.1": 1},
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_pages_and_figures_follow_from_the_json(system: str) -> None:
    stored = json.loads((RESULTS / f"{system}.json").read_text())
    bare = {"runs": [{name: run[name] for name in RUN} for run in stored["runs"]]}
    bare |= {name: value for name, value in stored.items() if name not in {*FIGURES, "runs"}}
    assert json.loads(json.dumps(with_figures(bare))) == stored
    told = (RESULTS / f"{system}.md").read_text()
    assert told == page(stored)
    assert table(stored) in told


def test_the_overview_follows_from_the_json() -> None:
    results = [json.loads((RESULTS / f"{system}.json").read_text()) for system in SYSTEMS]
    assert overview(results) in (RESULTS / "README.md").read_text()
