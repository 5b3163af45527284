"""The command line: what it imports, and what it says to wrong input. The campaign behind it is in test_loop."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import StructureInputError
from launchpad.cli.campaign_options import FILES, NAMES, Choices
from launchpad.cli.main import app

PROBE = """
import json, sys
from typer.testing import CliRunner
from launchpad.cli.campaign_options import FILES, NAMES, Choices
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
        (["Bi"], "has one element; give 2 to 8"),
        (["Bi-Bi"], "repeats Bi"),
        ([""], "is not the symbol of an element"),
        (["Bi-Se", "--strategy", "nonsense"], "unknown strategy 'nonsense': use one of random"),
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
    assert "no structure files; give CIF (.cif, .mcif), POSCAR" in result.stderr
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
    assert "POSCAR_salt: the structure contains Cl-Na; the system is Bi-Se" in result.stderr
    assert not home.exists()


POSCAR = "x\n1.0\n4 0 0\n0 4 0\n0 0 {length}\n{species}\nDirect\n0 0 0\n.5 .5 .5\n"


def choices_of(seeds: Path | None, *withhold: Path) -> Choices:
    return Choices({"chemical_system": "Bi-Se", "method": "sevennet", "strategy": "random"}, seeds, withhold)


def test_what_is_withheld_may_be_of_any_cell_and_a_seed_of_40_angstrom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "long.vasp").write_text(POSCAR.format(length=39.9, species="Bi Se\n1 1"))
    campaign = choices_of(tmp_path / "long.vasp", tmp_path / "long.vasp").campaign(runs_here=False)
    assert (list(campaign.own_seeds), len(campaign.withheld)) == (["long.vasp"], 1)
    (note,) = capsys.readouterr().err.splitlines()
    said = "note: long.vasp is relaxed and has its place on the hull, and is not learnt from: Bi1 Se1 has a reduced cell of 4.00, 4.00, 39.90 Å"
    assert note.startswith(said)
    (tmp_path / "long.vasp").write_text(POSCAR.format(length=40.1, species="Bi Se\n1 1"))
    assert len(choices_of(None, tmp_path / "long.vasp").campaign(runs_here=False).withheld) == 1
    with pytest.raises(StructureInputError, match="the limits are 64 sites and 40 Å"):
        choices_of(tmp_path / "long.vasp").campaign(runs_here=False)


def test_refused_files_stop_a_run_before_anything_starts_and_are_listed(home: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "good.vasp").write_text(POSCAR.format(length=4, species="Bi Se\n1 1"))
    (own / "comment.vasp").write_text(POSCAR.format(length=4, species="1 1").replace("x\n", "Bi Se\n", 1))
    (own / "bad.vasp").write_text(POSCAR.format(length=4, species="1 1"))
    (own / "worse.cif").write_text("data_x\n")
    (own / "notes.txt").write_text("mine")
    (tmp_path / "hidden.xyz").write_text("1\n\nBi 0 0 0\n")
    command = ["run", "Bi-Se", "--seeds", "own", "--withhold", "hidden.xyz", "--json"]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "300", "TERM": "dumb"})
    assert (result.exit_code, result.stdout) == (1, "")
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert [line.partition(": ")[2].partition(":")[0] for line in notes] == ["own/comment.vasp", "own/notes.txt"]
    first, *lines = result.stderr.splitlines()[len(notes) :]
    assert first == "error: 3 files are refused, and nothing was started:"
    assert [line.partition(":")[0] for line in lines] == ["own/bad.vasp", "own/worse.cif", "hidden.xyz"]
    assert not home.exists()
    for name in ("bad.vasp", "worse.cif"):
        (own / name).unlink()
    alone = CliRunner().invoke(app, command)
    assert alone.exit_code == 1
    assert alone.stderr.splitlines()[-1].startswith("error: hidden.xyz: there is no cell; write Lattice=")
    campaign = choices_of(own).campaign(runs_here=False)
    assert list(campaign.own_seeds) == ["comment.vasp", "good.vasp"]


def test_blocks_of_one_file_are_seeds_of_their_own(tmp_path: Path) -> None:
    cell = "\n".join([*(f"_cell_length_{axis} 3.7" for axis in "abc"), "loop_", "_atom_site_label"])
    axes = "\n".join(f"_atom_site_fract_{axis}" for axis in "xyz")
    blocks = [
        f"data_{name}\n{cell}\n{axes}\nBi1 0 0 0\nSe1 .5 .5 {z}\n" for name, z in (("a", 0.5), ("b", 0.4), ("a", 0.3))
    ]
    (tmp_path / "multi.cif").write_text("".join(blocks))
    campaign = choices_of(tmp_path / "multi.cif").campaign(runs_here=False)
    assert list(campaign.own_seeds) == ["multi.cif#a", "multi.cif#a-2", "multi.cif#b"]


@pytest.mark.usefixtures("home")
def test_a_mongod_that_is_none_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "CCDCGAN_AL_MONGOD": str(tmp_path / "none")}
    command = [sys.executable, "-m", "launchpad.cli.main", "run", "Bi-Se"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 1
    assert "which is not an executable file; correct or unset it" in done.stderr
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
    assert "no local mongod is running" in CliRunner().invoke(app, ["database", "stop"]).stdout


def options_of(command: str) -> dict[str, tuple[Any, str]]:
    """Return the default and the help of each parameter of a command."""
    parameters = get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {item.name: (item.default, item.help) for item in parameters}


@pytest.mark.parametrize("command", ["run", "submit"])
def test_every_field_of_a_campaign_is_an_option_with_its_default_and_meaning(command: str) -> None:
    found = options_of(command)
    for item in fields(Campaign):
        if item.name in FILES:
            assert FILES[item.name][0] in found
        elif item.name != "chemical_system":
            assert found[NAMES.get(item.name, item.name)] == (item.default, item.metadata["meaning"])


@pytest.mark.parametrize("command", ["run", "submit"])
def test_options_reach_the_campaign(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Campaign] = []

    def taken(choices: Choices, *_: Any, **__: Any) -> int:
        given.append(choices.campaign(runs_here=False))
        return 0

    monkeypatch.setattr("launchpad.cli.run.run_command", taken)
    monkeypatch.setattr("launchpad.cli.submit.submit_command", taken)
    assert CliRunner().invoke(app, [command, "Se-Bi"]).exit_code == 1  # it wants Bi-Se
    assert CliRunner().invoke(app, [command, "Bi-Se"]).exit_code == 0
    wanted: dict[str, Any] = {
        "method": "vasp",
        "strategy": "random",
        "seed": 7,
        "rounds": 1,
        "per_round": 3,
        "seed_count": 8,
    }
    wanted |= {"generated_per_round": 50, "budget": 40, "patience": 2}
    words = [
        word for name, value in wanted.items() for word in (f"--{NAMES.get(name, name)}".replace("_", "-"), str(value))
    ]
    assert CliRunner().invoke(app, [command, "Bi-Se", *words]).exit_code == 0
    assert given == [Campaign("Bi-Se"), Campaign("Bi-Se", **wanted)]
