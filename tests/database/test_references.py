"""Reference entries in the database, in a hull, and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from monty.serialization import loadfn
from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from typer.testing import CliRunner

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import HullError, MixedMethodsError, StructureInputError
from ccdcgan_al.hull.hull import build_hull
from ccdcgan_al.hull.novelty import new_phases
from ccdcgan_al.seeds.files import read_structures
from ccdcgan_al.types import Candidate, Method, Phase, Relaxed
from launchpad.cli.main import app
from launchpad.database.references import (
    FILE,
    MATERIALS_PROJECT,
    campaign_phases,
    plain,
    read_entries,
    reference_counts,
    reference_phases,
    save_entries,
)
from launchpad.database.store import CampaignStore
from launchpad.service.configure import open_launchpad
from tests.hull.test_hull import SHARED, bi2se3, bismuth, rocksalt, selenium
from tests.materials_project_server import KEY, PHASES, Server, entry, materials_project_server
from workflows.documents import relaxation_document

VASP = Method("vasp", "VASP MPRelaxSet, double relaxation", "6")


@pytest.fixture
def store(fresh_mongo_uri: str) -> CampaignStore:
    return CampaignStore(fresh_mongo_uri)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with materials_project_server() as running:
        monkeypatch.setenv("MP_API_ENDPOINT", running.endpoint)
        monkeypatch.setenv("MP_API_KEY", KEY)
        yield running


def save(store: CampaignStore, names: list[str], version: str = "1", run_type: str = "GGA") -> int:
    entries = [entry(name, run_type) for name in names]
    systems = ["Bi", "Se", "Bi-Se"]
    return save_entries(
        store, entries, MATERIALS_PROJECT, thermo_type=run_type, database_version=version, systems=systems
    )


def test_entries_are_stored_once_and_a_newer_version_supersedes(store: CampaignStore) -> None:
    assert save(store, list(PHASES)) == 4
    assert save(store, list(PHASES)) == 0
    assert save(store, ["mp-1", "mp-2", "mp-3"], version="2") == 0
    assert save(store, ["mp-1", "mp-2"], run_type="r2SCAN") == 2
    states = {document["entry_id"]: document["state"] for document in store.references.find()}
    assert states["mp-4-GGA"] == "superseded"
    assert states["mp-3-GGA"] == states["mp-1-r2SCAN"] == "current"
    rows = [(row["chemical_system"], row["functional"], row["database_version"]) for row in reference_counts(store)]
    assert rows == [
        ("Bi", "PBE", "2"),
        ("Bi", "r2SCAN", "1"),
        ("Bi-Se", "PBE", "2"),
        ("Se", "PBE", "2"),
        ("Se", "r2SCAN", "1"),
    ]
    found = store.references.find_one({"entry_id": "mp-3-GGA"})
    assert found is not None
    assert found["entry"]["parameters"]["run_type"] == "GGA"
    assert found["entry"]["energy_adjustments"][0]["value"] < 0


def test_a_vasp_hull_holds_the_references_of_its_functional_uncorrected(store: CampaignStore) -> None:
    save(store, list(PHASES))
    save(store, list(PHASES), run_type="r2SCAN")
    phases = reference_phases(store, ("Bi", "Se"), VASP)
    assert [phase.structure_id for phase in phases] == ["mp-1-GGA", "mp-2-GGA", "mp-3-GGA", "mp-4-GGA"]
    hull = build_hull(phases, ("Bi", "Se"))
    entries = {item.structure_id: item for item in hull.entries}
    assert entries["mp-3-GGA"].formation_energy_per_atom == pytest.approx(-4.05 + 0.4 * 3.9 + 0.6 * 3.5)
    assert entries["mp-3-GGA"].corrected_formation_energy_per_atom == pytest.approx(-0.39 - 0.6 * 0.472)
    assert {item.origin for item in hull.entries} == {"reference"}
    # what the loop finds again is no discovery
    found = Phase("found", bi2se3(), -4.051, VASP, "generated", 1)
    assert new_phases(build_hull([*phases, found], ("Bi", "Se")), []) == []
    r2scan = reference_phases(store, ("Bi", "Se"), replace(VASP, functional="r2SCAN"))
    assert next(phase.structure_id for phase in r2scan) == "mp-1-r2SCAN"
    with pytest.raises(HullError, match="no phase of the element Bi"):
        build_hull(reference_phases(store, ("Se",), VASP), ("Bi", "Se"))


def test_a_potential_refuses_them(store: CampaignStore) -> None:
    save(store, list(PHASES))
    with pytest.raises(MixedMethodsError, match=r"stored references are VASP energies.*SevenNet 7net-0"):
        reference_phases(store, ("Bi", "Se"), Method("sevennet", "SevenNet 7net-0", "0.13.0"))


@pytest.mark.parametrize(("method", "count"), [("vasp", 5), ("sevennet", 1)])
def test_a_campaign_takes_those_of_its_method(store: CampaignStore, method: str, count: int) -> None:
    save(store, list(PHASES))
    campaign = Campaign("Bi-Se", method=method)
    store.add_campaign(campaign)
    store.submit(campaign.campaign_id, [Candidate("own", rocksalt(), "seed", 0, "rock salt")], {})
    relaxed = Relaxed(rocksalt(), -3.8, replace(VASP, name=method), 1, 0.0, converged=True)
    store.record(campaign.campaign_id, [relaxation_document("own", relaxed)])
    phases = campaign_phases(store, campaign, 0)
    assert len(phases) == count
    if method == "vasp":
        assert build_hull(phases, campaign.elements).method == relaxed.method


def test_a_reference_that_is_withheld_is_in_no_hull_and_teaches_nothing(store: CampaignStore) -> None:
    save(store, list(PHASES))
    campaign = Campaign("Bi-Se", method="vasp", withheld=(str(bi2se3().scale_lattice(400).to_json()),))
    store.add_campaign(campaign)
    store.submit(campaign.campaign_id, [Candidate("own", rocksalt(), "seed", 0, "rock salt")], {})
    store.record(campaign.campaign_id, [relaxation_document("own", Relaxed(rocksalt(), -3.8, VASP, 1, 0.0, True))])
    phases = campaign_phases(store, campaign, 0)
    assert "mp-1-GGA" in {phase.structure_id for phase in phases}
    assert not any(phase.structure.matches(bi2se3()) for phase in phases)


def test_the_entries_of_an_earlier_campaign_may_be_references(store: CampaignStore) -> None:
    again = ComputedStructureEntry.from_dict({**entry("mp-3").as_dict(), "entry_id": "Bi-Se-r0-0000"})
    save(store, ["mp-1", "mp-2"])
    save_entries(store, [again], FILE)
    campaign = Campaign("Bi-Se", method="vasp")
    store.add_campaign(campaign)
    store.submit(campaign.campaign_id, [Candidate("Bi-Se-r0-0000", rocksalt(), "seed", 0, "rock salt")], {})
    relaxed = Relaxed(rocksalt(), -3.8, VASP, 1, 0.0, converged=True)
    store.record(campaign.campaign_id, [relaxation_document("Bi-Se-r0-0000", relaxed)])
    hull = build_hull(campaign_phases(store, campaign, 0), campaign.elements)
    assert {"Bi-Se-r0-0000", "stored-Bi-Se-r0-0000"} <= {item.structure_id for item in hull.entries}


def test_entries_are_read_from_a_file(store: CampaignStore, tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text(json.dumps([plain(entry(name)) for name in PHASES if name != "mp-4"]))
    assert save_entries(store, read_entries(good), FILE) == 3
    assert len(reference_phases(store, ("Bi", "Se"), VASP)) == 3
    save(store, list(PHASES))
    assert len(reference_phases(store, ("Bi", "Se"), VASP)) == 4  # the same entries from two places count once


def vanadium_oxide(run_type: str = "GGA+U", **parameters: object) -> ComputedStructureEntry:
    """VO in rock salt with an invented energy, as the Materials Project would compute it but for `parameters`."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    known = {
        "run_type": run_type,
        "hubbards": {"V": 3.25, "O": 0.0},
        "potcar_symbols": ["PAW_PBE V_pv 07Sep2000", "PAW_PBE O 08Apr2002"],
    }
    return ComputedStructureEntry(structure, -8.0 * 8, parameters={**known, **parameters}, entry_id="own-VO")


