"""The queries of docs/queries.md, run as they stand there on a small campaign."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from launchpad.database.hull_records import distortion_outcomes
from launchpad.database.queries import EXAMPLE, QUERIES, document, structure_filter
from tests.small_campaign import COPY

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.small_campaign import SmallCampaign

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "queries.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[1:]  # the first connects
SHELL = re.findall(r"```javascript\n(.*?)```", TEXT, re.DOTALL)
EMPTY = {"correction_driven", "element_driven", "references"}  # what the small campaign has none of


@pytest.fixture(scope="module")
def db(small_campaign: SmallCampaign) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](small_campaign.uri) as client:
        yield client.get_default_database()


@pytest.fixture(scope="module")
def values(small_campaign: SmallCampaign, db: Database[dict[str, Any]]) -> dict[str, Any]:
    copied = db["structures"].find_one({"structure_id": COPY})
    assert copied is not None
    mine = {"campaign_id": small_campaign.campaign.campaign_id, "structure_id": copied["duplicate_of"]}
    return {**EXAMPLE, **mine}


def test_the_document_is_what_the_queries_say() -> None:
    assert document() == TEXT
    assert len(PYTHON) == len(SHELL) == len(QUERIES)


@pytest.mark.parametrize(("name", "block"), zip(QUERIES, PYTHON, strict=True))
def test_python_blocks_run(
    name: str, block: str, db: Database[dict[str, Any]], values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for key, example in EXAMPLE.items():
        block = block.replace(json.dumps(example), json.dumps(values[key])) if isinstance(example, str) else block
    exec(compile(block, name, "exec"), {"db": db})  # noqa: S102 - the document's own
    printed = capsys.readouterr().out
    answers = [str(item) for item in QUERIES[name].run(db, **values)]
    assert printed.splitlines() == answers
    assert bool(answers) == (name not in EMPTY), name


@pytest.mark.parametrize(("name", "block"), zip(QUERIES, SHELL, strict=True))
def test_shell_blocks_ask_the_same(name: str, block: str, db: Database[dict[str, Any]], values: dict[str, Any]) -> None:
    for key, example in EXAMPLE.items():
        block = block.replace(json.dumps(example), json.dumps(values[key])) if isinstance(example, str) else block
    matched = re.match(r"db\.(\w+)\.(find|aggregate)\((.*)\)(?:\.sort\((.*)\))?\s*$", block, re.DOTALL)
    assert matched is not None, block
    collection, kind, arguments, order = matched.groups()
    if order is None and ").sort(" in arguments:
        arguments, order = arguments.split(").sort(")
    given = json.loads(f"[{arguments}]")
    found = getattr(db[collection], kind)(*given)
    if order:
        found = found.sort(list(json.loads(order).items()))
    assert list(found) == QUERIES[name].run(db, **values)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_uses_an_index(name: str, db: Database[dict[str, Any]], values: dict[str, Any]) -> None:
    plan = json.dumps(db.command("explain", QUERIES[name].command(values)), default=str)
    assert "COLLSCAN" not in plan
    assert "IXSCAN" in plan


def test_what_the_queries_answer(
    small_campaign: SmallCampaign, db: Database[dict[str, Any]], values: dict[str, Any]
) -> None:
    new = QUERIES["new_phases"].run(db, **values)
    assert new
    assert small_campaign.unstable not in {item["structure_id"] for item in new}
    assert [item["energy_above_hull"] for item in new] == sorted(item["energy_above_hull"] for item in new)
    (failed,) = QUERIES["failures"].run(db, **values)
    assert failed == {"_id": "unphysical", "structures": 1, "example": "told to fail"}
    progress = QUERIES["progress"].run(db, **values)
    assert [item["relaxed"] + item["failed"] for item in progress] == [item["submitted"] for item in progress]
    assert [item["failed"] for item in progress] == [1, 0, 0]
    best = QUERIES["best"].run(db, **values)
    assert len({item["_id"] for item in best}) == len(best)
    (phase,) = QUERIES["structure"].run(db, **{**values, "structure_id": new[0]["structure_id"]})
    models = QUERIES["models"].run(db, **{**values, "round_number": phase["round"]})
    assert phase["provenance"]["models"] == {item["name"]: item["sha256"] for item in models}
    assert phase["fw_ids"]["relaxation"] > 0
    learnt = QUERIES["learnt_from"].run(db, **{**values, "round_number": 1})
    assert {item["origin"] for item in learnt} == {"reference", "seed"}


def test_input_is_no_operator() -> None:
    with pytest.raises(TypeError, match=r"system must be a text or a number, got \{'\$ne': ''\}"):
        QUERIES["new_phases"].filled({**EXAMPLE, "system": {"$ne": ""}})
    with pytest.raises(ValueError, match="'Qq2' is no formula"):
        structure_filter([], formula="Qq2")
    where = structure_filter(
        ["a"], formula="Se6Bi4", within=0.1, state="$where", origin="seed", round_number=1, new=True
    )
    assert where["formula"] == "Bi2Se3"
    assert where["state"] == {"$eq": "$where"}


def test_distorted_phases_are_found_by_an_index(small_campaign: SmallCampaign, db: Database[dict[str, Any]]) -> None:
    where = {"campaign_id": small_campaign.campaign.campaign_id, "distortion": {"$exists": True}}
    plan = json.dumps(db.command("explain", {"find": "structures", "filter": where}), default=str)
    assert "campaign_id_1_distortion.state_1_partial" in plan
    reasons = distortion_outcomes(small_campaign.store.distorted(small_campaign.campaign.campaign_id))
    assert [name for name, reason in reasons.items() if reason] == [small_campaign.unstable]
