"""The store: writes that can be repeated, and what is read back."""

import hashlib

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import MongoError
from ccdcgan_al.types import Candidate, Method, Relaxed
from launchpad.database.store import CampaignStore
from workflows.documents import failure_document, relaxation_document

BISE = Structure(Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
METHOD = Method("sevennet", "SevenNet 7net-0", "0.13.0")
PROVENANCE = {"strategy": "seeds"}
CAMPAIGN = Campaign("Bi-Se")
C = CAMPAIGN.campaign_id


@pytest.fixture
def store(fresh_mongo_uri: str) -> CampaignStore:
    store = CampaignStore(fresh_mongo_uri)
    store.add_campaign(CAMPAIGN)
    return store


def candidates(campaign_id: str, store: CampaignStore, count: int = 3) -> list[Candidate]:
    made = [Candidate(f"Bi-Se-r0-{i:04d}", BISE, "seed", 0, f"prototype {i}") for i in range(count)]
    store.submit(campaign_id, made, PROVENANCE)
    return made


def test_campaign_is_added_once_and_read_back(store: CampaignStore) -> None:
    campaign = Campaign("Bi-Se", seed=7, own_seeds={"a.cif": BISE.to_json()}, withheld=(BISE.to_json(),))
    assert store.add_campaign(campaign)
    assert not store.add_campaign(campaign)
    assert store.campaign(campaign.campaign_id) == campaign
    assert store.state(campaign.campaign_id) == ("running", None)
    assert store.state("absent") == ("absent", None)
    with pytest.raises(KeyError, match="no campaign 'absent'"):
        store.campaign("absent")


def test_reason_of_a_state_holds_no_password(store: CampaignStore) -> None:
    store.set_state(C, "stopped", "cannot reach mongodb://ann:swordfish@db/x")
    reason = store.state(C)[1] or ""
    assert "swordfish" not in reason
    assert "cannot reach" in reason


def test_recording_twice_changes_nothing(store: CampaignStore) -> None:
    candidates(C, store)
    relaxed = relaxation_document("Bi-Se-r0-0000", Relaxed(BISE, -3.5, METHOD, 10, 0.01, converged=True))
    failed = failure_document("Bi-Se-r0-0001", "unphysical", "atoms merged", METHOD)
    for _ in range(2):
        store.record(C, [relaxed, failed])
    documents = {document["structure_id"]: document for document in store.documents(C)}
    assert [documents[name]["state"] for name in sorted(documents)] == ["relaxed", "failed", "submitted"]
    assert documents["Bi-Se-r0-0001"]["reason"] == "unphysical"
    assert documents["Bi-Se-r0-0001"]["message"] == "atoms merged"
    attempts = store.structures.find_one({"structure_id": "Bi-Se-r0-0000"})
    assert attempts is not None
    assert len(attempts["attempts"]) == 1
    (phase,) = store.phases(C, 0)
    assert (phase.structure_id, phase.energy_per_atom, phase.method, phase.origin) == (
        "Bi-Se-r0-0000",
        -3.5,
        METHOD,
        "seed",
    )
    assert phase.structure == BISE


def test_a_later_failure_does_not_displace_an_energy(store: CampaignStore) -> None:
    (made,) = candidates(C, store, 1)
    relaxed = relaxation_document(made.structure_id, Relaxed(BISE, -3.5, METHOD, 10, 0.01, converged=True))
    failed = failure_document(made.structure_id, "unphysical", "atoms merged", METHOD)
    newer = relaxation_document(made.structure_id, Relaxed(BISE, -3.6, METHOD, 9, 0.01, converged=True))
    older = {**newer, "energy_per_atom": -3.7, "finished": "2020-01-01T00:00:00+00:00"}
    lost = failure_document(made.structure_id, "lost", "its Firework fizzled", METHOD)
    counted = []
    for document in (lost, failed, lost, relaxed, failed, newer, older):
        store.record(C, [document])
        (stored,) = store.documents(C)
        counted.append((stored["state"], stored["reason"], stored["relaxation"]["energy_per_atom"]))
    assert counted == [
        ("failed", "lost", None),
        ("failed", "unphysical", None),
        ("failed", "unphysical", None),
        *[("relaxed", None, -3.5)] * 2,
        *[("relaxed", None, -3.6)] * 2,
    ]
    (stored,) = store.structures.find({"campaign_id": C})
    energies = [attempt["energy_per_atom"] for attempt in stored["attempts"]]
    assert energies == [None, None, -3.5, -3.6, -3.7]  # a repeated document is one attempt
    assert {attempt["kind"] for attempt in stored["attempts"]} == {"relaxation"}


def test_the_firework_of_an_attempt_is_kept(store: CampaignStore) -> None:
    (made,) = candidates(C, store, 1)
    for fw_id, stage in ((7, "round 0"), (8, "round 0"), (9, "confirmation")):
        spec = {"campaign_id": C, "structure_id": made.structure_id, "stage": stage}
        store.database["fireworks"].insert_one({"fw_id": fw_id, "spec": spec})
    document = relaxation_document(made.structure_id, Relaxed(BISE, -3.5, METHOD, 10, 0.01, converged=True))
    store.record(C, [document])
    store.record(C, [document], as_field="confirmation")
    assert store.documents(C)[0]["fw_ids"] == {"relaxation": 8, "confirmation": 9}


def test_submitting_again_keeps_what_was_recorded(store: CampaignStore) -> None:
    made = candidates(C, store)
    store.record(C, [relaxation_document(made[0].structure_id, Relaxed(BISE, -3.5, METHOD, 1, 0.0, converged=True))])
    store.submit(C, made, PROVENANCE)
    assert [document["state"] for document in store.documents(C)] == ["relaxed", "submitted", "submitted"]


def test_confirmation_stands_beside_the_relaxation(store: CampaignStore) -> None:
    made = candidates(C, store, 1)
    confirming = Method("sevennet-l3i5", "SevenNet 7net-l3i5", "0.13.0")
    store.record(C, [relaxation_document(made[0].structure_id, Relaxed(BISE, -3.5, METHOD, 1, 0.0, converged=True))])
    again = relaxation_document(made[0].structure_id, Relaxed(BISE, -3.6, confirming, 1, 0.0, converged=True))
    store.record(C, [again], as_field="confirmation")
    assert [phase.energy_per_atom for phase in store.phases(C, 0)] == [-3.5]
    assert [phase.method for phase in store.phases(C, 0, field="confirmation")] == [confirming]


def test_starting_structures_are_known_unless_set_aside(store: CampaignStore) -> None:
    made = candidates(C, store, 3)
    store.submit(C, [Candidate("Bi-Se-r1-0000", BISE, "generated", 1, strategy="ccdcgan")], PROVENANCE)
    store.record(C, [relaxation_document(made[0].structure_id, Relaxed(BISE, -3.5, METHOD, 1, 0.0, converged=True))])
    store.record(C, [failure_document(made[1].structure_id, "unphysical", "atoms merged", METHOD)])
    assert store.starting_structures(C) == [BISE] * 3
    store.mark_withheld(C, [made[0].structure_id])
    assert store.starting_structures(C) == [BISE] * 2


def test_set_aside_structures_are_no_phases(store: CampaignStore) -> None:
    made = candidates(C, store, 1)
    store.record(C, [relaxation_document(made[0].structure_id, Relaxed(BISE, -3.5, METHOD, 1, 0.0, converged=True))])
    store.mark_withheld(C, [made[0].structure_id])
    assert store.phases(C, 0) == []


def test_only_what_waits_is_withdrawn(store: CampaignStore) -> None:
    made = candidates(C, store, 2)
    store.record(C, [relaxation_document(made[0].structure_id, Relaxed(BISE, -3.5, METHOD, 1, 0.0, converged=True))])
    store.mark_withdrawn(C, [candidate.structure_id for candidate in made])
    assert [document["state"] for document in store.documents(C)] == ["relaxed", "withdrawn"]


def test_candidates_are_read_back_as_they_were_submitted(store: CampaignStore) -> None:
    ranked = Candidate(
        "Bi-Se-r1-0000",
        BISE,
        "generated",
        1,
        predicted_energy=-0.2,
        uncertainty=0.05,
        strategy="ccdcgan",
        operation="slip",
        parents=("Bi-Se-r0-0003",),
    )
    store.submit(C, [ranked], PROVENANCE)
    store.submit(C, [Candidate("Bi-Se-r1-0000", BISE, "generated", 1, strategy="random")], PROVENANCE)
    assert store.candidates(C, 1) == [ranked]


def test_one_batch_closes_a_round_and_stays_the_one(store: CampaignStore) -> None:
    store.open_round(C, 1, {"batches": 3})
    assert [store.returned(C, 1, batch) for batch in (2, 0, 2)] == [False, False, False]
    assert store.returned(C, 1, 1)
    assert [store.returned(C, 1, batch) for batch in (0, 1, 2)] == [False, True, False]


def test_a_campaign_that_ended_keeps_its_state(store: CampaignStore) -> None:
    assert store.set_state(C, "completed", "2 rounds done")
    assert not store.set_state(C, "stopped", "asked to stop")
    assert store.state(C) == ("completed", "2 rounds done")
    assert store.campaign_ids() == [C]


def test_round_keeps_its_first_opening_and_closing(store: CampaignStore) -> None:
    store.open_round(C, 1, {"generated": 10})
    store.close_round(C, 1, {"relaxed": 2})
    (first,) = store.round_documents(C)
    store.open_round(C, 1, {"generated": 10})
    store.close_round(C, 1, {"relaxed": 2})
    (second,) = store.round_documents(C)
    assert (first["opened"], first["closed"]) == (second["opened"], second["closed"])
    assert second["state"] == "closed"


def test_models_are_stored_once_under_their_hash(store: CampaignStore) -> None:
    first = store.models.save(C, 1, "generator", b"weights", {})
    second = store.models.save(C, 2, "generator", b"weights", {})
    assert first == second
    assert store.database["model_files.files"].count_documents({}) == 1
    assert store.models.files.get(first).read() == b"weights"
    assert store.models.hashes(C) == {"round 1 generator": first, "round 2 generator": first}


def test_a_model_whose_worker_died_while_it_was_stored_is_stored_whole(
    store: CampaignStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.models.save(C, 0, "generator", b"the first makes the indexes", {})
    blob = bytes(600_000)  # three pieces
    sha256 = hashlib.sha256(blob).hexdigest()
    store.database["model_files.chunks"].insert_one({"files_id": sha256, "n": 0, "data": blob[: 255 * 1024]})
    monkeypatch.setattr("launchpad.database.model_store.UPLOAD_SECONDS", 0.1)
    assert store.models.save(C, 1, "generator", blob, {}) == sha256
    assert store.models.files.get(sha256).read() == blob
    assert store.database["model_files.chunks"].count_documents({"files_id": sha256}) == 3


def test_acknowledged_writes_are_journaled(store: CampaignStore) -> None:
    assert store.database.write_concern.document == {"w": "majority", "j": True}


def test_training_worker_without_a_database_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCDCGAN_AL_MONGO_URI", raising=False)
    with pytest.raises(MongoError, match="CCDCGAN_AL_MONGO_URI"):
        CampaignStore.of_worker()


def test_exact_copies_of_what_is_there_are_not_added(store: CampaignStore) -> None:
    candidates(C, store, 1)
    turned = Structure(Lattice.cubic(5.9), ["Se", "Bi"], [[0.75, 0.25, 0.25], [0.25, 0.75, 0.75]])
    larger = Structure(Lattice.cubic(6.1), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    made = [
        Candidate("", structure, "generated", 1, strategy="ccdcgan") for structure in (BISE, turned, larger, larger)
    ]
    assert store.add_generated(C, made, PROVENANCE) == 1
    assert store.add_generated(C, made, PROVENANCE) == 0
    (found,) = store.structures.find({"campaign_id": C, "state": "generated"})
    assert found["structure_id"] == f"Bi-Se-g-{found['fingerprint']}"
    assert Structure.from_dict(found["start"]) == larger
    assert len(store.documents(C)) == 1


def test_a_model_is_read_by_its_hash_alone(store: CampaignStore) -> None:
    sha256 = store.models.save(C, 1, "generator", b"weights", {})
    assert store.models.read(C, 1, "generator") == b"weights"
    with pytest.raises(KeyError, match="no model 'critic' of round 1"):
        store.models.read(C, 1, "critic")
    store.database["model_files.chunks"].update_one({"files_id": sha256}, {"$set": {"data": b"weighty"}})
    with pytest.raises(MongoError, match="do not have the sha256"):
        store.models.read(C, 1, "generator")
    store.models.files.delete(sha256)
    with pytest.raises(MongoError, match="restore model_files"):
        store.models.read(C, 1, "generator")
