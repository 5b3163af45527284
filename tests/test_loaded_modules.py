"""What a process really loads: a worker that relaxes imports no networks, and the science needs no database. Each test starts an interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.test_imports import HEAVY, ROOT


@pytest.mark.parametrize(
    "modules",
    [
        "ccdcgan_al.codec.crystal_codec, ccdcgan_al.campaign, workflows.jobs",
        "ccdcgan_al.strategies.propose, ccdcgan_al.models.constraint, ccdcgan_al.models.gan, workflows.relax",
        "ccdcgan_al, ccdcgan_al.models, workflows.vasp, atomate2.vasp.flows.mp, custodian.vasp.handlers",
    ],
)
def test_a_worker_imports_no_networks(modules: str) -> None:
    code = f"import json, sys, {modules}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"ccdcgan_al", "workflows"} <= loaded
    assert loaded & HEAVY == set()
    assert "launchpad" not in loaded


ALONE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pymongo", "gridfs", "bson", "maggma", "fireworks", "jobflow", "atomate2", "workflows", "launchpad"}:
            raise ImportError(f"{name} is absent")
sys.meta_path.insert(0, Absent())
import importlib, pkgutil
import ccdcgan_al
for module in pkgutil.walk_packages(ccdcgan_al.__path__, "ccdcgan_al."):
    importlib.import_module(module.name)
from pymatgen.core import Lattice, Structure
from ccdcgan_al.codec.crystal_codec import CrystalCodec
codec = CrystalCodec.load("fast", ["Bi", "Se"])
crystal = Structure(Lattice.cubic(3.6), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
(back,) = codec.decode(codec.encode([crystal]))
print(back.formula)
"""


def test_the_science_needs_neither_database_nor_queue() -> None:
    """With their packages absent, every module of ccdcgan_al is imported and a crystal goes through the codec."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Bi1 Se1"
