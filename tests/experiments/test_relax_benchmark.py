import os
from typing import Any

import pytest

from workflows.experiments import relax_benchmark
from workflows.experiments.relax_benchmark import outcome_of, prototypes


def result(energy: float | None, seconds: float, steps: int | None = 20) -> dict[str, Any]:
    return {"energy": energy, "seconds": seconds, "cpu": seconds, "steps": steps}


def test_the_ratio_is_of_wall_times_and_energies_are_counted() -> None:
    structures = prototypes(3, 0)
    plain = [result(-4.0, 12.0), result(-3.9, 12.0), result(-3.8, 12.0)]
    service = [result(-4.0005, 4.0), result(-3.95, 4.0), result(None, 4.0, None)]
    outcome = outcome_of(structures, plain, service, (36.0, 6.0), 2.5, cores=2, fmax=0.05)
    assert (outcome.ratio, outcome.met, outcome.goal) == (6.0, True, ">= 3")
    assert (outcome.figures["same_energy"], outcome.figures["compared"]) == (1, 2)
    assert [row["service - default, meV/atom"] for row in outcome.rows] == [
        pytest.approx(-0.5),
        pytest.approx(-50.0),
        None,
    ]
    assert "1 of 3 final energies agree to 1 meV/atom; of the others the service's is lower in 1" in outcome.notes[3]
    assert not outcome_of(structures, plain, service, (10.0, 6.0), 2.5, cores=2, fmax=0.05).met


def test_prototypes_are_the_same_for_the_same_seed() -> None:
    first, again = prototypes(4, 1), prototypes(4, 1)
    assert first == again
    assert all(4 <= len(structure) <= 12 for structure in first)
    with pytest.raises(ValueError, match="count must be from 1 to"):
        prototypes(0, 1)


def test_threads_are_set_for_new_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with relax_benchmark.threads_set_to("1"):
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    with relax_benchmark.threads_set_to(None):
        assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
