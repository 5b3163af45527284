import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import UnknownMethodError
from ccdcgan_al.hull.element_references import materials_project_energies
from workflows import methods
from workflows.methods import METHODS, check_method, relaxer
from workflows.relax import GuardedForceFieldRelaxMaker
from workflows.vasp import GuardedVaspRelaxMaker


def test_a_name_stands_for_its_relaxer() -> None:
    assert relaxer("sevennet-l3i5") == GuardedForceFieldRelaxMaker()
    assert relaxer("chgnet", fmax=0.1) == GuardedForceFieldRelaxMaker(method="chgnet", fmax=0.1)
    assert relaxer("vasp", static=True) == GuardedVaspRelaxMaker(static=True)
    with pytest.raises(UnknownMethodError, match=r"'emt'; known are sevennet, .*, vasp"):
        relaxer("emt")


def test_an_unknown_method_is_refused_wherever_it_would_run() -> None:
    for runs_here in (True, False):
        with pytest.raises(UnknownMethodError, match="'abinit'; known are"):
            check_method("abinit", runs_here=runs_here)
    for method in METHODS:
        check_method(method, runs_here=False)


@pytest.mark.slow
def test_vasp_without_executable_or_potcars_says_so(tmp_path: Path) -> None:
    code = "from workflows.methods import check_method; check_method('vasp')"
    environment = {**os.environ, "PATH": str(tmp_path), "HOME": str(tmp_path), "ATOMATE2_VASP_CMD": "srun vasp_std"}
    for place in ("PMG_VASP_PSP_DIR", "PMG_CONFIG_FILE", "ATOMATE2_CONFIG_FILE"):
        environment.pop(place, None)

    def error() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
        )
        return done.stderr.splitlines()[-1] if done.returncode else ""

    assert "runs 'srun vasp_std', which is not on this machine's PATH; set ATOMATE2_VASP_CMD" in error()
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o700)
    assert "set PMG_VASP_PSP_DIR" in error()
    environment["PMG_VASP_PSP_DIR"] = str(tmp_path)
    assert error() == ""
    environment["ATOMATE2_VASP_INCAR_UPDATES"] = '{"NCORE": 4, "KPAR": 2}'
    assert error() == ""
    environment["ATOMATE2_VASP_INCAR_UPDATES"] = '{"NCORE": 4, "encut": 400, "GGA": "PS"}'
    assert "VASP_INCAR_UPDATES set ENCUT = 400, GGA = PS, which decides the energy scale; take it out of" in error()
    environment.pop("ATOMATE2_VASP_INCAR_UPDATES")
    (tmp_path / ".atomate2.yaml").write_text("VASP_INCAR_UPDATES: {LASPH: false}")
    assert "VASP_INCAR_UPDATES set LASPH = False" in error()


def test_dft_is_confirmed_by_nothing() -> None:
    assert Campaign("Bi-Se", method="vasp").confirming_method is None
    assert Campaign("Bi-Se", method="sevennet").confirming_method == "sevennet-l3i5"
    assert Campaign("Bi-Se").confirming_method == "sevennet"


def test_what_is_known_of_a_methods_elements_is_told_before_anything_is_relaxed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = materials_project_energies()
    table = {"SevenNet 7net-0": {"W": known["W"] + 0.218, "Ni": known["Ni"] + 0.01}}
    monkeypatch.setattr(methods, "potential_energies", lambda calculator: table.get(calculator, {}))
    (warning,) = methods.element_warnings("sevennet", ("Ni", "W"))
    assert warning == "W: SevenNet 7net-0 puts the element 218 meV/atom above the Materials Project's PBE energy"
    assert methods.element_warnings("sevennet", ("Ni", "Ta")) == []
    assert methods.element_warnings("matpes-r2scan", ("W",)) == methods.element_warnings("vasp", ("W",)) == []
