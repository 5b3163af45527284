"""The registry of strategies, and docs/how-to/add-a-strategy.md followed to the letter."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ccdcgan_al import Campaign, Loop, strategies
from ccdcgan_al import loop as loop_module
from ccdcgan_al.strategies import registry
from ccdcgan_al.strategies.proposals import Proposals
from ccdcgan_al.strategies.registry import STRATEGIES, Entry, check_strategies, register, strategy_entry
from launchpad.cli.main import app
from tests.faults.conftest import few_seeds

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "add-a-strategy.md").read_text(), re.DOTALL)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    """A copy of the registry, for this test only."""
    copy = dict(STRATEGIES)
    monkeypatch.setattr(registry, "STRATEGIES", copy)
    return copy


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_can_be_loaded_and_is_explained(name: str) -> None:
    entry = strategy_entry(name)
    assert callable(entry.load())
    assert Campaign("Bi-Se", strategy=name).strategy == name
    assert f"| `{name}` | {entry.summary} |" in (DOCS / "how-to" / "run-options.md").read_text()


def test_the_command_line_lists_every_strategy() -> None:
    said = " ".join(CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "400"}).output.split())
    assert ", ".join(STRATEGIES) in said


def test_unknown_names_are_refused_in_one_line() -> None:
    wanted = ", ".join(STRATEGIES)
    with pytest.raises(ValueError, match=f"^unknown strategy 'luck': use one of {wanted}$"):
        Campaign("Bi-Se", strategy="luck")
    with pytest.raises(ValueError, match=f"^unknown strategy luck, fate: use one or more of {wanted}, one-shot$"):
        check_strategies(["luck", "random", "fate"], also=["one-shot"])
    with pytest.raises(ValueError, match="the strategy 'random' is there already"):
        register("random", lambda _: pytest.fail("never called"), "luck")


def test_the_how_to_works(own_registry: dict[str, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file at its place, its line in the registry, and its try: the seeds and two rounds."""
    file, line, trial = BLOCKS
    (tmp_path / "vacancies.py").write_text(file)
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])  # as if it lay in the folder
    own_registry |= eval(f"{{{line}}}", {"Entry": Entry})  # noqa: S307 - the document's own
    monkeypatch.setattr(loop_module, "choose_seeds", few_seeds)
    names: dict[str, Any] = {}
    try:
        exec(trial, names)  # noqa: S102 - the document's own
    finally:
        sys.modules.pop("ccdcgan_al.strategies.vacancies", None)
    loop: Loop = names["loop"]
    assert loop.round_number == 3
    made = [phase for phase in loop.hull.phases if phase.origin == "generated"]
    assert {phase.round_number for phase in made} == {1, 2}
    assert len(made) == 8
    assert {candidate.strategy for candidate in loop.ask()} == {"vacancies"}


def test_a_notebook_registers_for_its_process(own_registry: dict[str, Entry]) -> None:
    register("nothing", lambda request: Proposals([], generated=request.count), "proposes nothing")
    assert own_registry["nothing"].summary == "proposes nothing"
    assert Campaign("Bi-Se", strategy="nothing").strategy == "nothing"
