"""The public loop: ask/tell with one's own relaxer, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

import ccdcgan_al
from ccdcgan_al import Campaign, Candidate, FailedRelaxation, Loop, Method, Relaxed
from ccdcgan_al import loop as loop_module
from ccdcgan_al.errors import HullError, MixedMethodsError
from ccdcgan_al.loop import distorted_candidates
from ccdcgan_al.strategies.proposals import Mutation
from ccdcgan_al.strategies.propose import propose
from ccdcgan_al.structures.matching import structure_matcher
from tests.faults.conftest import few_seeds

FORMULA = Method("formula", "energy of a formula", "0", functional="made up")
CAMPAIGN = Campaign("Bi-Se", strategy="random", seed=7, rounds=2, per_round=2, seed_count=8)


@pytest.fixture(autouse=True)
def _few_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "choose_seeds", few_seeds)


def relax(candidate: Candidate) -> Relaxed:
    """Give a structure 30 Å^3 an atom and an energy by its composition: a stand-in, no potential."""
    structure = candidate.structure.copy()
    structure.scale_lattice(30.0 * len(structure))
    bismuth = structure.composition.get_atomic_fraction("Bi")
    energy = -3.5 - 0.4 * bismuth - 1.6 * bismuth * (1 - bismuth) + 0.001 * len(structure)
    return Relaxed(structure, energy, FORMULA, n_steps=1, max_force=0.0, converged=True)


def test_the_snippet_of_the_readme() -> None:
    loop = Loop(CAMPAIGN)
    for number in range(3):
        assert loop.round_number == number
        loop.tell([relax(candidate) for candidate in loop.ask()])
        assert loop.ending == (None if number < 2 else "2 rounds done")
    near = loop.hull.unique_entries(0.05)
    assert {entry.formula for entry in near} >= {"Bi", "Se", "BiSe"}
    made = [phase for phase in loop.hull.phases if phase.origin == "generated"]
    assert [phase.structure_id for phase in made] == [f"Bi-Se-r{r}-{i:04d}" for r in (1, 2) for i in range(2)]


@pytest.mark.slow
def test_asking_again_gives_the_same_round_and_results_may_come_by_name() -> None:
    loop = Loop(CAMPAIGN)
    first = loop.ask()
    assert loop.ask() is first
    loop.tell({candidate.structure_id: relax(candidate) for candidate in reversed(list(first))})
    following = loop.ask()
    other = Loop(CAMPAIGN)
    other.tell([relax(candidate) for candidate in other.ask()])
    assert [item.structure for item in other.ask()] == [item.structure for item in following]
    resumed = Loop.resume(CAMPAIGN, 1, {item.structure_id: item.structure for item in first}, loop.hull)
    assert [item.structure for item in resumed.ask()] == [item.structure for item in following]
    assert resumed.ending is None
    patient = replace(CAMPAIGN, patience=1)
    starts = {item.structure_id: item.structure for item in [*first, *following]}
    assert Loop.resume(patient, 2, starts, loop.hull, stable=[0, 1]).ending is None
    assert Loop.resume(patient, 2, starts, loop.hull, stable=[0, 0]).ending == "no new phase on the hull in 1 rounds"
    assert following.counts["novel"] == len(following) + len(following.left_out)


def test_what_is_told_is_checked_and_nothing_is_recorded() -> None:
    loop = Loop(CAMPAIGN)
    with pytest.raises(ValueError, match=r"call ask\(\) before tell\(\)"):
        loop.tell([])
    asked = loop.ask()
    results = [relax(candidate) for candidate in asked]
    with pytest.raises(ValueError, match="round 0 has 8 candidates, got 7 results"):
        loop.tell(results[:-1])
    with pytest.raises(ValueError, match=r"these differ: .'elsewhere'"):
        loop.tell(
            {
                **{item.structure_id: result for item, result in zip(asked, results, strict=True)},
                "elsewhere": results[0],
            }
        )
    with pytest.raises(ValueError, match="the result of Bi-Se-r0-0000 holds"):
        loop.tell([results[1], *results[1:]])
    with pytest.raises(MixedMethodsError, match="energies of one method, got 2"):
        loop.tell([*results[:-1], replace(results[-1], method=replace(FORMULA, version="1"))])
    assert loop.ask() is asked
    with pytest.raises(HullError):
        _ = loop.hull


def test_an_element_without_a_relaxed_structure_is_tried_again_once() -> None:
    def without_bismuth(candidate: Candidate) -> Relaxed | FailedRelaxation:
        if candidate.structure.composition.chemical_system == "Bi":
            return FailedRelaxation(candidate.structure_id, "unphysical", "told to fail")
        return relax(candidate)

    loop = Loop(CAMPAIGN)
    loop.tell([without_bismuth(candidate) for candidate in loop.ask()])
    further = loop.ask()
    assert further.number == 0
    assert {item.structure.composition.chemical_system for item in further} == {"Bi"}
    loop.tell([without_bismuth(candidate) for candidate in further])
    with pytest.raises(HullError, match=r"none of 4 structures of Bi could be relaxed \(unphysical: 4\)"):
        loop.ask()


def test_a_withheld_structure_that_a_seed_became_is_no_phase_and_no_known_one() -> None:
    rocksalt = next(seed.structure for seed in few_seeds() if seed.label == "rock salt")
    hidden = replace(CAMPAIGN, withheld=(rocksalt.to_json(),))
    loop = Loop(hidden)
    loop.tell([relax(candidate) for candidate in loop.ask()])
    assert not [phase for phase in loop.hull.phases if structure_matcher().fit(phase.structure, rocksalt)]
    assert len(loop._withheld) == 1


def test_candidates_say_what_they_descend_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the random crystals are called mutants. They come first, but slips take two places of four while others wait."""
    made = {k: Mutation("slip", (f"Bi-Se-r0-000{k}",)) for k in range(8)}
    monkeypatch.setattr(loop_module, "propose", lambda *_, **__: replace(propose(*_, **__), mutants=made))
    loop = Loop(replace(CAMPAIGN, per_round=4))
    seeds = loop.ask()
    assert {(item.strategy, item.operation, item.parents) for item in seeds} == {(None, None, ())}
    assert "rock salt" in {item.source for item in seeds}
    loop.tell([relax(candidate) for candidate in seeds])
    asked = loop.ask()
    assert {(item.strategy, item.source) for item in [*asked, *asked.left_out]} == {("random", "")}
    assert Counter(item.operation for item in asked) == {"slip": 2, None: 2}
    assert {item.parents for item in asked if item.operation is None} == {()}
    assert all(len(item.parents) == 1 for item in asked if item.operation)
    assert asked.counts["mutants"] == 8
    loop.tell([relax(candidate) for candidate in asked])
    distorted = distorted_candidates(CAMPAIGN, 1, loop.hull)
    assert distorted
    assert {(item.operation, item.parents == (item.structure_id,)) for item in distorted} == {("distortion", True)}


def test_one_further_structure_is_enough() -> None:
    loop = Loop(CAMPAIGN)
    loop.tell(
        [
            FailedRelaxation(item.structure_id, "unphysical", "told to fail")
            if item.structure.composition.chemical_system == "Bi"
            else relax(item)
            for item in loop.ask()
        ]
    )
    loop.tell([relax(candidate) for candidate in loop.ask()])
    assert loop.round_number == 1
    assert loop.ask().number == 1


def test_every_public_name_is_there_and_none_loads_networks() -> None:
    code = (
        "import json, sys, ccdcgan_al; light = set(sys.modules); "
        "[getattr(ccdcgan_al, name) for name in ccdcgan_al.__all__]; "
        "print(json.dumps([sorted(light), sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    light, after = json.loads(done.stdout.splitlines()[-1])
    assert not {"tensorflow", "keras", "torch"} & set(after)
    assert "pymatgen.core" not in light
    assert set(ccdcgan_al.__all__) <= set(dir(ccdcgan_al))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ccdcgan_al.nothing
