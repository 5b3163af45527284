"""Recorded VASP runs through `GuardedVaspRelaxMaker`: their inputs checked, their outputs read, their hull laid beside MP's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.hull.hull import Hull, build_hull
from ccdcgan_al.types import Candidate, Method
from launchpad.database.store import CampaignStore
from tests.vasp.conftest import Replay
from workflows.documents import read_relaxation, relax_to_document
from workflows.guards import RelaxationError
from workflows.vasp import GuardedVaspRelaxMaker

pytestmark = pytest.mark.shared_data

V_O = {"mp-146": "V", "mp-12957": "O2", "mp-18937": "V2O3", "mp-541404": "VO2"}


def si_stages(recorded: Path) -> dict[str, Path]:
    folder = recorded / "Si_mp_gga_relax"
    return {"relax_1": folder / "GGA_Relax_1", "relax_2": folder / "GGA_Relax_2", "static": folder / "GGA_Static"}


@pytest.fixture
def silicon(recorded: Path) -> Structure:
    return Structure.from_file(recorded / "Si_mp_gga_relax" / "GGA_Relax_1" / "inputs" / "POSCAR.gz")


@pytest.mark.parametrize(("static", "energy"), [(False, -5.42072828), (True, -5.42030461)])
def test_silicon(recorded: Path, replay: Replay, silicon: Structure, static: bool, energy: float) -> None:
    replay(si_stages(recorded))
    relaxed = GuardedVaspRelaxMaker(static=static).relax(silicon, "si")
    assert relaxed.energy_per_atom == pytest.approx(energy, abs=1e-8)
    calculator = "VASP MPRelaxSet, double relaxation" + (" and MPStaticSet" if static else "")
    assert relaxed.method == Method("vasp", calculator, "6", "PBE", "none")
    assert relaxed.structure.volume == pytest.approx(40.9167, abs=1e-3)
    assert (relaxed.converged, relaxed.n_steps, relaxed.max_force) == (True, 1, pytest.approx(0.0, abs=1e-6))
    assert relaxed.details["vasp_version"] == "6.3.2"
    assert relaxed.details["potcar"] == ["PAW_PBE Si 05Jan2001"]
    assert (relaxed.details["run_type"], relaxed.details["hubbards"]) == ("GGA", {})
    assert relaxed.details["incar_changes"] == {stage: {} for stage in relaxed.details["custodian"]}
    document = relax_to_document(silicon, "si", GuardedVaspRelaxMaker(static=static))
    assert document["details"]["mp2020_correction_per_atom"] == 0.0
    assert read_relaxation(json.loads(json.dumps(document, allow_nan=False))) == relaxed  # and nothing ran again


def test_a_finished_stage_is_not_computed_again(recorded: Path, replay: Replay, silicon: Structure) -> None:
    replay(si_stages(recorded))
    first = GuardedVaspRelaxMaker().relax(silicon, "si")
    replay(dict.fromkeys(si_stages(recorded), recorded / "none"))  # whatever runs now fails
    assert GuardedVaspRelaxMaker().relax(silicon, "si") == first
    with pytest.raises(RelaxationError, match="relax_1: "):
        GuardedVaspRelaxMaker().relax(silicon, "another")


def test_an_input_that_is_not_the_recorded_one_is_noticed(recorded: Path, replay: Replay, silicon: Structure) -> None:
    replay(si_stages(recorded))
    with pytest.raises(RelaxationError, match="POSCAR") as caught:
        GuardedVaspRelaxMaker().relax(silicon.copy().perturb(0.1), "si")
    assert caught.value.reason == "calculator_error"


def vanadium_oxides(recorded: Path) -> dict[str, dict[str, Path]]:
    folder = recorded / "mp_phase_diagram_tutorial"
    names = {"relax_1": "relax_1", "relax_2": "relax_2", "static": "static"}
    return {
        identifier: {stage: folder / f"MP_GGA_{name}_{identifier}.json.lzma" for stage, name in names.items()}
        for identifier in V_O
    }


def start_of(stages: dict[str, Path]) -> Structure:
    from monty.serialization import loadfn

    return Structure.from_str(loadfn(stages["relax_1"])["inputs"]["POSCAR"], fmt="poscar")


def hull_of(store: CampaignStore, campaign: Campaign, replay: Replay, recorded: Path) -> Hull:
    """Relax the four phases, record them in the database, and build the hull of what the database holds."""
    runs = vanadium_oxides(recorded)
    starts = {identifier: start_of(stages) for identifier, stages in runs.items()}
    store.add_campaign(campaign)
    candidates = [
        Candidate(identifier, start, "reference" if len(start.elements) == 1 else "seed", 0, identifier)
        for identifier, start in starts.items()
    ]
    store.submit(campaign.campaign_id, candidates, {})
    for identifier, stages in runs.items():
        replay(stages)
        document = relax_to_document(starts[identifier], identifier, GuardedVaspRelaxMaker(static=True))
        assert document["state"] == "relaxed", document["message"]
        store.record(campaign.campaign_id, [json.loads(json.dumps(document))])
    return build_hull(store.phases(campaign.campaign_id, 0), campaign.elements)


def mps_own(recorded: Path) -> dict[str, tuple[float, float]]:
    """Formation energy and energy above hull (eV/atom) of MP's static tasks, by pymatgen's MP2020 and phase diagram."""
    from monty.serialization import loadfn
    from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    documents = loadfn(recorded / "mp_phase_diagram_tutorial" / "MP-example-V-O-phase-diagram.json.gz")
    entries = []
    for identifier, tasks in documents.items():
        (found,) = [tasks[name] for name in tasks if name in ("GGA Static", "GGA+U Static")]
        entry = found.structure_entry
        entry.entry_id = identifier
        entries.append(entry)
    corrected = MaterialsProject2020Compatibility().process_entries(entries)
    diagram = PhaseDiagram(corrected)
    return {
        entry.entry_id: (diagram.get_form_energy_per_atom(entry), diagram.get_e_above_hull(entry))
        for entry in corrected
    }


@pytest.mark.slow
def test_the_vanadium_oxygen_hull_agrees_with_the_materials_project(
    recorded: Path, replay: Replay, fresh_mongo_uri: str
) -> None:
    campaign = Campaign("V-O", method="vasp")
    hull = hull_of(CampaignStore(fresh_mongo_uri), campaign, replay, recorded)
    expected = mps_own(recorded)
    assert len(hull.entries) == len(expected) == 4
    for entry in hull.entries:
        formation, above = expected[entry.structure_id]
        assert entry.formula == V_O[entry.structure_id]
        assert entry.corrected_formation_energy_per_atom == pytest.approx(formation, abs=1e-6)
        assert entry.corrected_energy_above_hull == pytest.approx(above, abs=1e-6)
    by_formula = {entry.formula: entry for entry in hull.entries}
    assert hull.element_references.scheme == "own"
    # what MP shows for V2O3 is -2.5 eV/atom; without corrections a PBE + U oxide against PBE vanadium is far from it
    assert by_formula["V2O3"].corrected_formation_energy_per_atom == pytest.approx(-2.5, abs=0.1)
    corrected = by_formula["V2O3"].corrected_formation_energy_per_atom
    assert corrected is not None
    assert by_formula["V2O3"].formation_energy_per_atom > corrected + 0.5


def test_run_parameters_are_kept_and_a_foreign_u_is_refused(recorded: Path, replay: Replay, vasp_runs: Path) -> None:
    stages = vanadium_oxides(recorded)["mp-541404"]
    start = start_of(stages)
    replay(stages)
    relaxed = GuardedVaspRelaxMaker().relax(start, "vo2")
    assert relaxed.details["run_type"] == "GGA+U"
    assert relaxed.details["hubbards"] == {"V": 3.25, "O": 0.0}
    assert relaxed.details["mp2020_correction_per_atom"] == pytest.approx((-1.7 - 2 * 0.687) / 3, abs=1e-3)
    (finished,) = vasp_runs.glob("vo2-*/relax_2/stage.json")
    told: dict[str, Any] = json.loads(finished.read_text())
    for change, message in (
        ({"hubbards": {"V": 3.1, "O": 0.0}}, "Invalid U value of 3.1"),
        ({"run_type": "r2SCAN"}, "invalid run type r2SCAN"),
        ({"potcar": ["PAW_PBE V 08Apr2002", "PAW_PBE O 08Apr2002"]}, "Incompatible POTCAR"),
        ({"incar_changes": {"ENCUT": [520, 400]}}, "relax_2: ENCUT 520 -> 400"),
    ):
        finished.write_text(json.dumps({**told, **change}))
        with pytest.raises(RelaxationError, match=message) as caught:
            GuardedVaspRelaxMaker().relax(start, "vo2")
        assert caught.value.reason == "inconsistent"
