"""Disks that take nothing: what is recorded all the same, and what is said."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launchpad.service.workers import WorkerError
from tests.faults.conftest import Undisturbed
from tests.faults.scene import Scene

pytestmark = pytest.mark.slow


def test_relaxations_are_recorded_though_the_workers_disk_is_full(scene: Scene, undisturbed: Undisturbed) -> None:
    scene.environment.setenv("FAULTS_FILE_BYTES", "1000")
    scene.run()
    assert scene.recorded() == undisturbed.recorded
    assert not list(scene.config.rglob("relaxation.json"))
    assert not list(scene.config.rglob(".relaxation.json*"))


@pytest.fixture
def make_unwritable(scene: Scene) -> Iterator[Callable[[], str]]:
    """A way to make the workers' folder refuse everything: a full tmpfs where one may mount it, else a file in its place."""
    launches = scene.config / "launches"
    launches.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=200,mode=700", "tmpfs", str(launches)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0

    def make() -> str:
        if mounted:
            with contextlib.suppress(OSError):
                for number in range(1000):
                    (launches / f"ballast-{number}").touch()
            return "No space left on device"
        launches.rename(launches.with_name("away"))
        launches.touch()
        return "Not a directory"

    yield make
    if mounted:
        subprocess.run(["umount", "-l", str(launches)], check=True)


def make_writable(launches: Path) -> None:
    """Undo `make_unwritable`."""
    if launches.is_file():
        launches.unlink()
        launches.with_name("away").rename(launches)
    for ballast in launches.glob("ballast-*"):
        ballast.unlink()


def test_a_worker_folder_that_takes_nothing_is_named_and_the_campaign_goes_on_later(
    scene: Scene, undisturbed: Undisturbed, make_unwritable: Callable[[], str]
) -> None:
    scene.environment.setenv("FAULTS_SECONDS", "0.3")
    said: list[str] = []

    def disturb() -> None:
        scene.wait_for_relaxations(2)
        said.append(make_unwritable())

    with pytest.raises(WorkerError, match="cannot be written to") as raised:
        scene.run(disturb)
    assert said[0] in str(raised.value)
    assert "\n" not in str(raised.value)
    make_writable(scene.config / "launches")
    scene.run()
    assert scene.recorded() == undisturbed.recorded