def test_an_entry_of_other_u_values_or_potcars_is_refused(store: CampaignStore) -> None:
    foreign: list[tuple[str, dict[str, object], str]] = [
        (
            "GGA",
            {"hubbards": {}, "potcar_symbols": ["PAW_PBE V 08Apr2002", "PAW_PBE O 08Apr2002"]},
            "GGA, U none, POTCARs V, O",
        ),
        ("GGA", {"hubbards": {}}, "GGA, U none, POTCARs V_pv, O"),
        ("GGA+U", {"hubbards": {"V": 3.1}}, r"GGA\+U, U V 3.1, POTCARs V_pv, O"),
        ("GGA+U", {"potcar_symbols": ["V", "O"]}, r"GGA\+U, U V 3.25, POTCARs V, O"),
        ("GGA+U", {"potcar_symbols": None}, r"GGA\+U, U V 3.25, POTCARs none"),
    ]
    for run_type, parameters, came in foreign:
        wanted = r"wanted run type GGA\+U, U V 3.25, POTCARs V_pv, O"
        with pytest.raises(StructureInputError, match=rf"entry own-VO \(VO\) .* run type {came}; {wanted}") as caught:
            save_entries(store, [vanadium_oxide(), vanadium_oxide(run_type, **parameters)], FILE)
        assert "\n" not in str(caught.value)
    with pytest.raises(StructureInputError, match=r"own-VO has the hubbards \[3.25\]; wanted U"):
        save_entries(store, [vanadium_oxide(hubbards=[3.25])], FILE)
    with pytest.raises(StructureInputError, match=r"own-VO has the potcar_spec .*; wanted a list of"):
        save_entries(store, [vanadium_oxide(potcar_spec=["V_pv"])], FILE)
    with pytest.raises(StructureInputError, match="U none, POTCARs none; wanted"):  # whoever says that it is from there
        save_entries(store, [vanadium_oxide("GGA", hubbards={}, potcar_symbols=None)], MATERIALS_PROJECT)
    assert store.references.count_documents({}) == 0


