"""Scenes for the fault tests, and what the same campaign records undisturbed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al import loop
from ccdcgan_al.seeds.choose import Seed
from launchpad.service import recovery
from tests.faults.scene import Recorded, Scene, drop
from tests.faults.stand_in import METHOD
from workflows.potentials import POTENTIALS, Potential


@dataclass(frozen=True)
class Undisturbed:
    """What a campaign that nobody disturbed has recorded."""

    report: dict[str, Any]
    recorded: Recorded
    counts: list[dict[str, Any]]
    relaxed: list[str]


def few_seeds(*_: Any) -> list[Seed]:
    """Return eight starting structures without comparing all prototypes, which takes ten seconds."""
    cubic, cell = Lattice.cubic, Structure.from_spacegroup
    phases = [
        ("Bi", cell("Im-3m", cubic(3.8), ["Bi"], [[0, 0, 0]])),
        ("Se", cell("Pm-3m", cubic(3.0), ["Se"], [[0, 0, 0]])),
        ("rock salt", cell("Fm-3m", cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])),
        ("CsCl", cell("Pm-3m", cubic(3.6), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])),
        ("zinc blende", cell("F-43m", cubic(6.3), ["Bi", "Se"], [[0, 0, 0], [0.25, 0.25, 0.25]])),
        ("fluorite", cell("Fm-3m", cubic(6.5), ["Bi", "Se"], [[0, 0, 0], [0.25, 0.25, 0.25]])),
        ("antifluorite", cell("Fm-3m", cubic(6.5), ["Se", "Bi"], [[0, 0, 0], [0.25, 0.25, 0.25]])),
        ("Cu3Au", cell("Pm-3m", cubic(4.4), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0]])),
    ]
    return [
        Seed(found.get_primitive_structure(), name, found.reduced_formula, "reference" if len(name) == 2 else "seed")
        for name, found in phases
    ]


@pytest.fixture(autouse=True, scope="package")
def _quick() -> Iterator[None]:
    """Begin without choosing the same seeds again; take a lock for stale, and a checkout for torn, earlier than in earnest."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(POTENTIALS, METHOD, Potential(METHOD, "stand-in of the fault tests", "ase", "ase"))
        monkeypatch.setattr(loop, "choose_seeds", few_seeds)
        monkeypatch.setattr(recovery, "LOCK_SECONDS", 8.0)
        monkeypatch.setattr(recovery, "TORN_SECONDS", 8.0)
        yield


@pytest.fixture
def scene(mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Scene on the session's mongod."""
    uri = f"{mongo_uri.rsplit('/', 1)[0]}/faults_{uuid.uuid4().hex[:12]}"
    yield Scene(tmp_path, uri, monkeypatch)
    drop(uri)


@pytest.fixture(scope="package")
def undisturbed(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The campaign of the fault tests, left alone."""
    uri = f"{mongo_uri.rsplit('/', 1)[0]}/faults_{uuid.uuid4().hex[:12]}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        scene = Scene(tmp_path_factory.mktemp("undisturbed"), uri, monkeypatch)
        report = scene.run()
        result = Undisturbed(report, scene.recorded(), scene.counts(), scene.relaxed())
    drop(uri)
    return result
