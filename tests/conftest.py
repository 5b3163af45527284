"""Fixtures that several test modules share: one real mongod a test session, and a database of its own for each test.

Also what a test run begins with and what `make test-fast` leaves out.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from ccdcgan_al.settings import Settings
from launchpad.service.mongod import ensure_mongo, stop_local_mongo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymatgen.core import Structure

    from tests.small_campaign import SmallCampaign

LONGEST = ("slurm/test_qlaunch.py", "launchpad/test_loop.py", "faults/test_training_killed.py")
"""Files that take minutes, longest first. A run begins with them, and with the other files that have slow tests, so that no
worker is left alone with one at the end (`--dist loadfile --no-loadscope-reorder`)."""


STARTS_MONGOD = {"mongo_uri", "ensure_mongo", "authenticated_mongod"}
TRAINS_NETWORKS = {"GraphGenerator", "FormationEnergyConstraint", "HullConstraint", "keras"}
STARTS_PROCESSES = {"subprocess"}
RUNS_ROUNDS = {"Loop"}
"""Fixtures of a test, and names in its module, that say that it needs a mongod, trains networks, starts processes or runs rounds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that are no units as `integration`; put the longest files first."""
    for item in items:
        names = {*getattr(item, "fixturenames", ()), *vars(getattr(item, "module", object))}
        if names & (STARTS_MONGOD | TRAINS_NETWORKS | STARTS_PROCESSES | RUNS_ROUNDS):
            item.add_marker(pytest.mark.integration)
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = "/".join(item.path.parts[-2:])
        return LONGEST.index(name) if name in LONGEST else len(LONGEST), item.path not in slow

    items.sort(key=place)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a home of their own and the local mongod, whatever the environment says."""
    return Settings(home=tmp_path_factory.mktemp("home"), mongo_uri=None, workers=1)


@pytest.fixture(scope="session")
def mongo_uri(settings: Settings) -> Iterator[str]:
    """URI of the session's mongod; the database is shared by the tests that use it."""
    yield ensure_mongo(settings)
    stop_local_mongo(settings)


@pytest.fixture
def fresh_mongo_uri(mongo_uri: str) -> Iterator[str]:
    """URI of an empty database on the session's mongod, dropped after the test."""
    import pymongo

    client: pymongo.MongoClient[dict[str, object]]
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield f"{mongo_uri.rsplit('/', 1)[0]}/{name}"
    with pymongo.MongoClient(mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def small_campaign(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCampaign]:
    """Database of a completed campaign, to be read by any test."""
    import pymongo

    from tests.small_campaign import small_campaign as run

    client: pymongo.MongoClient[dict[str, object]]
    name = f"small_{uuid.uuid4().hex[:12]}"
    folder = tmp_path_factory.mktemp("small") / "config"
    with run(f"{mongo_uri.rsplit('/', 1)[0]}/{name}", folder) as campaign:
        yield campaign
    with pymongo.MongoClient(mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def config_folder(tmp_path: Path, fresh_mongo_uri: str) -> Path:
    """Config folder of an empty database."""
    from fireworks.utilities.fw_serializers import SAVED_FW_MODULES

    from launchpad.service.configure import write_config

    # else FireWorks imports every module it has to find these, its own tests with marks of their own included
    SAVED_FW_MODULES.update(dict.fromkeys(("PyTask", "ScriptTask"), "fireworks.user_objects.firetasks.script_task"))
    return write_config(tmp_path / "config", fresh_mongo_uri)


@pytest.fixture(scope="session")
def tetradymite() -> Structure:
    """Bi2Se3, R-3m."""
    from pymatgen.core import Lattice, Structure

    # measured cell, Nakajima, J. Phys. Chem. Solids 24, 479 (1963): a = 4.143 Å, c = 28.636 Å
    return Structure.from_spacegroup(
        "R-3m",
        Lattice.hexagonal(4.143, 28.636),
        ["Bi", "Se", "Se"],
        [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]],
    )
