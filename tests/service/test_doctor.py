"""The doctor: what it finds, what it advises, what it changes (nothing)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from typer.testing import CliRunner

from ccdcgan_al.settings import Settings
from launchpad.cli.main import app
from launchpad.database.migrations import COLLECTION, VERSION
from launchpad.database.store import CampaignStore
from launchpad.service import doctor
from launchpad.service.doctor import Finding, examine
from launchpad.uri import database_name


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the machine's settings nor its potentials."""
    monkeypatch.setattr(doctor, "methods", lambda: iter([Finding("potentials", "ok", "not looked at")]))
    monkeypatch.setenv("CCDCGAN_AL_HOME", str(tmp_path))
    monkeypatch.delenv("CCDCGAN_AL_MONGO_URI", raising=False)


doctor_methods = doctor.methods  # before a fixture puts something in its place


def found(config: Path | None = None) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(config)}


def test_a_prepared_database_is_well(config_folder: Path, fresh_mongo_uri: str) -> None:
    CampaignStore(fresh_mongo_uri)
    findings = found(config_folder)
    names = ("versions", "package names", "database", "schema", "indexes", "validators", "clocks", "disk")
    assert {name: findings[name].state for name in names} == dict.fromkeys(names, "ok")
    assert all(finding.remedy for finding in findings.values() if finding.state != "ok")


def test_a_config_folder_that_is_not_there_is_told_with_what_makes_it(tmp_path: Path) -> None:
    findings = found(tmp_path / "none")
    for name, file in (("database", "environment.sh"), ("queue", "my_qadapter.yaml")):
        assert findings[name].state == "broken"
        assert findings[name].found.startswith(f"{tmp_path}/none/{file} is not there")
        assert f"`ccdcgan-al init {tmp_path}/none`" in findings[name].remedy
    done = CliRunner().invoke(app, ["submit", "Bi-Se", "-c", str(tmp_path / "none")], env={"COLUMNS": "300"})
    assert done.exit_code == 1
    assert f"make the folder with `ccdcgan-al init {tmp_path}/none`" in done.output


def test_a_home_that_is_no_folder_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setenv("CCDCGAN_AL_HOME", str(tmp_path / "notes.txt"))
    assert found()["disk"] == Finding(
        "disk", "broken", f"{tmp_path}/notes.txt is not a folder", "set CCDCGAN_AL_HOME to a folder that you own"
    )


def test_what_is_wrong_with_a_database_is_said_and_left(config_folder: Path, fresh_mongo_uri: str) -> None:
    store = CampaignStore(fresh_mongo_uri)
    store.structures.drop_index("campaign_id_1_state_1_round_1")
    store.database.command("collMod", "rounds", validator={})
    findings = found(config_folder)
    assert (findings["indexes"].state, findings["validators"].state) == ("broken", "broken")
    assert "structures.campaign_id_1_state_1_round_1" in findings["indexes"].found
    assert findings["validators"].found.endswith("rounds")
    assert "ccdcgan-al init" in findings["indexes"].remedy
    assert "campaign_id_1_state_1_round_1" not in store.structures.index_information()
    result = CliRunner().invoke(app, ["init", str(config_folder), "--mongo", fresh_mongo_uri])
    assert result.exit_code == 0, result.output
    repaired = found(config_folder)
    assert (repaired["indexes"].state, repaired["validators"].state) == ("ok", "ok")
    store.database[COLLECTION].update_one({}, {"$set": {"version": VERSION + 1}})
    assert found(config_folder)["schema"].state == "broken"


def test_a_new_database_is_not_touched(config_folder: Path, fresh_mongo_uri: str) -> None:
    findings = found(config_folder)
    assert findings["schema"].state == "warning"
    client: MongoClient[dict[str, Any]]
    with MongoClient(fresh_mongo_uri) as client:
        assert client[database_name(fresh_mongo_uri)].list_collection_names() == []


def test_a_database_that_does_not_answer_is_broken_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ANSWER_MS", 200)
    uri = SecretStr("mongodb://ann:swordfish@127.0.0.1:1/x")
    monkeypatch.setattr(doctor, "Settings", lambda: Settings(mongo_uri=uri))
    finding = found()["database"]
    assert finding.state == "broken"
    assert "swordfish" not in str(finding)
    assert finding.remedy


def test_a_server_named_without_a_database_is_asked_for_the_one_of_the_settings(
    mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mongo_uri.rsplit("/", 1)[0]
    named = Settings(mongo_uri=SecretStr(f"{server}/?appName=mine"), database="elsewhere")
    monkeypatch.setattr(doctor, "Settings", lambda: named)
    finding = found()["database"]
    assert finding.state == "ok", finding
    assert f"{server}/elsewhere?appName=mine" in finding.found


def test_clocks_that_differ(config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = UTC) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=90)

    monkeypatch.setattr(doctor, "datetime", Ahead)
    finding = found(config_folder)["clocks"]
    assert (finding.state, "NTP" in finding.remedy) == ("broken", True)
    assert finding.found.startswith(("89.", "90."))


def test_another_distribution_of_a_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"ccdcgan_al": ["ccdcgan-al"], "workflows": ["ccdcgan-al", "other"], "launchpad": ["ccdcgan-al"]}
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: owners)
    finding = found()["package names"]
    assert (finding.state, finding.found) == ("broken", "other also installs a package workflows")


def test_the_command_prints_a_table_or_json_and_fails_where_something_is_broken(
    config_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = CliRunner().invoke(app, ["doctor", "-c", str(config_folder)])
    assert result.exit_code == 0, result.output
    assert "clocks" in result.stdout
    monkeypatch.setattr(doctor, "_disk", lambda _: iter([Finding("disk", "broken", "[full]", "make room")]))
    result = CliRunner().invoke(app, ["doctor", "-c", str(config_folder), "--json"])
    assert result.exit_code == 1
    assert {"what": "disk", "state": "broken", "found": "[full]", "remedy": "make room"} in json.loads(result.stdout)


def test_what_relaxes_here_and_how_to_get_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOMATE2_VASP_CMD", raising=False)
    monkeypatch.setenv("PATH", "")
    potentials, elements, vasp = doctor_methods()
    assert elements.state == "ok"
    assert "docs/energies.md has the table" in elements.found
    assert potentials.state == "ok"
    assert potentials.found.startswith(
        "usable: sevennet, sevennet-l3i5, chgnet; not installed: mace (pip install mace-torch)"
    )
    assert vasp.state == "warning"

    def without_sevenn(package: str) -> str:
        if package == "sevenn":
            raise PackageNotFoundError(package)
        return "0"

    monkeypatch.setattr("workflows.potentials.version", without_sevenn)
    potentials, *_ = doctor_methods()
    assert potentials.state == "warning"
    assert "sevennet (pip install 'ccdcgan-al[potentials]')" in potentials.found
    assert potentials.remedy == "pip install 'ccdcgan-al[potentials]'"