def test_an_entry_that_fits_gets_its_correction_by_its_own_parameters(store: CampaignStore) -> None:
    assert save_entries(store, [vanadium_oxide("PBE+U", potcar_symbols=["V_pv", "O"])], FILE) == 1
    assert save_entries(store, [vanadium_oxide(potcar_symbols=None)], MATERIALS_PROJECT) == 1
    (phase,) = reference_phases(store, ("O", "V"), VASP)
    assert phase.energy_per_atom == pytest.approx(-8.0)
    assert phase.correction_per_atom == pytest.approx((-1.7 - 0.687) / 2, abs=1e-3)  # MP2020's V (+ U) and oxide


def test_an_entry_that_was_stored_unchecked_is_kept_out_of_the_hull(store: CampaignStore) -> None:
    save_entries(store, [vanadium_oxide()], FILE)
    store.references.update_one({}, {"$set": {"entry.parameters.hubbards": {}}})
    said = r"stored entry own-VO .*U none.*; db.references.deleteOne\({key: \"file/PBE\+U/own-VO\"}\) in mongosh removes it"
    with pytest.raises(HullError, match=said):
        reference_phases(store, ("O", "V"), VASP)


def plain_entry(name: str, structure: Structure, energy: float = -4.0) -> ComputedStructureEntry:
    """An entry of a file with invented energy (eV/atom)."""
    titles = [f"PAW_PBE {element.symbol} 08Apr2002" for element in structure.composition.element_composition]
    parameters = {"run_type": "GGA", "hubbards": {}, "potcar_symbols": titles}
    return ComputedStructureEntry(structure, energy * len(structure), parameters=parameters, entry_id=name)


