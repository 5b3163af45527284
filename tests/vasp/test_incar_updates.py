"""What this machine's atomate2 settings may not change: nothing is begun, and nothing that was begun is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from atomate2 import SETTINGS
from pymatgen.core import Lattice, Structure

from ccdcgan_al.settings import Settings
from workflows import vasp_stage
from workflows.guards import RelaxationError
from workflows.vasp import GuardedVaspRelaxMaker
from workflows.vasp_stage import finish

CUAU = Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_a_worker_whose_settings_change_the_energy_scale_begins_nothing(
    vasp_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SETTINGS, "VASP_INCAR_UPDATES", {"NCORE": 4, "ENCUT": 400})
    with pytest.raises(RelaxationError, match=r"relax_1 was not begun: .* set ENCUT = 400, which decides") as caught:
        GuardedVaspRelaxMaker().relax(CUAU, "cuau")
    assert caught.value.reason == "inconsistent"
    assert "\n" not in str(caught.value)
    (folder,) = vasp_runs.iterdir()
    assert [path.name for path in folder.iterdir()] == [".lock"]
    interrupted = folder / "relax_1"
    interrupted.mkdir()
    with pytest.raises(RelaxationError, match="was not begun"):
        finish("relax_1", interrupted, CUAU, None, 5, Settings())
    assert interrupted.is_dir()  # its CONTCAR is where the next attempt looks for it


@pytest.mark.usefixtures("vasp_runs")
def test_parallel_settings_are_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*_: object) -> None:
        raise RelaxationError("not_converged", "begun")

    monkeypatch.setattr(vasp_stage, "_run", begun)
    monkeypatch.setattr(SETTINGS, "VASP_INCAR_UPDATES", {"NCORE": 4, "KPAR": 2})
    with pytest.raises(RelaxationError, match="begun") as caught:
        GuardedVaspRelaxMaker().relax(CUAU, "cuau")
    assert caught.value.reason == "not_converged"


@pytest.mark.parametrize(
    "updates",
    [{"LSORBIT": True}, {"lnoncollinear": True}, {"NELECT": 40}, {"NUPDOWN": 4}, {"PSTRESS": 100}, {"ISIF": 2}],
)
def test_what_changes_the_hamiltonian_or_what_is_relaxed_is_refused(
    updates: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SETTINGS, "VASP_INCAR_UPDATES", updates)
    assert f"set {next(iter(updates)).upper()} = " in str(vasp_stage.incar_updates_problem())
