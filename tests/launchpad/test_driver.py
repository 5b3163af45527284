"""The command that watches a campaign: when it takes it for ended, and what it says then."""

from __future__ import annotations

import time
from collections.abc import Iterator
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

SLOW = 2 * driver.ENDED_SECONDS  # s of one look at a machine or a database that is busy


def watch(monkeypatch: pytest.MonkeyPatch, looks: list[tuple[bool, str]]) -> None:
    """Watch a campaign of which each look, a slow one, shows whether all workflows have ended, and its state."""
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
    monkeypatch.setattr(driver, "_seconds_left", lambda *_: 0.0)
    monkeypatch.setattr(driver, "failure_reason", lambda *_: "nobody knows why")
    store: Any = SimpleNamespace(round_documents=lambda _: [], state=lambda _: (state, None))
    workers: Any = SimpleNamespace(check=list)
    console = Console(file=StringIO())
    driver._watch(Campaign("Bi-Se"), store, None, workers, Settings(home=Path("/nowhere"), mongo_uri=None), console)
    assert list(left) == []


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


def test_which_elements_no_starting_compound_holds_is_told() -> None:
    shown = StringIO()
    for system in ("Fe-He-O", "Bi-Se"):
        driver._tell_what_is_missing(Campaign(system), Console(file=shown))
    assert shown.getvalue() == (
        "no starting compound holds He, of which no atomic radius is known; structures of your own that do, in a folder given with "
        "--seeds FOLDER, help\n"
    )


def test_the_stage_names_the_elements_whose_structures_are_tried_again() -> None:
    document = {"round": 0, "state": "open", "lacking": ["Pu"]}
    assert driver._stage([document], 3, Campaign("Pu-U")) == "more structures of Pu"
    assert driver._stage([{**document, "state": "closed"}], 0, Campaign("Pu-U")) == "seeds: learning"
