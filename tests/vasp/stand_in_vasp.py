"""A stand-in for the `vasp` executable. It is NOT VASP and computes no DFT: it exists so that tests can run the VASP path whole.

It reads POSCAR, INCAR and KPOINTS, moves the atoms by a potential, and writes vasprun.xml, OUTCAR, OSZICAR, CONTCAR and
empty WAVECAR and CHGCAR, as far as pymatgen, atomate2 and custodian read them. Environment:

STAND_IN_POTENTIAL : ``emt`` (ASE's effective medium theory: Al, Cu, Ag, Au, Ni, Pd, Pt; the default) or ``chgnet``
STAND_IN_STEP_SECONDS : sleep after each ionic step (s)
STAND_IN_FAILURE : how to fail, ``kind`` or ``kind:times``, the latter for so many runs only (a file counts them):
    ``electronic`` the electrons never converge (NELM electronic steps in every ionic one), ``killed`` it dies of SIGKILL
    after two ionic steps, ``empty`` it dies at once and leaves an empty CONTCAR
STAND_IN_FAILURE_STRUCTURES : number of atoms (separated by commas) of the structures that fail; none: all
STAND_IN_LOG : file to which each run adds a line: working directory, ionic steps, energy (eV)

A STOPCAR with LSTOP = .TRUE. ends it after the ionic step, as it ends VASP.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Incar, Kpoints, Poscar

VERSION = "6.4.2"
TO_KBAR = 1602.1766208  # eV/Å^3


def potential() -> Any:
    """Return the ASE calculator that plays the electrons."""
    name = os.environ.get("STAND_IN_POTENTIAL", "emt")
    if name == "chgnet":
        from workflows.potentials import load_calculator

        return load_calculator("chgnet")
    if name != "emt":
        raise ValueError(f"STAND_IN_POTENTIAL must be emt or chgnet, got {name!r}")
    from ase.calculators.emt import EMT

    return EMT()


def failure(n_atoms: int) -> str | None:
    """Return how this run is to fail."""
    kind, _, times = os.environ.get("STAND_IN_FAILURE", "").partition(":")
    chosen = os.environ.get("STAND_IN_FAILURE_STRUCTURES", "")
    if not kind or (chosen and str(n_atoms) not in chosen.split(",")):
        return None
    if times:
        counter = Path(os.environ["STAND_IN_LOG"]).with_suffix(".failures")
        so_far = len(counter.read_text()) if counter.exists() else 0
        if so_far >= int(times):
            return None
        counter.write_text("x" * (so_far + 1))
    return kind


def run() -> None:
    """Relax what POSCAR holds."""
    start, incar = Poscar.from_file("POSCAR").structure, Incar.from_file("INCAR")
    kpoints = Kpoints.from_file("KPOINTS") if Path("KPOINTS").exists() else None
    assert Path("POTCAR").stat().st_size > 0
    how = failure(len(start))
    for name in ("CONTCAR", "WAVECAR", "CHGCAR"):
        Path(name).touch()
    if how == "empty":
        Path("CONTCAR").write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    atoms = AseAtomsAdaptor.get_atoms(start, msonable=False)
    atoms.calc = potential()
    # EMT counts from the bulk elements and may be positive, which custodian takes for an error
    shift = -3.0 if os.environ.get("STAND_IN_POTENTIAL", "emt") == "emt" else 0.0  # eV/atom
    nelm, most = int(incar.get("NELM", 60)), int(incar.get("NSW", 0))
    ediffg = float(incar.get("EDIFFG", 10 * incar.get("EDIFF", 1e-4)))
    steps: list[dict[str, Any]] = []
    stopped = False
    optimizer = BFGS(FrechetCellFilter(atoms), logfile=None)
    for number in range(max(1, most)):
        if number:
            optimizer.run(fmax=1e-6, steps=1)
        now = AseAtomsAdaptor.get_structure(atoms, cls=Structure)
        steps.append(
            {
                "structure": now,
                "energy": float(atoms.get_potential_energy()) + shift * len(start),
                "forces": atoms.get_forces(),
                "stress": -TO_KBAR * atoms.get_stress(voigt=False),
                "electronic": nelm if how == "electronic" else 6,
            }
        )
        Path("CONTCAR").write_text(Poscar(now).get_str(significant_figures=16))
        write_outcar(steps, start, done=False)
        write_oszicar(steps)
        time.sleep(float(os.environ.get("STAND_IN_STEP_SECONDS", "0")))
        if how == "killed" and number == 1:
            write_vasprun(steps, start, incar, kpoints, done=False)
            os.kill(os.getpid(), signal.SIGKILL)
        if Path("STOPCAR").exists() and "LSTOP" in Path("STOPCAR").read_text():
            Path("STOPCAR").unlink()
            stopped = True
            break
        if len(steps) > 1 and abs(steps[-1]["energy"] - steps[-2]["energy"]) < abs(ediffg):
            break
    write_outcar(steps, start, done=True, stopped=stopped)
    write_vasprun(steps, start, incar, kpoints, done=True)
    if log := os.environ.get("STAND_IN_LOG"):
        with Path(log).open("a") as file:
            file.write(f"{Path.cwd()} {len(steps)} {steps[-1]['energy']:.8f}\n")


def write_oszicar(steps: list[dict[str, Any]]) -> None:
    """Write OSZICAR: one line an ionic step."""
    lines = []
    for number, step in enumerate(steps, start=1):
        lines.append("       N       E                     dE             d eps       ncg     rms          rms(c)")
        lines += [
            f"DAV: {count:3d}    {step['energy']:.12E}   {0:.5E}  {0:.5E}   500   0.100E-01    0.100E-01"
            for count in range(1, step["electronic"] + 1)
        ]
        lines.append(
            f"{number:4d} F= {step['energy']:.8E} E0= {step['energy']:.8E}  d E =0.000000E+00  mag=     0.0000"
        )
    Path("OSZICAR").write_text("\n".join(lines) + "\n")


def write_outcar(steps: list[dict[str, Any]], start: Structure, *, done: bool, stopped: bool = False) -> None:
    """Write OUTCAR: what pymatgen's `Outcar` reads and custodian's handlers look for."""
    count = len(start)
    lines = [
        f" vasp.{VERSION} stand-in for tests, not VASP",
        " running on    1 total cores",
        f"   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS= {8 * count:6d}",
        f"   number of dos      NEDOS =    301   number of ions     NIONS = {count:6d}",
        "   IBRION =      2    ionic relax: 0-MD 1-quasi-New 2-CG",
        "   total plane-waves  NPLWV =  27000",
        " maximum and minimum number of plane-waves per node :       500      500",
    ]
    for step in steps:
        energy = step["energy"]
        lines += [
            f" number of electron {8.0 * count:15.7f} magnetization       0.0000000",
            "      LOOP:  cpu time      0.1000: real time      0.1000",
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
            "  ---------------------------------------------------",
            f"  free  energy   TOTEN  = {energy:20.8f} eV",
            f"  energy  without entropy= {energy:20.8f}  energy(sigma->0) = {energy:20.8f}",
            "    total drift:                                0.000000      0.000000      0.000000",
            " E-fermi :   5.0000     XC(G=0): -10.0000     alpha+bet :-10.0000",
            "      LOOP+:  cpu time      0.1000: real time      0.1000",
        ]
    lines += ["", " magnetization (x)", "", "# of ion       s       p       d       tot", "-" * 42]
    lines += [f"{number:5d}        0.000   0.000   0.000   0.000" for number in range(1, count + 1)]
    lines += ["-" * 42, "tot          0.000   0.000   0.000   0.000", ""]
    if stopped:
        lines.append(" soft stop encountered!  aborting job ...")
    if done:
        lines += [
            " General timing and accounting informations for this job:",
            "                  Total CPU time used (sec):        1.000",
            "                            User time (sec):        1.000",
            "                          System time (sec):        0.100",
            "                         Elapsed time (sec):        1.100",
            "                   Maximum memory used (kb):      100000.",
            "                   Average memory used (kb):           0.",
        ]
    Path("OUTCAR").write_text("\n".join(lines) + "\n")


def _value(name: str, value: Any) -> str:
    """Return one INCAR tag as vasprun.xml writes it."""
    if isinstance(value, bool):
        return f'  <i type="logical" name="{name}"> {"T" if value else "F"}  </i>'
    if isinstance(value, int):
        return f'  <i type="int" name="{name}">{value:6d}</i>'
    if isinstance(value, float):
        return f'  <i name="{name}">{value:16.8f}</i>'
    if isinstance(value, list):
        kind = ' type="int"' if all(isinstance(item, int) for item in value) else ""
        return f'  <v{kind} name="{name}">{" ".join(str(item) for item in value)}</v>'
    return f'  <i type="string" name="{name}">{value}</i>'


def _vectors(name: str, vectors: Any) -> str:
    """Return an array as vasprun.xml writes it."""
    rows = "\n".join("   <v> " + " ".join(f"{float(value):20.12f}" for value in row) + " </v>" for row in vectors)
    return f'  <varray name="{name}" >\n{rows}\n  </varray>'


def _crystal(structure: Structure) -> str:
    """Return cell and positions as vasprun.xml writes them."""
    lattice = structure.lattice
    return (
        f" <crystal>\n{_vectors('basis', lattice.matrix)}\n"
        f'  <i name="volume">{lattice.volume:16.8f} </i>\n'
        f"{_vectors('rec_basis', lattice.reciprocal_lattice_crystallographic.matrix)}\n </crystal>\n"
        f"{_vectors('positions', structure.frac_coords)}"
    )


def write_vasprun(
    steps: list[dict[str, Any]], start: Structure, incar: Incar, kpoints: Kpoints | None, *, done: bool
) -> None:
    """Write vasprun.xml; cut off in the middle where the run did not end."""
    titles = [line.split("=", 1)[1].strip() for line in Path("POTCAR").read_text().splitlines() if "TITEL" in line]
    symbols = [site.specie.symbol for site in start]
    kinds = list(dict.fromkeys(symbols))
    defaults = {"NELM": 60, "NSW": 0, "IBRION": -1, "ISIF": 2, "ISPIN": 1, "ISMEAR": 1, "SIGMA": 0.2}
    parameters = {
        **defaults,
        "NBANDS": 8,
        "NELECT": 11.0 * len(start),
        "EFERMI": 0.0,
        "LHFCALC": False,
        "LDAU": False,
        "GGA": "--",
        "METAGGA": "--",
        **incar,
    }
    # VASP writes an energy tolerance here where INCAR has none
    parameters.setdefault("EDIFFG", 10 * float(incar.get("EDIFF", 1e-4)))
    divisions = " ".join(str(int(n)) for n in (kpoints.kpts[0] if kpoints else (1, 1, 1)))
    atoms = "".join(f"<rc><c>{symbol}</c><c>{kinds.index(symbol) + 1}</c></rc>\n" for symbol in symbols)
    types = "".join(
        f"<rc><c>{symbols.count(kind)}</c><c>{kind}</c><c>1.0</c><c>8.0</c><c>{title}</c></rc>\n"
        for kind, title in zip(kinds, titles, strict=True)
    )
    text = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">vasp </i>
  <i name="version" type="string">{VERSION}  </i>
  <i name="subversion" type="string">stand-in for tests, not VASP</i>
  <i name="platform" type="string">stand-in</i>
  <i name="date" type="string">2026 01 01 </i>
  <i name="time" type="string">00:00:00 </i>
 </generator>
 <incar>
{chr(10).join(_value(name, value) for name, value in incar.items())}
 </incar>
 <kpoints>
  <generation param="Gamma">
   <v type="int" name="divisions"> {divisions} </v>
   <v name="usershift"> 0.0 0.0 0.0 </v>
   <v name="shift"> 0.0 0.0 0.0 </v>
  </generation>
{_vectors("kpointlist", [[0, 0, 0]])}
{_vectors("weights", [[1.0]])}
 </kpoints>
 <parameters>
{chr(10).join(_value(name, value) for name, value in parameters.items())}
 </parameters>
 <atominfo>
  <atoms> {len(start)} </atoms>
  <types> {len(kinds)} </types>
  <array name="atoms" ><dimension dim="1">ion</dimension><field type="string">element</field><field type="int">atomtype</field>
   <set>
{atoms}   </set>
  </array>
  <array name="atomtypes" ><dimension dim="1">type</dimension><field type="int">atomspertype</field>
   <field type="string">element</field><field>mass</field><field>valence</field>
   <field type="string">pseudopotential</field>
   <set>
{types}   </set>
  </array>
 </atominfo>
 <structure name="initialpos" >
{_crystal(start)}
 </structure>
"""
    energies = "".join(f' <i name="{name}">{{0:20.10f}} </i>\n' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))
    for number, step in enumerate(steps, start=1):
        total = energies.format(step["energy"])
        last = number == len(steps)
        spins = [f'<set comment="spin {spin}">' for spin in range(1, int(incar.get("ISPIN", 1)) + 1)]
        bands = "<r> 1.0 1.0 </r><r> 9.0 0.0 </r>"
        text += " <calculation>\n" + f"  <scstep>\n  <energy>\n{total}  </energy>\n  </scstep>\n" * step["electronic"]
        text += f"  <structure>\n{_crystal(step['structure'])}\n  </structure>\n"
        text += f"{_vectors('forces', step['forces'])}\n{_vectors('stress', step['stress'])}\n"
        text += f"  <energy>\n{total}  </energy>\n"
        if last:
            text += "  <eigenvalues><array><dimension dim='1'>band</dimension><field>eigene</field><field>occ</field><set>\n"
            text += "".join(f"{spin}<set comment='kpoint 1'>{bands}</set></set>\n" for spin in spins)
            text += "  </set></array></eigenvalues>\n"
            dos = "<r> 0.0 1.0 1.0 </r><r> 10.0 1.0 2.0 </r>"
            text += '  <dos><i name="efermi"> 5.0 </i><total><array><dimension dim="1">gridpoints</dimension>'
            text += "<field>energy</field><field>total</field><field>integrated</field><set>\n"
            text += "".join(f"{spin}{dos}</set>\n" for spin in spins) + "  </set></array></total></dos>\n"
        text += " </calculation>\n"
    text += f' <structure name="finalpos" >\n{_crystal(steps[-1]["structure"])}\n </structure>\n</modeling>\n'
    Path("vasprun.xml").write_text(text if done else text[: len(text) * 2 // 3])


if __name__ == "__main__":
    np.seterr(all="ignore")
    run()
