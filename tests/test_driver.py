"""The command that watches a campaign: when it takes it for ended, and what it says then."""

from __future__ import annotations

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
    monkeypatch.setattr(driver, "_why", lambda *_: "nobody knows why")
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
