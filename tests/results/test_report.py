"""The report, of a campaign that a formula relaxed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from launchpad.cli.campaign_options import Choices
from launchpad.cli.run import print_report, run_command
from launchpad.database.store import CampaignStore
from launchpad.results.report import CampaignReport

if TYPE_CHECKING:
    from tests.small_campaign import SmallCampaign


def test_what_does_not_return_is_refuted_and_not_new(small_campaign: SmallCampaign) -> None:
    report = CampaignReport(small_campaign.store, small_campaign.campaign.campaign_id).as_dict()
    assert report["state"] == "completed"
    (refuted,) = report["refuted"]
    assert refuted["structure_id"] == small_campaign.unstable
    assert refuted["problem"] == "slightly distorted it relaxes to an energy +20.0 meV/atom from its own"
    assert refuted["returns"] is False
    new = {entry["structure_id"]: entry["returns"] for entry in report["new_phases"]}
    assert new
    assert set(new.values()) == {True}
    assert set(new) <= {entry["structure_id"] for entry in report["candidates"]}
    assert small_campaign.unstable not in new


def test_what_rounds_changed_in_the_hull_is_told(small_campaign: SmallCampaign) -> None:
    report = CampaignReport(small_campaign.store, small_campaign.campaign.campaign_id).as_dict()
    first, *later = [item["hull_changes"] for item in report["rounds"]]
    assert first["largest_lowering"] is None
    assert {"Bi", "Se"} <= set(first["entered"].values())
    for changes in later:
        assert changes["entered"]
        assert changes["largest_lowering"] >= changes["mean_lowering"] > 0
        assert all(name.startswith("Bi-Se-r") for name in {**changes["entered"], **changes["pushed_off"]})


def test_a_distorted_phase_is_an_attempt_of_its_own(small_campaign: SmallCampaign) -> None:
    document = small_campaign.store.structures.find_one({"structure_id": small_campaign.unstable})
    assert document is not None
    assert [attempt["kind"] for attempt in document["attempts"]][:2] == ["relaxation", "distortion"]
    assert document["distortion"]["energy_per_atom"] == pytest.approx(document["relaxation"]["energy_per_atom"] + 0.02)


def test_what_is_refuted_is_printed(small_campaign: SmallCampaign) -> None:
    out = io.StringIO()
    print_report(
        CampaignReport(small_campaign.store, small_campaign.campaign.campaign_id), Console(file=out, width=200)
    )
    assert f"Refuted: {small_campaign.unstable} (Bi7Se): slightly distorted" in out.getvalue()


def test_a_candidate_that_the_confirming_method_cannot_relax_is_told(
    small_campaign: SmallCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, campaign_id = small_campaign.store, small_campaign.campaign.campaign_id
    names = [entry.structure_id for entry in CampaignReport(store, campaign_id).candidates]
    reasons = dict(zip(names, ("unphysical", "calculator_error"), strict=False))
    failed = [{"structure_id": name, "confirmation": {"reason": reason}} for name, reason in reasons.items()]
    monkeypatch.setattr(CampaignStore, "not_confirmed", lambda *_: failed)
    report, out = CampaignReport(store, campaign_id), io.StringIO()
    found = {entry["structure_id"]: entry for entry in report.as_dict()["candidates"]}
    first, second = (found[name] for name in names[:2])
    assert first["confirmed"]["problem"] == "does not relax: unphysical"
    assert first["confirmed"]["energy_above_hull_ev_per_atom"] is None
    assert "problem" not in second["confirmed"]  # the machine's failure tells nothing of the phase
    print_report(report, Console(file=out, width=200))
    flagged = {line.split()[0] for line in out.getvalue().splitlines() if line.rstrip().endswith("fails if confirmed")}
    assert flagged == {names[0]}


def test_files_of_the_user_are_left_alone(small_campaign: SmallCampaign, tmp_path: Path) -> None:
    own = {"Bi2Se3.cif", "new-layers.cif", "candidate-7.cif", "POSCAR"}
    stale = "candidate-Bi-Se-r9-0007-Mn(Bi2Se3)2.cif"
    (tmp_path / "structures").mkdir()
    for name in (*own, stale):
        (tmp_path / "structures" / name).write_text("own")
    report = CampaignReport(small_campaign.store, small_campaign.campaign.campaign_id)
    folder = report.write(tmp_path)["structures"]
    names = {file.name for file in folder.iterdir()}
    assert len(names - own) == len(report.candidates) > 0
    assert all((folder / name).read_text() == "own" for name in own)
    assert stale not in names


@pytest.mark.parametrize("named", [True, False])
def test_only_a_run_on_the_local_database_says_that_it_stays_up(
    small_campaign: SmallCampaign,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: bool,
) -> None:
    monkeypatch.delenv("CCDCGAN_AL_MONGO_URI", raising=False)
    report = CampaignReport(small_campaign.store, small_campaign.campaign.campaign_id)
    monkeypatch.setattr("launchpad.cli.run.run_campaign", lambda *_: (report, small_campaign.config))
    choices = Choices({"chemical_system": "Bi-Se", "method": "sevennet", "strategy": "random"})
    assert run_command(choices, small_campaign.uri if named else None, tmp_path, None, as_json=False) == 0
    said = capsys.readouterr().out
    assert f"LaunchPad: lpad -c {small_campaign.config} get_wflows" in said
    assert ("The local MongoDB stays up" in said) is not named
