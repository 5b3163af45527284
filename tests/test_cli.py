"""The command line: what it imports, and what it says to wrong input. The campaign behind it is in test_loop."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ccdcgan_al.errors import StructureInputError
from launchpad.cli.main import app
from launchpad.cli.run import Choices

PROBE = """
import json, sys
from typer.testing import CliRunner
from launchpad.cli.main import app
results = [CliRunner().invoke(app, arguments) for arguments in (["--help"], ["run", "--help"], ["--version"])]
assert [result.exit_code for result in results] == [0, 0, 0], results
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Home folder that does not exist yet, with no database named elsewhere."""
    folder = tmp_path / "home"
    monkeypatch.setenv("CCDCGAN_AL_HOME", str(folder))
    monkeypatch.delenv("CCDCGAN_AL_MONGO_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_help_imports_no_tensorflow_and_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    heavy = {"tensorflow", "keras", "torch", "sevenn", "chgnet", "atomate2", "pymatgen", "fireworks", "pymongo"}
    assert heavy & set(json.loads(done.stdout)) == set()


def test_console_script_is_installed() -> None:
    script = Path(sys.executable).parent / "ccdcgan-al"
    done = subprocess.run([str(script), "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Se-Bi"], 'write it as "Bi-Se"'),
        (["Xx-Se"], '"Xx" is not the symbol of an element'),
        (["Bi"], "has a single element"),
        (["Bi-Bi"], "repeats Bi"),
        ([""], "is not the symbol of an element"),
        (["Bi-Se", "--strategy", "nonsense"], "unknown strategy 'nonsense': wanted one of ccdcgan"),
        (["Bi-Se", "--method", "nonsense"], "Unknown method 'nonsense'; known are sevennet"),
        (["Bi-Se", "--seeds", "no/such/folder"], "no such file"),
        (["Bi-Se", "--withhold", "none.cif"], "no such file"),
        (["Bi-Se", "--mongo", "nonsense"], "not a MongoDB URI"),
        (["Bi-Se", "--seed-count", "0"], "--seed-count"),
        (["Bi-Se", "--rounds", "-1"], "--rounds"),
        (["Bi-Se", "--workers", "0"], "--workers"),
    ],
)
def test_wrong_input_gives_a_clear_message_and_starts_nothing(home: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["run", *arguments], env={"COLUMNS": "300", "TERM": "dumb"})
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    if result.exit_code == 1:
        assert len(result.stderr.strip().splitlines()) == 1
        assert result.stderr.startswith("error: ")
    assert result.stdout == ""
    assert not home.exists()


def test_a_seeds_folder_without_structures_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(app, ["run", "Bi-Se", "--seeds", "empty"])
    assert result.exit_code == 1
    assert "no structure files; wanted CIF or POSCAR" in result.stderr
    assert not home.exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", ["runs[potentials]", "runs[/potentials]", "[red]runs"])
@pytest.mark.parametrize(
    "arguments", [["run", "Bi-Se", "--seeds"], ["submit", "Bi-Se", "--seeds"], ["init", "group", "--queue"]]
)
def test_brackets_in_an_error_are_printed_as_they_are(name: str, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, name], env={"COLUMNS": "300", "TERM": "dumb"})
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert name in result.stderr


@pytest.mark.parametrize("kind", ["a file", "below a file", "read-only"])
def test_a_folder_that_cannot_hold_the_results_is_named_before_anything_starts(
    home: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    out = {"a file": "notes.txt", "below a file": "notes.txt/results", "read-only": "results"}[kind]
    if kind == "read-only":
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    result = CliRunner().invoke(app, ["run", "Bi-Se", "--out", out], env={"COLUMNS": "300", "TERM": "dumb"})
    assert result.exit_code == 1
    assert re.match(rf"error: {tmp_path}/{out} cannot be (made|written to).*another --out\n$", result.stderr)
    assert not home.exists()


def test_a_file_of_other_elements_is_refused(home: Path, tmp_path: Path) -> None:
    text = "NaCl\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "POSCAR_salt").write_text(text)
    result = CliRunner().invoke(app, ["run", "Bi-Se", "--seeds", "own"])
    assert result.exit_code == 1
    assert "POSCAR_salt: holds Cl-Na; wanted elements of Bi-Se only" in result.stderr
    assert not home.exists()


def test_what_is_withheld_may_be_larger_than_a_seed(tmp_path: Path) -> None:
    text = "Bi\n1.0\n4 0 0\n0 4 0\n0 0 {}\nBi\n1\ndirect\n0 0 0\n"
    (tmp_path / "long.vasp").write_text(text.format(10.09))  # as R-3m Bi2Se3 relaxed by 7net-0
    choices = Choices("Bi-Se", "sevennet", "random", 0, 1, 2, 4, 10, None, None, None, (tmp_path / "long.vasp",))
    assert len(choices.campaign(runs_here=False).withheld) == 1
    with pytest.raises(StructureInputError, match="at most 20 sites and 10 Å are taken"):
        replace(choices, seeds=tmp_path / "long.vasp").campaign(runs_here=False)
    (tmp_path / "long.vasp").write_text(text.format(15))
    with pytest.raises(StructureInputError, match="at most 32 sites and 14 Å are taken"):
        choices.campaign(runs_here=False)


@pytest.mark.usefixtures("home")
def test_a_mongod_that_is_none_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "CCDCGAN_AL_MONGOD": str(tmp_path / "none")}
    command = [sys.executable, "-m", "launchpad.cli.main", "run", "Bi-Se"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 1
    assert "which is no executable file; correct or unset it" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_server_is_one_line_without_its_password(home: Path) -> None:
    uri = "mongodb://user:hunter2@127.0.0.1:9/campaigns"
    result = CliRunner().invoke(app, ["run", "Bi-Se", "--mongo", uri])
    assert result.exit_code == 1
    assert "hunter2" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (home / "mongo").exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("value", "wanted"), [("abc", "a valid integer"), ("0", "greater than or equal to 1")])
@pytest.mark.parametrize("arguments", [["run", "Bi-Se"], ["campaigns"], ["database", "status"], ["database", "stop"]])
def test_a_variable_that_cannot_be_read_is_named_in_one_line(arguments: list[str], value: str, wanted: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"CCDCGAN_AL_WORKERS": value})
    assert result.exit_code == 1
    assert result.stderr == f"error: CCDCGAN_AL_WORKERS: wanted {wanted}, got {value!r}; correct or unset it\n"


@pytest.mark.usefixtures("home")
def test_the_doctor_names_a_variable_that_cannot_be_read() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"], env={"SLURM_JOB_END_TIME": "soon"})
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)
    assert (finding["what"], finding["state"]) == ("settings", "broken")
    assert finding["found"] == "SLURM_JOB_END_TIME: wanted a valid number, got 'soon'; correct or unset it"


@pytest.mark.usefixtures("home")
def test_database_commands_answer_where_nothing_runs() -> None:
    status = CliRunner().invoke(app, ["database", "status"])
    assert status.stdout == "local MongoDB: not running (not started)\n"
    assert status.exit_code == 1
    assert "no local mongod was running" in CliRunner().invoke(app, ["database", "stop"]).stdout
