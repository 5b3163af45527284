"""What must not be seen, run or read: passwords, pickles, files without end."""

from __future__ import annotations

import ast
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from ccdcgan_al.errors import ChemicalSystemError, MongoError, StructureInputError
from ccdcgan_al.seeds import files
from ccdcgan_al.seeds.files import read_structures
from ccdcgan_al.seeds.time_limit import time_limit
from launchpad.cli.main import app
from launchpad.database.migrations import VERSION, repair
from launchpad.database.store import CampaignStore
from launchpad.results.report import CampaignReport
from launchpad.service.configure import WITH_ADDRESS
from tests.authenticated_mongod import PASSWORD, authenticated_mongod
from tests.small_campaign import SmallCampaign, small_campaign

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path for package in ("ccdcgan_al", "workflows", "launchpad") for path in sorted((ROOT / package).rglob("*.py"))
]
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCampaign]:
    """A campaign on a server that asks for a password."""
    folder = tmp_path_factory.mktemp("guarded")
    with authenticated_mongod(folder / "mongo") as uri, small_campaign(uri, folder / "config") as campaign:
        yield campaign


def secrets(text: str) -> list[str]:
    return [secret for secret in (PASSWORD, quote_plus(PASSWORD)) if secret in text]


@pytest.mark.slow
def test_no_document_file_or_output_holds_the_password(
    guarded: SmallCampaign, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    store, campaign_id = guarded.store, guarded.campaign.campaign_id
    names = store.database.list_collection_names()
    assert {"fireworks", "launches", "workflows", "structures"} <= set(names)
    assert {name: secrets(str(list(store.database[name].find()))) for name in names} == {name: [] for name in names}
    CampaignReport(store, campaign_id).write(tmp_path)
    for path in [*tmp_path.rglob("*"), *guarded.config.rglob("*")]:
        if path.is_file() and path.name in WITH_ADDRESS:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        elif path.is_file():
            assert secrets(path.read_bytes().decode(errors="replace")) == [], path
    for command in (["campaigns"], ["stop", campaign_id], ["stop", "absent"], ["doctor"], ["doctor", "--json"]):
        result = CliRunner().invoke(app, [*command, "-c", str(guarded.config)])
        assert secrets(result.output) == [], command
        assert result.exception is None or isinstance(result.exception, SystemExit)
    wrong = guarded.uri.replace("group:", "nobody:")
    result = CliRunner().invoke(app, ["campaigns", "--mongo", wrong])
    assert result.exit_code == 1
    assert secrets(result.output) == []
    assert secrets("".join(capfd.readouterr()) + caplog.text) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & UNPICKLING
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] not in UNPICKLING
        elif isinstance(node, ast.Call):
            name, options = ast.unparse(node.func), {item.arg: ast.unparse(item.value) for item in node.keywords}
            assert name not in {"eval", "exec", "yaml.load", "os.system"}
            assert not name.endswith(("np.load", "numpy.load")) or options.get("allow_pickle") == "False"
            assert not name.endswith("load_model") or options.get("safe_mode") == "True"
            assert options.get("shell") != "True"


def test_a_file_that_takes_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Structure(Lattice.cubic(4), ["Bi"], [[0, 0, 0]]).to(str(tmp_path / "slow.cif"))
    monkeypatch.setattr(files, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(files, "reduced_primitive", lambda *_: time.sleep(60))
    with pytest.raises(StructureInputError, match=r"slow.cif: reading took more than 0.1 s; give a file"):
        read_structures(tmp_path).or_stop()


def test_a_cell_of_very_many_sites_is_refused_before_it_is_reduced(tmp_path: Path) -> None:
    (Structure(Lattice.cubic(4), ["Bi"], [[0, 0, 0]]) * (11, 10, 10)).to(str(tmp_path / "POSCAR"), fmt="poscar")
    with pytest.raises(StructureInputError, match="cell has 1100 sites; the limit is 1000"):
        read_structures(tmp_path).or_stop()


def test_a_time_limit_leaves_no_alarm_behind() -> None:
    with time_limit(0.2):
        pass
    time.sleep(0.3)


@pytest.mark.parametrize("text", ["../../etc", "Bi-Se/../x", '{"$ne": ""}', "Bi-$where", "Bi\0-Se"])
def test_a_chemical_system_is_no_path_and_no_operator(text: str) -> None:
    from ccdcgan_al.chemsys import parse_chemical_system

    with pytest.raises(ChemicalSystemError):
        parse_chemical_system(text)


def test_a_campaign_is_found_by_its_name_alone(guarded: SmallCampaign) -> None:
    for name in ('{"$ne": ""}', "$where", "../" + guarded.campaign.campaign_id):
        result = CliRunner().invoke(app, ["stop", name, "-c", str(guarded.config)])
        assert result.exit_code == 1
        assert "no campaign" in result.output


def test_an_out_folder_holds_what_is_written(guarded: SmallCampaign, tmp_path: Path) -> None:
    files = CampaignReport(guarded.store, guarded.campaign.campaign_id).write(tmp_path / "out")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(os.path.commonpath([path.resolve(), tmp_path / "out"]) == str(tmp_path / "out") for path in written)
    assert json.loads(files["report"].read_text())["campaign_id"] == guarded.campaign.campaign_id


def test_a_user_who_may_read_and_write_alone_needs_no_more_for_a_new_database(guarded: SmallCampaign) -> None:
    uri = f"{guarded.uri.split('@')[1].split('/')[0]}/plain?authSource=admin"
    guarded.store.client.admin.command(
        "createUser", "plain", pwd=PASSWORD, roles=[{"role": "readWrite", "db": "plain"}]
    )
    store = CampaignStore(f"mongodb://plain:{quote_plus(PASSWORD)}@{uri}")
    assert repair(store.database) == VERSION
    store.database.drop_collection("rounds")
    store.database.create_collection("rounds")
    with pytest.raises(MongoError, match=r"'rounds' of 'plain' .* role dbAdmin run `ccdcgan-al init` once"):
        repair(store.database)
