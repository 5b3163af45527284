"""A campaign is its choices: the same choices are the same campaign, and bad ones are refused at birth."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import ChemicalSystemError
from ccdcgan_al.strategies.registry import STRATEGIES

BISE = Campaign("Bi-Se", own_seeds={"b.cif": "B", "a.cif": "A"}, withheld=("data_x",))


def test_defaults_are_the_issues() -> None:
    campaign = Campaign("Bi-Se")
    assert (campaign.method, campaign.strategy, campaign.rounds) == ("sevennet-l3i5", "ccdcgan", 2)
    assert (campaign.per_round, campaign.seed_count) == (24, 64)
    assert Campaign("Co-Li-O").elements == ("Co", "Li", "O")


def test_another_method_confirms() -> None:
    for method in ("sevennet", "chgnet", "sevennet-l3i5"):
        assert Campaign("Bi-Se", method=method).confirming_method != method


def test_identity() -> None:
    assert BISE.campaign_id.startswith("Bi-Se-ccdcgan-0-")
    assert BISE.campaign_id == replace(BISE, own_seeds={"a.cif": "A", "b.cif": "B"}).campaign_id


@pytest.mark.parametrize(
    "change",
    [
        {"chemical_system": "Mn-Se"},
        {"method": "chgnet"},
        {"strategy": "dcgan"},
        {"seed": 1},
        {"rounds": 3},
        {"per_round": 25},
        {"seed_count": 65},
        {"generated_per_round": 999},
        {"own_seeds": {"a.cif": "A"}},
        {"withheld": ()},
        {"budget": 500},
        {"patience": 3},
        {"codec": "paper"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_choice_is_part_of_the_identity(change: dict[str, Any]) -> None:
    assert replace(BISE, **change).campaign_id != BISE.campaign_id


def test_document_round_trip() -> None:
    for campaign in (BISE, Campaign("Mn-Se", strategy="random", seed=7, budget=200, patience=3, codec="paper")):
        back = Campaign.from_dict(json.loads(json.dumps(campaign.as_dict())))
        assert back == campaign
        assert back.campaign_id == campaign.campaign_id


def test_a_document_from_before_the_choice_of_a_codec_has_the_codec_of_then() -> None:
    document = Campaign("Bi-Se").as_dict()
    del document["codec"]
    assert Campaign.from_dict(document) == Campaign("Bi-Se", codec="fast")


def test_it_ends_after_its_rounds() -> None:
    assert [BISE.ending([64] + [24] * k, [0] * (k + 1)) for k in range(3)] == [None, None, "2 rounds done"]
    assert replace(BISE, rounds=0).ending([64], [0]) == "0 rounds done"


def test_it_ends_where_its_budget_is_spent() -> None:
    campaign = replace(BISE, rounds=9, budget=100)
    assert [campaign.round_size(spent) for spent in (64, 88, 100)] == [24, 12, 0]
    assert campaign.ending([64, 24], [0, 0]) is None
    assert campaign.ending([64, 24, 12], [0, 0, 0]) == "the budget of 100 relaxations is spent"
    assert BISE.round_size(10**6) == BISE.per_round


def test_it_ends_where_no_new_phase_came_for_so_many_rounds() -> None:
    campaign = replace(BISE, rounds=9, patience=2)
    assert campaign.ending([64, 24], [0, 0]) is None  # the seeds are no round that could have found one
    assert campaign.ending([64, 24, 24], [0, 0, 0]) == "no new phase on the hull in 2 rounds"
    assert campaign.ending([64, 24, 24, 24], [0, 1, 0, 0]) == "no new phase on the hull in 2 rounds"
    assert campaign.ending([64, 24, 24, 24], [0, 0, 1, 0]) is None


def test_choices_that_are_not_made_leave_the_identity_as_it_was() -> None:
    assert (
        Campaign("Bi-Se", method="sevennet").campaign_id == "Bi-Se-ccdcgan-0-c1e8ce94"
    )  # the default until November 2026
    assert Campaign("Bi-Se").campaign_id == "Bi-Se-ccdcgan-0-40a5e501"


def test_round_seeds() -> None:
    seeds = {BISE.round_seed(k, purpose) for k in range(20) for purpose in ("train", "draw")}
    assert len(seeds) == 40
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert BISE.round_seed(1, "draw") == replace(BISE, rounds=9).round_seed(1, "draw")
    assert BISE.round_seed(1, "draw") != replace(BISE, seed=1).round_seed(1, "draw")
    assert replace(BISE, seed=1).round_seed(11, "draw") != replace(BISE, seed=11).round_seed(1, "draw")


def test_identity_and_seeds_do_not_depend_on_the_process() -> None:
    code = (
        "from ccdcgan_al.campaign import Campaign as C; c = C('Bi-Se'); print(c.campaign_id, c.round_seed(1, 'draw'))"
    )
    here = f"{Campaign('Bi-Se').campaign_id} {Campaign('Bi-Se').round_seed(1, 'draw')}"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == here
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": "zip"}, "unknown codec 'zip': use one of fast, paper"),
        ({"strategy": "magic"}, f"unknown strategy 'magic': use one of {', '.join(STRATEGIES)}"),
        ({"rounds": -1}, "rounds must be at least 0, got -1"),
        ({"per_round": 0}, "per_round must be at least 1, got 0"),
        ({"seed_count": 0}, "seed_count must be at least 1, got 0"),
        ({"generated_per_round": 0}, "generated_per_round must be at least 1, got 0"),
        ({"budget": 63}, "a budget of 63 relaxations is too small for 64 seeds: increase it, or reduce seed_count"),
        ({"patience": 0}, "patience must be at least 1 round, got 0"),
    ],
)
def test_bad_choices(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(BISE, **change)


def test_a_budget_that_own_structures_exceed_is_refused() -> None:
    own = {f"{number}.cif": "{}" for number in range(60)}
    said = "a budget of 67 relaxations is too small for 60 own structures and 8 structures of the elements: increase it, or give fewer"
    with pytest.raises(ValueError, match=said):
        Campaign("Bi-Se", budget=67, own_seeds=own)
    assert Campaign("Bi-Se", budget=68, own_seeds=own).budget == 68
    assert Campaign("Bi-Se", own_seeds=own).budget is None


@pytest.mark.parametrize("system", ["Bi", "Se-Bi", "Bi-Xx", "Bi-Bi", ""])
def test_bad_chemical_systems(system: str) -> None:
    with pytest.raises(ChemicalSystemError, match="chemical system"):
        Campaign(system)


def test_a_campaign_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        BISE.seed = 3  # type: ignore[misc]
