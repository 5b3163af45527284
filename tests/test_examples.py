"""Every example runs as a user would run it, and prints what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.types import Candidate, Method, Relaxed
from launchpad.database.store import CampaignStore
from workflows.documents import failure_document, relaxation_document

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_a_test_for_every_example() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "encode_decode.py",
        "correction_driven.py",
        "query_campaign.py",
        "second_constraint.py",
    }


def test_encode_decode() -> None:
    text = run("encode_decode.py")
    assert "a crystal graph of shape (1, 28, 28, 1)" in text
    assert "matches the input: True" in text


def test_correction_driven() -> None:
    lines = run("correction_driven.py").splitlines()
    (bise6,) = [line for line in lines if line.startswith("BiSe6")]
    assert bise6.split()[1:3] == ["20", "0"]
    assert "no discovery" in bise6
    assert lines[-1].endswith("[]")


@pytest.mark.slow
def test_second_constraint() -> None:
    found = re.findall(r"(?:families|mean|closest|steps): (-?[0-9.]+)", run("second_constraint.py"))
    error, guess, before, after = map(float, found)
    assert error < 0.6 * guess
    assert after < before - 0.03


@pytest.fixture
def recorded_campaign(fresh_mongo_uri: str) -> str:
    """URI of a database with one campaign whose energies are made up: a relaxed structure and a failed one."""
    method = Method("made-up", "made up for a test", "0")
    campaign = Campaign("Bi-Se", rounds=1)
    store = CampaignStore(fresh_mongo_uri)
    cell = Structure(Lattice.cubic(3.5), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    names = ("Bi-Se-r1-0000", "Bi-Se-r1-0001")
    store.add_campaign(campaign)
    candidates = [
        Candidate(name, cell, "generated", 1, predicted_energy=-0.25, uncertainty=0.1, strategy="ccdcgan")
        for name in names
    ]
    store.submit(campaign.campaign_id, candidates, {"strategy": "ccdcgan"})
    relaxed = Relaxed(cell, -4.0, method, n_steps=1, max_force=0.01, converged=True)
    store.record(campaign.campaign_id, [relaxation_document(names[0], relaxed)])
    store.record(campaign.campaign_id, [failure_document(names[1], "not_converged", "300 steps", method, cell)])
    figures = {"space_group": "Pm-3m", "formation_energy_per_atom": -0.2, "energy_above_hull": 0.03}
    store.save_figures(campaign.campaign_id, {names[0]: figures})
    store.client.close()
    return fresh_mongo_uri


def test_query_campaign(recorded_campaign: str) -> None:
    text = run("query_campaign.py", recorded_campaign)
    assert "1 relaxed" in text
    assert "1 failed (not_converged)" in text
    assert "BiSe (Pm-3m): 30 meV/atom above the hull" in text
    assert "predicted -0.250" in text


def test_query_campaign_without_a_database_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCDCGAN_AL_HOME", str(tmp_path))
    monkeypatch.delenv("CCDCGAN_AL_MONGO_URI", raising=False)
    command = [sys.executable, str(EXAMPLES / "query_campaign.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "no local MongoDB runs here; begin with: ccdcgan-al run Bi-Se"
