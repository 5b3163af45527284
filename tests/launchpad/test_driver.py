"""The command that watches a campaign: when it takes it for ended, and what it says then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import CcdcganError
from ccdcgan_al.settings import Settings
from launchpad import driver

BISE = Campaign("Bi-Se")
SLOW = 2 * driver.ENDED_SECONDS  # s of one look at a machine or a database that is busy


def watch(
    monkeypatch: pytest.MonkeyPatch,
    looks: list[tuple[bool, str]],
    campaign: Campaign = BISE,
    rounds: Sequence[dict[str, Any]] = (),
) -> str:
    """Watch a campaign of which each look, a slow one, shows whether all workflows have ended, and its state; return what is shown."""
    left: Iterator[tuple[bool, str]] = iter(looks)
    clock = 1000.0
    ended, state = False, "running"

    def look(*_: Any) -> list[dict[str, Any]]:
        nonlocal clock, ended, state
        clock += SLOW
        ended, state = next(left)
        return [{"name": "round 0", "state": "FIZZLED" if ended else "RUNNING", "nodes": [1], "ended": ended}]

    def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: clock, sleep=sleep))
    monkeypatch.setattr(driver, "workflows_of", look)
    monkeypatch.setattr(driver, "relaxation_counts", lambda *_: (0, 1))
    monkeypatch.setattr(driver, "failure_reason", lambda *_: "nobody knows why")
    store: Any = SimpleNamespace(
        round_documents=lambda _: list(rounds), state=lambda _: (state, None), mean_seconds=lambda _: None
    )
    workers: Any = SimpleNamespace(check=list)
    shown = StringIO()
    settings = Settings(home=Path("/nowhere"), mongo_uri=None)
    driver.watch(campaign, store, None, workers, settings, Console(file=shown, width=200))
    assert list(left) == []
    return shown.getvalue()


def test_a_look_at_which_all_have_ended_for_a_moment_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    going, ended = (False, "running"), (True, "running")
    watch(monkeypatch, [going, ended, going, ended, going, (True, "completed")])


def test_what_has_ended_and_stays_so_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CcdcganError, match="nobody knows why"):
        watch(monkeypatch, [(False, "running"), (True, "running"), (True, "running")])


def test_that_structures_are_being_chosen_is_shown_at_once_and_how_far_it_is() -> None:
    shown = StringIO()
    with driver.choosing(Console(file=shown, force_terminal=True, width=100)) as say:
        assert "choosing starting structures: reading the prototypes" in shown.getvalue()
        say("Bi-Se, 2 of 26")
        deadline = time.monotonic() + 10
        while "choosing starting structures: Bi-Se, 2 of 26" not in shown.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_into_a_file_it_is_one_line() -> None:
    shown = StringIO()
    with driver.choosing(Console(file=shown)) as say:
        assert shown.getvalue() == "choosing starting structures\n"
        say("Bi-Se, 2 of 26")
    assert shown.getvalue().strip() == "choosing starting structures"
    with driver.choosing(None) as say:
        say("nobody looks")


def test_which_elements_no_starting_compound_holds_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchpad.rounds.choose", lambda *_: [])
    monkeypatch.setattr("launchpad.rounds.begin", lambda *_: None)
    store: Any = SimpleNamespace(
        state=lambda _: ("running", None), is_open=lambda *_: False, add_campaign=lambda _: True
    )
    shown = StringIO()
    for system in ("Fe-He-O", "Bi-Se"):
        assert driver.submit(Campaign(system), store, Console(file=shown))
    first, told, second = shown.getvalue().splitlines()
    assert first == second == "choosing starting structures"
    assert told == (
        "no starting compound holds He, of which no atomic radius is known; structures of your own that do, in a folder given with "
        "--seeds FOLDER, help"
    )


@pytest.mark.parametrize(("state", "stage"), [("open", "more structures of Pu"), ("closed", "seeds: learning")])
def test_the_stage_names_the_elements_whose_structures_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, state: str, stage: str
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    document = {"round": 0, "state": state, "lacking": ["Pu"], "opened": now, "closed": now}
    assert stage in watch(monkeypatch, [(True, "completed")], Campaign("Pu-U"), [document])
