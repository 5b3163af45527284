"""Recorded VASP runs, replayed in place of VASP: atomate2's own helper checks the inputs and copies the outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "vasp"
Replay = Callable[[dict[str, Path]], None]


@pytest.fixture
def recorded() -> Path:
    """Folder of the recorded runs."""
    if not SHARED.is_dir():
        pytest.skip(f"no recorded VASP runs in ../shared/data ({SHARED} is absent)")
    return SHARED


@pytest.fixture
def vasp_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder in which VASP runs."""
    folder = tmp_path / "vasp"
    monkeypatch.setenv("CCDCGAN_AL_VASP_RUNS", str(folder))
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.delenv("CCDCGAN_AL_JOB_END", raising=False)
    return folder


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vasp_runs: Path) -> Iterator[Replay]:
    """Replay a recorded run for each stage (folder name -> recorded folder or file) and check its inputs."""
    from atomate2.utils.testing import vasp as helper
    from atomate2.vasp.jobs import base
    from monty.serialization import loadfn

    assert vasp_runs
    stages: dict[str, Path] = {}

    def run_vasp(**_: Any) -> None:
        reference = stages[Path.cwd().name]
        if reference.suffix == ".lzma":
            folder = tmp_path / "reference" / reference.name
            helper.VaspTestData(**loadfn(reference)).reconstruct(out_path=folder)
            reference = folder
        # vanadium's INCAR was recorded after custodian had found a metal and changed the smearing of MPRelaxSet
        changed = ["ISMEAR", "SIGMA"] if "relax" in reference.name and "mp-146." in reference.name else []
        helper.fake_run_vasp(reference, incar_exclude=changed)

    patch = helper.monkeypatch_vasp(monkeypatch, tmp_path)
    next(patch)
    monkeypatch.setattr(base, "run_vasp", run_vasp)
    yield stages.update
    next(patch, None)


def write_potcars(folder: Path, titles: dict[str, str]) -> Path:
    """Write files that pymatgen takes for POTCARs: the header's keywords, and nothing of a potential.

    Parameters
    ----------
    folder : becomes PMG_VASP_PSP_DIR
    titles : TITEL by element, as the Materials Project's input sets ask for them
    """
    for element, title in titles.items():
        symbol = title.split()[1]
        path = folder / "POT_GGA_PAW_PBE" / symbol / "POTCAR"
        path.parent.mkdir(parents=True)
        path.write_text(
            f"""  {title}
   11.0000000000000
 parameters from PSCTR are:
   VRHFIN ={element}: a stand-in for tests, no potential
   LEXCH  = PE
   EATOM  =  1000.0000 eV,   73.5000 Ry

   TITEL  = {title}
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =    2.000    partial core radius
   POMASS =   63.546; ZVAL   =   11.000    mass and valenz
   RCORE  =    2.300    outmost cutoff radius
   RWIGS  =    2.480; RWIGS  =    1.312    wigner-seitz radius (au A)
   ENMAX  =  295.446; ENMIN  =  221.585 eV
   RCLOC  =    1.712    cutoff for local pot
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   =  586.980
   DEXC   =    -.008
   RMAX   =    2.853    core radius for proj-oper
   RAUG   =    1.300    factor for augmentation sphere
   RDEP   =    2.293    radius for radial grids
   RDEPT  =    1.900    core radius for aug-charge
   QCUT   =   -4.660; QGAM   =    9.320    optimization parameters

   Description
     l     E      TYP  RCUT    TYP  RCUT
     0   .000     23  2.300
 END of PSCTR-controll parameters
 local part
  0.1000000E+01 0.2000000E+01 0.3000000E+01
 End of Dataset
"""
        )
    return folder


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vasp_runs: Path) -> Path:
    """Run the stand-in where atomate2 would run VASP; returns the file that lists its runs."""
    log = tmp_path / "stand-in.log"
    for name, value in stand_in_environment(tmp_path, vasp_runs).items():
        monkeypatch.setenv(name, value)
    from atomate2 import SETTINGS
    from pymatgen.core import SETTINGS as PYMATGEN_SETTINGS

    monkeypatch.setattr(SETTINGS, "VASP_CMD", os.environ["ATOMATE2_VASP_CMD"])  # both are read when they are imported
    monkeypatch.setattr(SETTINGS, "VASP_GAMMA_CMD", os.environ["ATOMATE2_VASP_GAMMA_CMD"])
    monkeypatch.setitem(PYMATGEN_SETTINGS, "PMG_VASP_PSP_DIR", os.environ["PMG_VASP_PSP_DIR"])
    return log


def stand_in_environment(folder: Path, vasp_runs: Path) -> dict[str, str]:
    """Return the environment in which a process runs the stand-in; its POTCARs lie in `folder`."""
    program = folder / "vasp_std"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -W ignore {Path(__file__).with_name('stand_in_vasp.py')}\n")
    program.chmod(0o700)
    potcars = write_potcars(folder / "potcars", {"Cu": "PAW_PBE Cu_pv 06Sep2000", "Au": "PAW_PBE Au 06Sep2000"})
    return {
        "ATOMATE2_VASP_CMD": str(program),
        "ATOMATE2_VASP_GAMMA_CMD": str(program),
        "PMG_VASP_PSP_DIR": str(potcars),
        "CCDCGAN_AL_VASP_RUNS": str(vasp_runs),
        "CCDCGAN_AL_VASP_POLL": "0.1",
        "STAND_IN_LOG": str(folder / "stand-in.log"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
