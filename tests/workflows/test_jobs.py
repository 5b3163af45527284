import json
from pathlib import Path
from typing import Any

import pytest
from jobflow import Job, run_locally
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from ccdcgan_al.files import write_json
from ccdcgan_al.types import FailedRelaxation, Method, Relaxed
from workflows.documents import failure_document, of_one_method, read_relaxation, relax_to_document, relaxation_document
from workflows.guards import RelaxationError
from workflows.jobs import RELAXATION_FILE, relax
from workflows.relax import RelaxMaker
from workflows.schemas import RelaxationDocument, plain

SEVENNET = Method("sevennet", "SevenNet 7net-0", "0.13.0")


@pytest.fixture
def bise() -> Structure:
    return Structure(Lattice.cubic(3.6), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def relaxed(bise: Structure) -> Relaxed:
    return Relaxed(bise, -3.75, SEVENNET, n_steps=12, max_force=0.04, converged=True)


class ScriptedMaker(RelaxMaker):
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
    document = relax_to_document(bise, "s", RelaxMaker(method="emt"))
    assert document["reason"] == "calculator_error"
    assert "Unknown method 'emt'; known are sevennet" in document["message"]


def test_job_is_stored_with_its_maker(bise: Structure) -> None:
    job = RelaxMaker(method="chgnet", fmax=0.1).make(bise, "r1-001")
    stored = json.loads(json.dumps(job.as_dict(), default=lambda value: value.as_dict()))
    assert stored["function"] == {"@module": "workflows.jobs", "@callable": "relax", "@bound": None}
    again = Job.from_dict(stored)
    assert again.function_args[2] == RelaxMaker(method="chgnet", fmax=0.1)
    assert (again.name, again.metadata) == ("relax r1-001", {"structure_id": "r1-001"})


def test_job_writes_the_document_before_it_returns_it(
    bise: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = RelaxMaker(method="emt").make(bise, "r1-002")
    output = run_locally(job, ensure_success=True, log=False)[job.uuid][1].output
    written = json.loads((tmp_path / RELAXATION_FILE).read_text())
    assert isinstance(output, RelaxationDocument)
    assert plain(output) == written
    assert written["state"] == "failed"
    assert written["structure_id"] == "r1-002"
    assert [path.name for path in tmp_path.iterdir()] == [RELAXATION_FILE]


def test_relax_runs_as_a_function(bise: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    OUTCOMES["s"] = -3.75
    document = relax.original(bise, "s", ScriptedMaker())  # type: ignore[attr-defined]  # jobflow keeps it there
    assert read_relaxation(document) == Relaxed(bise, -3.75, SEVENNET, 12, 0.04, converged=True)


def test_a_document_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / RELAXATION_FILE
    write_json({"state": "relaxed"}, target)
    with pytest.raises(ValueError, match="Out of range float"):
        write_json({"energy": float("nan")}, target)
    assert json.loads(target.read_text()) == {"state": "relaxed"}
