import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobflow import Job, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from ccdcgan_al.files import write_json
from ccdcgan_al.types import FailedRelaxation, Method, Relaxed
from workflows.documents import failure_document, of_one_method, read_relaxation, relax_to_document, relaxation_document
from workflows.guards import RelaxationError
from workflows.jobs import RELAXATION_FILE, name_job, name_of
from workflows.relax import GuardedForceFieldRelaxMaker
from workflows.schemas import RelaxationDocument, plain

SEVENNET = Method("sevennet", "SevenNet 7net-0", "0.13.0")


@pytest.fixture
def bise() -> Structure:
    return Structure(Lattice.cubic(3.6), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def relaxed(bise: Structure) -> Relaxed:
    return Relaxed(bise, -3.75, SEVENNET, n_steps=12, max_force=0.04, converged=True)


class ScriptedMaker(GuardedForceFieldRelaxMaker):
    """A maker whose relaxation ends as it is told; no potential."""

    def relax(self, structure: Structure, structure_id: str) -> Relaxed:
        outcome = OUTCOMES[structure_id]
        if isinstance(outcome, BaseException):
            raise outcome
        return Relaxed(structure, outcome, SEVENNET, n_steps=12, max_force=0.04, converged=True)


OUTCOMES: dict[str, Any] = {}


def test_relaxation_document_round_trip(relaxed: Relaxed) -> None:
    document = json.loads(json.dumps(relaxation_document("r1-003", relaxed, seconds=3.2), allow_nan=False))
    assert read_relaxation(document) == relaxed
    assert (document["state"], document["reason"], document["seconds"]) == ("relaxed", None, 3.2)
    assert document["worker"]["pid"] > 0
    assert document["versions"]["pymatgen"]


def test_failure_document_round_trip(bise: Structure) -> None:
    document = failure_document("r1-004", "unphysical", "fell", SEVENNET, bise, energy_per_atom=-4e12)
    stored = json.loads(json.dumps(document, allow_nan=False))
    assert read_relaxation(stored) == FailedRelaxation("r1-004", "unphysical", "fell", "sevennet", bise, -4e12)
    assert stored.keys() == relaxation_document("x", Relaxed(bise, -3.0, SEVENNET, 1, 0.0, converged=True)).keys()


def test_what_jobflow_hands_over_and_what_is_stored_read_the_same(relaxed: Relaxed) -> None:
    stored = relaxation_document("r1-003", relaxed, maker={"fmax": 0.05})
    handed = MontyDecoder().process_decoded(jsanitize(RelaxationDocument(**stored), strict=True))
    assert isinstance(handed, RelaxationDocument)
    assert read_relaxation(handed) == read_relaxation(stored) == relaxed
    assert plain(handed) == stored
    assert of_one_method([handed, stored], None) == [stored, stored]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"structure": None}, "its structure or energy_per_atom is missing"),
        ({"energy_per_atom": "low"}, "energy_per_atom"),
        ({"state": "running"}, "state"),
        ({"state": "failed"}, "its reason or message is missing"),
        ({"reason": "tired"}, "reason"),
        ({"n_steps": -1}, "n_steps"),
    ],
)
def test_the_schema_refuses_what_is_no_document(relaxed: Relaxed, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelaxationDocument(**relaxation_document("a", relaxed) | change)


def test_numbers_that_json_cannot_hold_become_null(bise: Structure) -> None:
    broken = Structure(bise.lattice, ["Se"], [[float("nan"), 0, 0]])
    document = failure_document("a", "bad_input", "NaN", "sevennet", broken, energy_per_atom=float("-inf"))
    assert (document["structure"], document["energy_per_atom"]) == (None, None)
    json.dumps(document, allow_nan=False)


def test_a_decoded_structure_is_read_too(relaxed: Relaxed) -> None:
    document = relaxation_document("a", relaxed) | {"structure": relaxed.structure}
    assert read_relaxation(document) == relaxed


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'relaxed' .* or 'failed', got 'running' in 'a'"):
        read_relaxation({"structure_id": "a", "state": "running"})


@pytest.mark.parametrize(
    ("outcome", "reason", "message"),
    [
        (RelaxationError("unphysical", "atoms overlap"), "unphysical", "atoms overlap"),
        (RelaxationError("not_converged", "300 steps"), "not_converged", "300 steps"),
        (MemoryError("16 GB"), "calculator_error", "MemoryError: 16 GB"),
        (ValueError("Model do not know atomic number: 118"), "calculator_error", "atomic number: 118"),
    ],
)
def test_every_failure_is_a_document(bise: Structure, outcome: Exception, reason: str, message: str) -> None:
    OUTCOMES["s"] = outcome
    document = relax_to_document(bise, "s", ScriptedMaker(fmax=0.02))
    assert (document["state"], document["reason"]) == ("failed", reason)
    assert message in document["message"]
    assert document["maker"]["fmax"] == 0.02
    assert document["method"] == {"name": "sevennet-l3i5"}


def test_a_failed_relaxation_keeps_its_last_structure_for_information(bise: Structure) -> None:
    OUTCOMES["s"] = RelaxationError("not_converged", "300 steps", bise, -3.7)
    failure = read_relaxation(relax_to_document(bise, "s", ScriptedMaker()))
    assert isinstance(failure, FailedRelaxation)
    assert (failure.structure, failure.energy_per_atom) == (bise, -3.7)


@pytest.mark.parametrize("outcome", [KeyboardInterrupt(), SystemExit(1)])
def test_interrupts_pass_through(bise: Structure, outcome: BaseException) -> None:
    OUTCOMES["s"] = outcome
    with pytest.raises(type(outcome)):
        relax_to_document(bise, "s", ScriptedMaker())


def test_an_unknown_method_is_a_stored_failure(bise: Structure) -> None:
    document = relax_to_document(bise, "s", GuardedForceFieldRelaxMaker(method="emt"))
    assert document["reason"] == "calculator_error"
    assert "Unknown method 'emt'; known are sevennet" in document["message"]


def test_a_job_is_stored_with_its_maker(bise: Structure) -> None:
    maker = GuardedForceFieldRelaxMaker(method="chgnet", fmax=0.1)
    stored = json.loads(json.dumps(name_job(maker.make(bise), "r1-001").as_dict()))
    assert stored["function"]["@module"] == "workflows.jobs"
    assert stored["function"]["@callable"] == "Relaxer.make"
    assert stored["function"]["@bound"]["@class"] == "GuardedForceFieldRelaxMaker"
    assert stored["output_schema"]["@callable"] == "RelaxationDocument"
    again = Job.from_dict(stored)
    assert again.maker == replace(maker, name="relax r1-001")  # as jobflow names it
    assert list(again.function_args) == [bise]
    assert (again.name, again.metadata) == ("relax r1-001", {"structure_id": "r1-001"})


def memory_store() -> JobStore:
    """Return a store of jobs that ends with the test."""
    store = JobStore(MemoryStore())
    store.connect()
    return store


def run(job: Job) -> RelaxationDocument:
    output = run_locally(job, ensure_success=True, log=False)[job.uuid][1].output
    assert isinstance(output, RelaxationDocument)
    return output


def test_a_job_knows_its_structures_id_and_writes_the_document_before_it_returns_it(
    bise: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = run(name_job(GuardedForceFieldRelaxMaker(method="emt").make(bise), "r1-002"))
    written = json.loads((tmp_path / RELAXATION_FILE).read_text())
    assert plain(output) == written
    assert (output.state, output.structure_id) == ("failed", "r1-002")
    assert (output.maker or {})["name"] == "relax"
    assert [path.name for path in tmp_path.iterdir()] == [RELAXATION_FILE]


def test_a_job_of_a_structure_without_id_names_it_by_its_content(
    bise: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, other = name_of(bise), name_of(bise * (2, 1, 1))
    assert name != other
    OUTCOMES[name] = -3.75
    output = run(ScriptedMaker().make(bise, prev_dir="somewhere"))
    assert output.structure_id == name
    assert name.startswith("BiSe-")
    assert read_relaxation(output) == Relaxed(bise, -3.75, SEVENNET, 12, 0.04, converged=True)


def test_a_relaxation_stopped_by_its_batch_job_is_put_there_again_as_it_was(
    bise: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    OUTCOMES["r1-003"] = RelaxationError("walltime", "time is up")
    job = name_job(ScriptedMaker(fmax=0.02).make(bise), "r1-003")
    response: Any = job.run(memory_store())
    assert response.stored_data == {"stopped": "time is up"}
    (again,) = response.replace.jobs
    assert (again.name, again.metadata["structure_id"], again.uuid) == ("relax r1-003", "r1-003", job.uuid)
    assert again.maker.fmax == 0.02
    assert list(tmp_path.iterdir()) == []


def test_a_document_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / RELAXATION_FILE
    write_json({"state": "relaxed"}, target)
    with pytest.raises(ValueError, match="Out of range float"):
        write_json({"energy": float("nan")}, target)
    assert json.loads(target.read_text()) == {"state": "relaxed"}