def caesium_chloride(*symbols: str) -> Structure:
    return Structure(Lattice.cubic(3.7), symbols, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_two_phases_with_one_name_are_refused_and_the_same_entry_again_is_not(store: CampaignStore) -> None:
    one, other = plain_entry("BiSe", caesium_chloride("Bi", "Se")), plain_entry("BiSe", rocksalt(), -4.1)
    said = (
        r"entry BiSe \(BiSe, 2 sites, -4 eV/atom\) and entry BiSe \(BiSe, 8 sites, -4.1 eV/atom\) are different phases"
    )
    with pytest.raises(StructureInputError, match=said):
        save_entries(store, [one, other], FILE)
    assert store.references.count_documents({}) == 0
    assert save_entries(store, [one, one.copy()], FILE) == 1
    assert save_entries(store, [one], FILE) == 0
    supercell = plain_entry("BiSe", caesium_chloride("Bi", "Se") * (2, 1, 1))
    assert save_entries(store, [supercell], FILE) == 0  # the same phase in another cell
    for changed in (other, plain_entry("BiSe", one.structure, -4.001)):
        with pytest.raises(
            StructureInputError, match=r"has the entry_id of another phase that is stored, entry BiSe"
        ) as caught:
            save_entries(store, [changed], FILE)
        assert 'deleteOne({key: "file/PBE/BiSe"})' in str(caught.value)
        assert "\n" not in str(caught.value)
    assert save_entries(store, [plain_entry("BiSe-2", rocksalt(), -4.1)], FILE) == 1


def test_a_files_entry_does_not_hide_another_phase_of_that_name(store: CampaignStore) -> None:
    save(store, ["mp-1", "mp-2", "mp-3"])
    save_entries(store, [plain_entry("mp-3-GGA", caesium_chloride("Bi", "Se"))], FILE)
    names = {
        phase.structure_id: phase.structure.composition.reduced_formula
        for phase in reference_phases(store, ("Bi", "Se"), VASP)
    }
    assert names["mp-3-GGA"] == "BiSe"
    assert names["mp-3-GGA-materials_project"] == "Bi2Se3"


def test_energies_that_are_not_finite_and_disorder_are_refused(store: CampaignStore, tmp_path: Path) -> None:
    mixed = Structure(Lattice.cubic(3.7), [{"Bi": 0.5, "Se": 0.5}], [[0, 0, 0]])
    nowhere = Structure(Lattice.cubic(3.7), ["Bi"], [[0, 0, float("nan")]])
    for entry_, said in (
        (plain_entry("a", caesium_chloride("Bi", "Se"), float("nan")), r"entry a \(BiSe.*not finite"),
        (plain_entry("b", caesium_chloride("Bi", "Se"), float("inf")), r"entry b \(BiSe.*not finite"),
        (plain_entry("c", mixed), r"entry c .*disordered"),
        (plain_entry("d", nowhere), r"entry d .*coordinates that are not finite"),
    ):
        with pytest.raises(StructureInputError, match=said):
            save_entries(store, [plain_entry("good", rocksalt()), entry_], FILE)
    assert store.references.count_documents({}) == 0
    (tmp_path / "nan.json").write_text(json.dumps([plain(plain_entry("a", rocksalt(), float("nan")))]))
    with pytest.raises(StructureInputError, match=r"nan\.json: entry a .*not finite; wanted eV"):
        read_entries(tmp_path / "nan.json")


def test_oxidation_states_change_no_hull(store: CampaignStore) -> None:
    decorated = caesium_chloride("Bi2+", "Se2-")
    save_entries(store, [plain_entry("Bi", bismuth(), -3.9), plain_entry("Se", selenium(), -3.5)], FILE)
    save_entries(store, [plain_entry("d", decorated)], FILE)
    phases = reference_phases(store, ("Bi", "Se"), VASP)
    assert {document["chemical_system"] for document in store.references.find()} == {"Bi", "Se", "Bi-Se"}
    without = [replace(phase, structure=phase.structure.copy().remove_oxidation_states()) for phase in phases]
    assert build_hull(phases, ("Bi", "Se")).entries == build_hull(without, ("Bi", "Se")).entries
    assert all(site.specie.symbol == str(site.specie) for phase in phases for site in phase.structure)


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_the_shared_files_of_entries(store: CampaignStore) -> None:
    inputs = SHARED / "inputs"
    for name, said in {
        "sameid.json": r"entry BiSe \(BiSe, 2 sites, -4 eV/atom\) and entry BiSe \(BiSe, 8 sites, -4.1 eV/atom\) are different phases",
        "sameid2.json": r"entry relax \(Bi, .*\) and entry relax \(Se, .*\) are different phases with one entry_id",
        "nan.json": r"entry nan1 \(BiSe, .*\) has an energy that is not finite",
    }.items():
        with pytest.raises(StructureInputError, match=f"{name}: {said}"):
            read_entries(inputs / name)
    assert save_entries(store, read_entries(inputs / "decorated.json"), FILE) == 3
    hull = build_hull(reference_phases(store, ("Bi", "Se"), VASP), ("Bi", "Se"))
    bise = next(item for item in hull.entries if item.structure_id == "d3")
    assert (bise.formula, bise.formation_energy_per_atom) == ("BiSe", pytest.approx(-8.0 / 2 + (3.9 + 3.5) / 2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "wanted a list of entries, got list, empty"),
        ('{"a": 1}', "wanted a list of entries, got NoneType"),
        ('[{"energy": 1}]', "entry 0 is no ComputedStructureEntry"),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path: Path, text: str, said: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    with pytest.raises(StructureInputError, match=f"bad.json: {said}"):
        read_entries(bad)
    with pytest.raises(StructureInputError, match="no such file"):
        read_entries(tmp_path / "absent.json")
    foreign = plain(entry("mp-1"))
    foreign["parameters"]["run_type"] = "SCAN"
    bad.write_text(json.dumps([foreign]))
    with pytest.raises(StructureInputError, match=r"mp-1-GGA \(Bi\) has the run type SCAN; wanted"):
        read_entries(bad)


def test_the_commands_fetch_list_and_write(server: Server, config_folder: Path, tmp_path: Path) -> None:
    open_launchpad(config_folder)
    where = ["-c", str(config_folder)]

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(arguments))
        return done.exit_code, done.output

    status, said = run("references", "fetch", "Bi-Se", *where)
    assert (status, said.split(";")[0]) == (0, "Bi-Se: 4 entries of GGA_GGA+U, version 2025.09.25, 4 new")
    status, said = run("references", "list", *where)
    assert status == 0
    assert "materials_project" in said
    assert {path for path, _ in server.asked} == {"heartbeat", "materials/thermo"}
    status, said = run("seeds", "fetch", "Bi-Se", "--out", str(tmp_path / "seeds"))
    assert (status, "4 structures" in said or "left out" in said) == (0, True)
    assert (
        len(read_structures(tmp_path / "seeds", ("Bi", "Se")).or_stop())
        == len(list((tmp_path / "seeds").glob("*.cif")))
        >= 3
    )
    for arguments in (("references", "fetch", "Bi-Xx", *where), ("references", "import", "absent.json", *where)):
        status, said = run(*arguments)
        assert (status, "error:" in said, said.count("\n")) == (1, True, 1)


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_the_materials_projects_own_hull_comes_back(store: CampaignStore) -> None:
    documents = loadfn(SHARED / "vasp" / "mp_phase_diagram_tutorial" / "MP-example-V-O-phase-diagram.json.gz")
    entries = []
    for name, tasks in documents.items():
        (task,) = [tasks[kind] for kind in tasks if kind in ("GGA Static", "GGA+U Static")]
        found = task.structure_entry
        found.entry_id = name
        entries.append(found)
    save_entries(store, entries, FILE)
    stored = {document["entry_id"]: document["functional"] for document in store.references.find()}
    assert stored["mp-18937"] == "PBE+U"
    assert stored["mp-12957"] == "PBE"
    hull = build_hull(reference_phases(store, ("O", "V"), VASP), ("O", "V"))
    corrected = MaterialsProject2020Compatibility().process_entries(entries)
    diagram = PhaseDiagram(corrected)
    for mine in hull.entries:
        theirs = next(item for item in corrected if item.entry_id == mine.structure_id)
        assert mine.corrected_formation_energy_per_atom == pytest.approx(
            diagram.get_form_energy_per_atom(theirs), abs=1e-6
        )
        assert mine.corrected_energy_above_hull == pytest.approx(diagram.get_e_above_hull(theirs), abs=1e-6)
