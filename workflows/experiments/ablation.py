"""The ablation: every strategy on the same data with the same budget, over several seeds. `ccdcgan_al.reports.ablation` reports its results.

Each combination of strategy, seed and training size is one file in a work folder. The file is written only when it is complete, and
relaxations use a `ResultCache`. So an interrupted run continues where it stopped, and several processes can share the work. If two strategies
share a network, each process trains it only once. Its training time counts for both.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from ccdcgan_al import __version__
from ccdcgan_al.codec.crystal_codec import CrystalCodec
from ccdcgan_al.files import write_json
from ccdcgan_al.hull.hull import Hull, build_hull
from ccdcgan_al.loop import DRAWS_PER_RELAXATION
from ccdcgan_al.strategies.learning import (
    GanStrategy,
    Networks,
    boltzmann_weights,
    learnable_examples,
    train_constraint,
    train_gan,
)
from ccdcgan_al.strategies.proposals import Example, Proposals
from ccdcgan_al.strategies.propose import propose
from ccdcgan_al.strategies.registry import strategy_entry
from ccdcgan_al.strategies.selection import select
from ccdcgan_al.structures.matching import StructureIndex
from ccdcgan_al.types import FailedRelaxation, Method, Phase, Strategy
from workflows.documents import package_versions, read_relaxation
from workflows.relax import GuardedForceFieldRelaxMaker
from workflows.result_cache import ResultCache


@dataclass(frozen=True)
class AblationData:
    """The data that every strategy learns from and is judged by.

    Attributes
    ----------
    elements : tuple of str
        Element symbols.
    starts : dict of str to Structure
        structure_id -> unrelaxed structure.
    hull : Hull
        Hull of all relaxed structures of the data set.
    training : tuple of str
        structure_ids that the strategies learn from.
    """

    elements: tuple[str, ...]
    starts: dict[str, Structure]
    hull: Hull
    training: tuple[str, ...]

    @property
    def examples(self) -> list[Example]:
        """Examples that the strategies learn from, in order of structure_id."""
        return [
            Example(self.starts[entry.structure_id], phase.structure, entry.formation_energy_per_atom)
            for phase, entry in zip(self.hull.phases, self.hull.entries, strict=True)
            if entry.structure_id in set(self.training)
        ]

    @functools.cached_property
    def digest(self) -> str:
        """First 12 digits of the sha256 of the relaxed structures and their energies."""
        content = [[phase.structure_id, phase.energy_per_atom] for phase in self.hull.phases]
        return hashlib.sha256(json.dumps([self.elements, content]).encode()).hexdigest()[:12]

    @property
    def seen(self) -> list[Structure]:
        """Every structure of the data set, before and after relaxation. A novel structure must match none of them."""
        return [*self.starts.values(), *(phase.structure for phase in self.hull.phases)]


def read_data(file: Path, training: int, seed: int = 0) -> AblationData:
    """Read a data set and choose `training` structures to learn from. The choice is the same for the same seed.

    Parameters
    ----------
    file : Path
        Gzipped JSON with `elements`, `method` and `structures`. Each structure has `structure_id`, `energy_per_atom` (eV/atom), and `start` and
        `relaxed` as `lattice` (Å), `species` and fractional `coordinates`. `docs/results/ablation-data.json.gz` is an example.
    training : int
        Number of structures to learn from.
    seed : int
        Random seed of the choice.
    """
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        document = json.load(stream)
    method = Method(**document["method"])
    phases, starts = [], {}
    for item in document["structures"]:
        starts[item["structure_id"]] = _structure(item["start"])
        relaxed = _structure(item["relaxed"])
        phases.append(Phase(item["structure_id"], relaxed, item["energy_per_atom"], method, "seed"))
    hull = build_hull(phases, document["elements"])
    names = [phase.structure_id for phase in hull.phases]
    chosen = np.random.default_rng(seed).permutation(len(names))[:training]
    return AblationData(tuple(document["elements"]), starts, hull, tuple(sorted(names[i] for i in chosen)))


def _structure(plain: dict[str, Any]) -> Structure:
    return Structure(plain["lattice"], plain["species"], plain["coordinates"])


@dataclass(frozen=True)
class Ablation:
    """One ablation.

    Attributes
    ----------
    data : AblationData
        Data set, see `AblationData`.
    work : Path
        Folder for the results.
    cache : ResultCache
        Cache of the relaxations.
    maker : GuardedForceFieldRelaxMaker
        Maker that relaxes.
    draws : int, default 1000
        Number of crystal graphs that a strategy draws.
    relaxations : int, default 12
        Number of structures relaxed for each strategy and seed.
    """

    data: AblationData
    work: Path
    cache: ResultCache
    maker: GuardedForceFieldRelaxMaker = field(
        default_factory=lambda: GuardedForceFieldRelaxMaker(method="sevennet")
    )  # that of the data set
    draws: int = 1000
    relaxations: int = 12

    def run(self, strategies: Sequence[Strategy], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Run the missing parts, seed by seed, and yield each strategy's result.

        Raises
        ------
        ValueError
            If an existing part is of another data set.
        """
        for seed in seeds:
            for strategy in strategies:
                learnt = len(self.data.training)
                file = self.work / f"{strategy}-{seed}-{learnt}-{self.draws}-{self.relaxations}.json"
                if not file.is_file():
                    self.work.mkdir(parents=True, exist_ok=True)
                    write_json(self._run_one(strategy, seed), file)
                part = json.loads(file.read_text(encoding="utf-8"))
                if part["data"] != self.data.digest:
                    raise ValueError(
                        f"{file} is of another data set ({part['data']} there, {self.data.digest} here): remove it or use another --work"
                    )
                yield part

    def _run_one(self, strategy: Strategy, seed: int) -> dict[str, Any]:
        """Propose, select, relax, and judge the results."""
        seconds: dict[str, float] = {}
        proposals = self._propose(strategy, seed, seconds)
        with _timed(seconds, "select"):
            selection = select(
                proposals.structures,
                self.data.seen,
                self.relaxations,
                proposals.predict,
                self.data.hull.formation_energy_at,
            )
        predicted = proposals.predict(proposals.structures)[0] if proposals.predict else np.zeros(0)
        known, candidates = StructureIndex(self.data.seen), []
        for rank, index in enumerate(selection.chosen):
            candidate = self._relax(proposals.structures[index], known)
            candidates.append({**candidate, "predicted": _number(selection.energies[rank])})
        return {
            "strategy": strategy,
            "seed": seed,
            "training": len(self.data.training),
            "data": self.data.digest,
            "generated": proposals.generated,
            "screened": proposals.screened,
            "decoded": len(proposals.structures),
            "valid": selection.valid,
            "strict": selection.strict,
            "unique": selection.unique,
            "novel": selection.novel,
            "mean_predicted_of_all_decoded": _number(np.mean(predicted)) if len(predicted) else None,
            "constraint_mae": proposals.held_out_mae,
            "diversity": asdict(proposals.diversity) if proposals.diversity else None,
            "cpu_seconds": {name: round(value, 1) for name, value in seconds.items()},
            "candidates": candidates,
        }

    def _propose(self, strategy: Strategy, seed: int, seconds: dict[str, float]) -> Proposals:
        """Return the proposals of a strategy. Networks that this process has already trained are used again."""
        drawer = strategy_entry(strategy).load()
        if not isinstance(drawer, GanStrategy):
            with _timed(seconds, "draw"):
                return propose(
                    strategy, self.data.elements, self.data.examples, DRAWS_PER_RELAXATION * self.relaxations, seed
                )
        constraint = None
        if drawer.ranks:
            constraint, seconds["constraint"] = self._constraint(seed)
        graphs, gan, seconds["gan"] = self._gan(seed, guided=drawer.guides)
        with _timed(seconds, "draw"):
            networks = Networks(self._codec, graphs, gan, constraint, self.data.hull.formation_energy_at)
            return drawer.draw(networks, self.draws, seed)

    @functools.cached_property
    def _codec(self) -> CrystalCodec:
        return CrystalCodec.load("fast", self.data.elements)

    def _constraint(self, seed: int) -> tuple[Any, float]:
        """Return the constraint of a seed and its training time (s)."""

        def train() -> tuple[Any]:
            return (train_constraint(self._codec, self._learnable, seed, self.data.hull.formation_energy_at),)

        return self._remembered(("constraint", seed), train)

    def _gan(self, seed: int, *, guided: bool) -> tuple[Any, Any, float]:
        """Return the training graphs and the GAN of a seed, trained as for `ccdcgan` or plain, and the training time (s)."""
        guide = self._constraint(seed)[0] if guided else None
        sample_weights = boltzmann_weights(self._learnable, self.data.hull.formation_energy_at) if guided else None
        return self._remembered(
            ("gan", seed, guided), lambda: train_gan(self._codec, self._learnable, seed, guide, sample_weights)
        )

    @functools.cached_property
    def _learnable(self) -> list[Example]:
        return learnable_examples(self._codec, self.data.examples)

    @functools.cached_property
    def _memory(self) -> dict[Any, Any]:
        return {}

    def _remembered(self, key: Any, train: Callable[[], tuple[Any, ...]]) -> Any:
        """Return the result of `train` for this key, and the CPU seconds of its training."""
        if key not in self._memory:
            seconds: dict[str, float] = {}
            with _timed(seconds, "train"):
                trained = train()
            self._memory[key] = (*trained, seconds["train"])
        return self._memory[key]

    def _relax(self, structure: Structure, known: StructureIndex) -> dict[str, Any]:
        """Relax a candidate and compare it with the hull. A new structure is known from then on."""
        document = self.cache.relax(structure, self.maker)
        result = read_relaxation(document)
        answer = {"formula": structure.composition.reduced_formula, "n_sites": len(structure)}
        if isinstance(result, FailedRelaxation):
            return {**answer, "state": "failed", "reason": result.reason}
        phase = Phase("candidate", result.structure, result.energy_per_atom, result.method, "generated", 1)
        above = self.data.hull.energy_above(phase)
        new = result.structure not in known
        known.add(result.structure)
        fraction = result.structure.composition.get_atomic_fraction(self.data.elements[-1])
        return {
            **answer,
            "state": "relaxed",
            "fraction": round(float(fraction), 6),
            "formation_energy": _number(self.data.hull.formation_energy_at(result.structure) + above),
            "above_hull": _number(above),
            "space_group": result.structure.get_space_group_info(symprec=0.1)[1] if len(result.structure) else 0,
            "new": new,
            "seconds": document["seconds"],
        }

    def result(self, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return all data for a report, as one document."""
        known = [
            {
                "fraction": round(float(phase.structure.composition.get_atomic_fraction(self.data.elements[-1])), 6),
                "formation_energy": _number(entry.formation_energy_per_atom),
                "above_hull": _number(entry.energy_above_hull),
                "training": entry.structure_id in set(self.data.training),
            }
            for phase, entry in zip(self.data.hull.phases, self.data.hull.entries, strict=True)
        ]
        return {
            "elements": list(self.data.elements),
            "method": self.data.hull.method.__dict__,
            "element_references": self.data.hull.element_references.scheme,
            "maker": self.maker.as_dict(),
            "code_version": __version__,
            "packages": package_versions(),
            "draws": self.draws,
            "random_draws": DRAWS_PER_RELAXATION * self.relaxations,
            "relaxations": self.relaxations,
            "data": known,
            "runs": list(runs),
        }


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the CPU seconds of a block under a name. Unlike wall time, they do not depend on other processes of the machine.

    Yields
    ------
    None
    """
    start = time.process_time()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.process_time() - start


def _number(value: Any) -> float | None:
    """Round to six decimals. Return None if the value is no number."""
    return round(float(value), 6) if np.isfinite(value) else None
