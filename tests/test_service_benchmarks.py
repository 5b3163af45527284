"""Benchmarks of the service, in small: they measure what they say, and leave no server and no folder behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from launchpad.benchmarks.round_size import CELL, NoRelaxation
from launchpad.cli.main import app


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["benchmark", *arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    return json.loads(result.stdout)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's temporary folders, its workers' too."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_behind(temporary: Path) -> set[str]:
    """Temporary folders, and servers and workers in them."""
    lines = {" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])}
    return {path.name for path in temporary.glob("ccdcgan-al-*")} | {line for line in lines if str(temporary) in line}


@pytest.mark.slow
def test_round_size_runs_every_structure_and_compares_the_largest_with_the_smallest(temporary: Path) -> None:
    line = run("round-size", "--sizes", "4,70", "--repeats", "1")
    assert [(row["structures"], row["workflows"], row["rounds"]) for row in line["rows"]] == [(4, 1, 2), (70, 2, 1)]
    assert line["ratio"] == pytest.approx(line["rows"][1]["total, ms"] / line["rows"][0]["total, ms"])
    assert line["met"] is None  # the goal is about other sizes
    assert line["cpu_ratio"] > 0
    assert left_behind(temporary) == set()


@pytest.mark.slow
def test_overhead_relaxes_the_same_structures_both_ways() -> None:
    line = run("overhead", "--count", "4", "--repeats", "1", "--method", "chgnet")
    launchpad, loop = line["rows"]
    assert (launchpad["way"], loop["way"]) == ("LaunchPad", "bare loop")
    assert launchpad["structures"] == loop["structures"] == 4
    assert launchpad["relaxed"] == loop["relaxed"] > 0
    assert line["ratio"] == pytest.approx(line["pairs"][0])
    assert launchpad["wall, s"] / loop["wall, s"] == pytest.approx(line["ratio"], rel=0.05)


@pytest.mark.slow
def test_database_measures_all_four_in_small(temporary: Path) -> None:
    line = run("database", "--count", "1000", "--kept", "40", "--new", "5", "--entries", "60")
    insertion, query, duplicates, hull = line["rows"]
    assert [row["structures"] for row in line["rows"]] == [1000, query["structures"], 40, 60]
    assert 900 < query["structures"] < 1000  # copies are left out
    assert line["ratio"] == insertion["figure"] > 0
    assert query["met"], line["notes"]  # every documented query has an index, and few documents take no time
    assert "checked pair by pair: the same" in line["notes"][2]
    assert duplicates["figure"] > 0
    assert hull["unit"] == "s"
    assert left_behind(temporary) == set()


def test_the_relaxer_of_the_benchmark_relaxes_nothing() -> None:
    assert NoRelaxation().relax(CELL, "x").structure == CELL
