"""What the fault tests put into a worker process: a stand-in for the relaxation, and a way to die at a named point.

The stand-in is no potential. Its "relaxed" structure is the start at another volume, its energy a smooth function of
the composition plus a few meV that follow from the structure's id; so every run of a seed gives the same figures.

Environment (read when a process starts, so that tests set it before the workers are spawned):

FAULTS_SECONDS : wall time of a stand-in relaxation (s)
FAULTS_LOG : file to which each relaxation that ran to its end appends its structure's id; without it, relaxations are the real ones
FAULTS_FAIL, FAULTS_FIZZLE : regular expressions of structure ids whose relaxation fails, or takes its Firework down
FAULTS_DIE_AT : points ``kind|module:Class.method:before|after:n``, with ``;`` between them; kind is ``training`` or
    ``relaxation``. The first worker of the kind that comes to the n-th call dies there by SIGKILL. It happens once a
    point, and in their order: calls are counted, in each process anew, from the death at the point before
FAULTS_MARKS : folder in which the points leave a file when somebody has died there
FAULTS_FILE_BYTES : no file may become larger than this (RLIMIT_FSIZE); stands for a full disk
FAULTS_GAN_STEPS : steps by which a campaign trains the GAN
FAULTS_SLOW : ``module:Class.method:seconds``; every call is preceded by a wait
"""

from __future__ import annotations

import functools
import hashlib
import importlib.abc
import importlib.util
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from pymatgen.core import Structure

METHOD = "stand-in"
ELEMENTS = {"Bi": -3.9, "Se": -3.5}  # eV/atom
MIXING = -1.6  # eV/atom, times x (1 - x)


def relax(maker: Any, structure: Structure, structure_id: str) -> Any:
    """Take the place of `GuardedForceFieldRelaxMaker.relax`."""
    from ccdcgan_al.types import Method, Relaxed
    from workflows.guards import RelaxationError

    time.sleep(float(os.environ.get("FAULTS_SECONDS", "0.1")))
    if _matches("FAULTS_FIZZLE", structure_id):
        raise SystemExit("told to take its Firework down")
    if _matches("FAULTS_FAIL", structure_id):
        raise RelaxationError("unphysical", "told to fail", structure)
    fractions = structure.composition.fractional_composition.get_el_amt_dict()
    wobble = int.from_bytes(hashlib.sha256(structure_id.encode()).digest()[:2]) / 65535  # 0 to 1
    energy = sum(ELEMENTS[name] * amount for name, amount in fractions.items()) + 0.05 * wobble
    if len(fractions) > 1:
        energy += MIXING * fractions["Bi"] * fractions["Se"]
    relaxed = structure.copy(site_properties={})
    relaxed.scale_lattice(30.0 * len(structure))
    with Path(os.environ["FAULTS_LOG"]).open("a") as log:
        log.write(f"{structure_id}\n")
    method = Method(maker.method, "stand-in of the fault tests", "0")
    return Relaxed(relaxed, energy, method, n_steps=1, max_force=0.0, converged=True)


def _matches(variable: str, structure_id: str) -> bool:
    pattern = os.environ.get(variable)
    return bool(pattern) and re.fullmatch(str(pattern), structure_id) is not None


def install() -> None:
    """Make the changes as soon as the modules that they touch are imported."""
    if "FAULTS_LOG" in os.environ:
        _when_imported("workflows.relax", _put_in)
    for number, point in enumerate(filter(None, os.environ.get("FAULTS_DIE_AT", "").split(";"))):
        kind, place = point.split("|")
        if any(f"my_fworker_{kind}" in argument for argument in sys.orig_argv):
            name, target, when, count = place.split(":")
            change = functools.partial(_wrap, target=target, wrapper=_die(when, int(count), number))
            _when_imported(name, change)
    if told := os.environ.get("FAULTS_SLOW"):
        name, target, seconds = told.split(":")
        _when_imported(name, functools.partial(_wrap, target=target, wrapper=_wait(float(seconds))))
    if told := os.environ.get("FAULTS_GAN_STEPS"):
        _when_imported("ccdcgan_al.models.gan", functools.partial(_train_for, steps=int(told)))
    if told := os.environ.get("FAULTS_FILE_BYTES"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(told), resource.RLIM_INFINITY))


def _put_in(module: ModuleType) -> None:
    from workflows.potentials import POTENTIALS, Potential

    module.GuardedForceFieldRelaxMaker.relax = relax
    POTENTIALS[METHOD] = Potential(METHOD, "stand-in of the fault tests", "ase", "ase")


def _train_for(module: ModuleType, steps: int) -> None:
    module.GanSettings.for_graphs = classmethod(lambda settings, _: settings(steps=steps))


def _die(when: str, count: int, number: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a wrapper that ends the process at a call, once all points before it have had their death."""
    marks, calls = Path(os.environ["FAULTS_MARKS"]), 0

    def wrapper(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def called(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += len(list(marks.iterdir())) == number
            mine = calls == count
            if mine and when == "before":
                _end(marks / str(number))
            answer = method(*args, **kwargs)
            if mine and when == "after":
                _end(marks / str(number))
            return answer

        return called

    return wrapper


def _end(mark: Path) -> None:
    with suppress(FileExistsError):
        mark.touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


def _wait(seconds: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrapper(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def called(*args: Any, **kwargs: Any) -> Any:
            time.sleep(seconds)
            return method(*args, **kwargs)

        return called

    return wrapper


def _wrap(module: ModuleType, target: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    owner: Any = module
    *path, name = target.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, name, wrapper(getattr(owner, name)))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module as Python would, and changes it once it is loaded."""

    def __init__(self, name: str, change: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        del path, target
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            self.change(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


def _when_imported(name: str, change: Callable[[ModuleType], None]) -> None:
    sys.meta_path.insert(0, _Finder(name, change))
