"""Discovery: every strategy runs the campaign's own loop with the same references, seeds, budget, relaxer, duplicate check and final hull.

The loop is `ccdcgan_al.loop`, as on the LaunchPad, but in one process. Relaxations use a `ResultCache`, and a round's structures are stored
before they are relaxed. So an interrupted run continues where it stopped, and several processes can share the work by strategy and seed.
This module judges nothing. `workflows.experiments.discovery_judge` judges, and `ccdcgan_al.reports.discovery` reports the results.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

import ccdcgan_al
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import HullError
from ccdcgan_al.files import write_json
from ccdcgan_al.hull.hull import ON_HULL, Hull, build_hull
from ccdcgan_al.loop import Loop, became_withheld, further_candidates, starting_candidates
from ccdcgan_al.reports.discovery import ONE_SHOT
from ccdcgan_al.seeds.choose import (
    MAX_SEED_LENGTH,
    MAX_SITES,
    REFERENCES_PER_ELEMENT,
    Seed,
    element_structures,
    fits_limits,
    reduced_primitive,
)
from ccdcgan_al.seeds.starting import FURTHER, lacking, why_lacking
from ccdcgan_al.types import Candidate, Phase, Relaxed, Strategy
from workflows.documents import read_relaxation
from workflows.experiments.campaign_spec import CampaignSpec
from workflows.methods import relaxer
from workflows.result_cache import ResultCache


@dataclass(frozen=True)
class Reference:
    """The known phases of a system, relaxed with the campaign's own method.

    Attributes
    ----------
    hull : Hull
        Hull of the elements and the known phases.
    withheld : dict of str to list of Structure
        Name -> structures (as known, and relaxed) that must not be in seeds and training set.
    failed : dict of str to str
        Name -> reason why the phase is missing from the hull.
    in_limits : tuple of str
        Names of withheld phases that a strategy could propose, because the known or the relaxed cell is within the limits.
    """

    hull: Hull
    withheld: dict[str, list[Structure]]
    failed: dict[str, str]
    in_limits: tuple[str, ...]


@dataclass(frozen=True)
class Discovery:
    """One experiment.

    Attributes
    ----------
    spec : CampaignSpec
        Spec of the system.
    work : Path
        Folder of the runs' files.
    cache : ResultCache
        Cache of the relaxations.
    budget, seed_count, per_round : int
        Replace the values of the spec.
    withhold_hull : bool
        Replaces the value of the spec.
    maker : object, default None
        Maker that relaxes. None means the relaxer of the spec's method.
    """

    spec: CampaignSpec
    work: Path
    cache: ResultCache
    budget: int
    seed_count: int
    per_round: int
    withhold_hull: bool
    maker: Any = None

    def campaign(self, strategy: Strategy, seed: int) -> Campaign:
        """Return the campaign of a strategy and a seed. The same seed gives the same starting structures."""
        share = self.budget - self.seed_count
        rounds = -(-share // self.per_round)
        once = strategy == ONE_SHOT
        return Campaign(
            chemical_system="-".join(self.spec.elements),
            method=self.spec.method,
            strategy="ccdcgan" if once else strategy,
            seed=seed,
            rounds=1 if once else rounds,
            per_round=share if once else self.per_round,
            seed_count=self.seed_count,
            generated_per_round=self.spec.generated * (rounds if once else 1),
            budget=self.budget,
            withheld=tuple(
                structure.to_json() for structures in self.reference.withheld.values() for structure in structures
            ),
        )

    @functools.cached_property
    def relax(self) -> Any:
        """Maker that relaxes."""
        return self.maker if self.maker is not None else relaxer(self.spec.method)

    @functools.cached_property
    def reference(self) -> Reference:
        """Known phases, relaxed, with their hull and the withheld structures."""
        known = {f"{item.formula} {item.label}": item.structure for item in self._elements()}
        compounds = {phase.name: phase.structure() for phase in self.spec.known}
        relaxed, failed = self._relaxed({**known, **compounds})
        missing = self._lacking(relaxed)
        if further := [seed for element in missing for seed in self._further(element)]:  # all first choices failed
            known |= {f"{item.formula} {item.label}": item.structure for item in further}
            more, others = self._relaxed({f"{item.formula} {item.label}": item.structure for item in further})
            relaxed, failed = relaxed | more, failed | others
            missing = self._lacking(relaxed)
        if missing:
            why = why_lacking(missing, [(known[name], reason) for name, reason in failed.items() if name in known])
            raise HullError(
                f"reference hull of {self.spec.chemical_system}: {why}; add a structure of {' and of '.join(missing)} that does "
                "relax to the known phases of its spec"
            )
        hull = build_hull(list(self._phases(relaxed, "reference")), self.spec.elements)
        on_hull = {entry.structure_id for entry in hull.unique_entries() if entry.energy_above_hull <= ON_HULL}
        withheld = {
            name: [compounds[name], relaxed[name].structure]
            for name in sorted(on_hull & compounds.keys())
            if self.withhold_hull
        }
        in_limits = tuple(name for name, cells in withheld.items() if any(_in_limits(cell) for cell in cells))
        return Reference(hull, withheld, failed, in_limits)

    def _elements(self) -> Iterator[Seed]:
        for element in self.spec.elements:
            yield from element_structures(element)[:REFERENCES_PER_ELEMENT]

    def _lacking(self, relaxed: dict[str, Relaxed]) -> list[str]:
        """Return the elements without a relaxed structure."""
        return lacking(self.spec.elements, (item.structure for item in relaxed.values()))

    def _further(self, element: str) -> list[Seed]:
        """Return the prototypes of an element that are tried if those of `_elements` fail."""
        first = REFERENCES_PER_ELEMENT
        return element_structures(element)[first : first + FURTHER]

    def _relaxed(self, structures: dict[str, Structure]) -> tuple[dict[str, Relaxed], dict[str, str]]:
        """Relax structures by name. Return the relaxed ones, and the reasons for the others."""
        relaxed, failed = {}, {}
        for name, structure in structures.items():
            result = read_relaxation(self.cache.relax(structure, self.relax))
            if isinstance(result, Relaxed):
                relaxed[name] = result
            else:
                failed[name] = result.reason
        return relaxed, failed

    def _phases(self, relaxed: dict[str, Relaxed], origin: Any) -> Iterator[Phase]:
        for name, item in relaxed.items():
            yield Phase(name, item.structure, item.energy_per_atom, item.method, origin)

    # runs

    def run(self, strategy: Strategy, seed: int) -> None:
        """Run a strategy and seed until the budget is used. An interrupted run continues.

        Raises
        ------
        ValueError
            If the file has a run with other choices.
        """
        campaign = self.campaign(strategy, seed)
        rounds = self._read(strategy, seed, campaign)
        submitted: list[int] = []
        starts: dict[str, Structure] = {}
        phases: list[Phase] = []
        for number in count():
            if number == len(rounds):
                opened = self._open(campaign, number, starts, phases)
                rounds.append(opened)
                self._write(strategy, seed, campaign, rounds)
            items = rounds[number]["candidates"]
            if not items:
                break
            for item in items:
                starts[item["structure_id"]] = Structure.from_dict(item["start"])
            phases += self._relax_round(campaign, number, items)
            if number == 0 and "further" not in rounds[0] and (further := self._further_seeds(campaign, items, phases)):
                rounds[0] |= {"candidates": [*items, *further], "further": len(further)}
                items = rounds[0]["candidates"]
                self._write(strategy, seed, campaign, rounds)
                starts |= {item["structure_id"]: Structure.from_dict(item["start"]) for item in further}
                phases += self._relax_round(campaign, number, further)
            submitted.append(len(items))
            if campaign.ending(submitted, [0] * len(submitted)) is not None:
                break
        self._write(strategy, seed, campaign, rounds, done=True)

    def _open(
        self, campaign: Campaign, number: int, starts: dict[str, Structure], phases: Sequence[Phase]
    ) -> dict[str, Any]:
        """Choose the structures of a round. Return them with the computing time."""
        wall, cpu = time.perf_counter(), time.process_time()
        counts: dict[str, Any] = {}
        models: dict[str, str] = {}
        if number == 0:
            chosen = starting_candidates(campaign)
        else:
            asked = Loop.resume(campaign, number, starts, build_hull(phases, campaign.elements)).ask()
            chosen, counts = list(asked), asked.counts
            models = {name: hashlib.sha256(blob).hexdigest() for name, blob in asked.models.items()}
        return {
            "round": number,
            "counts": counts,
            "models": models,
            "seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "source": source_hash(),
            "candidates": [_plain(candidate) for candidate in chosen],
        }

    def _relax_round(self, campaign: Campaign, number: int, items: Iterable[dict[str, Any]]) -> list[Phase]:
        """Relax a round's structures. Seeds that relaxed into a withheld structure are left out."""
        found = []
        for item in items:
            result = read_relaxation(self.cache.relax(Structure.from_dict(item["start"]), self.relax))
            if isinstance(result, Relaxed):
                found.append(phase_of(item, number, result))
        aside = set(became_withheld(campaign, found)) if number == 0 else set()
        return [phase for phase in found if phase.structure_id not in aside]

    def _further_seeds(
        self, campaign: Campaign, items: Sequence[dict[str, Any]], phases: Sequence[Phase]
    ) -> list[dict[str, Any]]:
        """Return more structures of elements for which no seed was relaxed."""
        missing = lacking(campaign.elements, (phase.structure for phase in phases))
        starts = [Structure.from_dict(item["start"]) for item in items]
        return [_plain(candidate) for candidate in further_candidates(campaign, missing, starts)]

    def file_of(self, strategy: str, seed: int) -> Path:
        """Return the file of a run. The file need not exist."""
        shape = f"{self.budget}-{self.seed_count}-{self.per_round}{'-withheld' if self.withhold_hull else ''}"
        return self.work / self.spec.chemical_system / shape / f"{strategy}-{seed}.json"

    def _choices(self, campaign: Campaign) -> dict[str, Any]:
        """Return the description of a campaign in a run's file, with the names of withheld phases."""
        return {**campaign.as_dict(), "withheld": sorted(self.reference.withheld)}

    def _read(self, strategy: str, seed: int, campaign: Campaign) -> list[dict[str, Any]]:
        """Return the rounds of a run that was started with these choices. Raise an error if the file has other choices."""
        file = self.file_of(strategy, seed)
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        stored, wanted = document["campaign"], self._choices(campaign)
        if stored != wanted:
            differ = (name for name in {**wanted, **stored} if stored.get(name) != wanted.get(name))
            told = "; ".join(f"{name} {stored.get(name)!r} there, {wanted.get(name)!r} here" for name in differ)
            raise ValueError(f"{file} is a run with other choices ({told}): remove it or use another --work")
        return list(document["rounds"])

    def _write(
        self, strategy: str, seed: int, campaign: Campaign, rounds: list[dict[str, Any]], *, done: bool = False
    ) -> None:
        file = self.file_of(strategy, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        choices = self._choices(campaign)
        write_json({"strategy": strategy, "seed": seed, "done": done, "campaign": choices, "rounds": rounds}, file)


@functools.cache
def source_hash() -> str:
    """Return the first 12 digits of the sha256 of the science package's source, which identifies the code that proposed."""
    digest = hashlib.sha256()
    for file in sorted(Path(ccdcgan_al.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _plain(candidate: Candidate) -> dict[str, Any]:
    return {
        "structure_id": candidate.structure_id,
        "start": candidate.structure.as_dict(),
        "origin": candidate.origin,
        "source": candidate.source,
        "operation": candidate.operation,
        "parents": list(candidate.parents),
        "predicted_energy": candidate.predicted_energy,
        "uncertainty": candidate.uncertainty,
    }


def phase_of(item: dict[str, Any], number: int, relaxed: Relaxed) -> Phase:
    """Return a relaxed structure of a round as a phase of a hull."""
    return Phase(
        item["structure_id"], relaxed.structure, relaxed.energy_per_atom, relaxed.method, item["origin"], number
    )


def _in_limits(structure: Structure) -> bool:
    return fits_limits(reduced_primitive(structure), MAX_SITES, MAX_SEED_LENGTH)
