"""A whole campaign `--method vasp` on FireWorks: real LaunchPad, workers, custodian and atomate2; only VASP is a stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launchpad.database.store import CampaignStore
from tests.vasp.conftest import stand_in_environment

SEEDS, PER_ROUND = 5, 2


@pytest.mark.slow
def test_a_campaign_by_vasp(fresh_mongo_uri: str, tmp_path: Path) -> None:
    environment = {**os.environ, **stand_in_environment(tmp_path, tmp_path / "vasp")}
    environment |= {"CCDCGAN_AL_HOME": str(tmp_path / "home"), "STAND_IN_FAILURE": "electronic:1"}
    line = [sys.executable, "-m", "launchpad.cli.main", "run", "Au-Cu", "--json", "--mongo", fresh_mongo_uri]
    line += ["--method", "vasp", "--strategy", "random", "--rounds", "1", "--per-round", str(PER_ROUND)]
    line += ["--seed-count", str(SEEDS), "--workers", "2", "--out", str(tmp_path / "out")]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["state"] == "completed"
    assert (report["method"]["name"], report["method"]["version"]) == ("vasp", "6")
    assert report["confirming_method"] is None
    documents = CampaignStore(fresh_mongo_uri).documents(report["campaign_id"])
    assert len(documents) == SEEDS + PER_ROUND
    relaxed = [document["relaxation"] for document in documents if document["state"] == "relaxed"]
    assert len(relaxed) >= SEEDS
    assert all(item["details"]["run_type"] == "GGA" for item in relaxed)
    changes = [item["details"]["incar_changes"].get("relax_1", {}) for item in relaxed]
    assert sum("ALGO" in change for change in changes) == 1  # the run whose electrons did not converge at first
    assert all(item["versions"]["custodian"] for item in relaxed)
    formulas = {entry["formula"] for entry in report["hull"]}
    assert {"Cu", "Au"} <= formulas
    failed = [document for document in documents if document["state"] == "failed"]
    assert all(document["reason"] and document["message"] for document in failed)
