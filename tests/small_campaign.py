"""A whole campaign in a database within seconds: the service's own loop, its LaunchPad, and energies from a formula.

No worker runs: what the LaunchPad holds as READY is "relaxed" here by a formula and handed to the closing jobs. The models
are a few bytes. Read it, do not write to it: its database is shared by the session's tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monty.json import MontyDecoder
from pymatgen.core import Structure

from ccdcgan_al import loop
from ccdcgan_al.campaign import Campaign
from ccdcgan_al.strategies.proposals import Proposals
from ccdcgan_al.strategies.propose import propose
from ccdcgan_al.types import Method, Relaxed
from launchpad import rounds
from launchpad.database.store import CampaignStore
from launchpad.service.configure import open_launchpad, write_config
from tests.faults.conftest import few_seeds
from workflows.documents import failure_document, relaxation_document

CAMPAIGN = Campaign("Bi-Se", "sevennet", "ccdcgan", seed=7, rounds=2, per_round=4, seed_count=8)
FAILS = "Bi-Se-r0-0005"
COPY = "Bi-Se-r2-0000"  # relaxes into the rock salt of the seeds
ELEMENTS = {"Bi": -3.9, "Se": -3.5}  # eV/atom
MIXING = -1.6  # eV/atom, times x (1 - x)
CLOSERS: dict[str, Any] = {
    "round": rounds.close_round,
    "distortion": rounds.close_distortion,
    "confirmation": rounds.close_confirmation,
}


@dataclass(frozen=True)
class SmallCampaign:
    """A completed campaign, where its database and its config folder are, and the phase of it that did not come back from a distortion."""

    uri: str
    config: Path
    campaign: Campaign
    unstable: str

    @property
    def store(self) -> CampaignStore:
        """The database."""
        return CampaignStore(self.uri)


@contextmanager
def small_campaign(uri: str, config: Path) -> Iterator[SmallCampaign]:
    """Run the campaign in an empty database, with FireWorks' files in a folder."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("CCDCGAN_AL_MONGO_URI", uri)
        monkeypatch.setattr(loop, "choose_seeds", few_seeds)
        monkeypatch.setattr(loop, "propose", _propose)
        store = CampaignStore(uri)
        launchpad, unstable = open_launchpad(write_config(config, uri)), ""
        store.add_campaign(CAMPAIGN)
        rounds.begin(CAMPAIGN, store)
        while store.state(CAMPAIGN.campaign_id)[0] == "running":
            ready = {"state": "READY", "spec._category": "relaxation"}
            fireworks = list(launchpad.fireworks.find(ready).sort("spec.structure_id", 1))
            stage = fireworks[0]["spec"]["stage"]
            documents = {fw["spec"]["structure_id"]: _relaxed(fw["spec"]) for fw in fireworks}
            if stage == "distortion":
                unstable = next(iter(documents))
                documents[unstable]["energy_per_atom"] += 0.02
            kind, _, number = stage.partition(" ")
            launchpad.fireworks.update_many(ready, {"$set": {"state": "COMPLETED"}})
            where = (int(number), 0) if number else (CAMPAIGN.rounds,)  # round and batch
            CLOSERS[kind].original(CAMPAIGN.campaign_id, *where, documents)
        launchpad.connection.close()
    yield SmallCampaign(uri, config, CAMPAIGN, unstable)  # nothing stands in for anything any more


def _propose(strategy: Any, elements: Any, examples: Any, count: int, seed: int, **_: Any) -> Proposals:
    """Draw random crystals, with models that are a few bytes."""
    del strategy, count

    def predict(structures: list[Structure]) -> tuple[Any, Any]:
        return np.linspace(-0.3, 0, len(structures)), np.full(len(structures), 0.02)

    drawn = propose("random", elements, examples, 12, seed)
    return replace(
        drawn,
        predict=predict,
        held_out_mae=0.05,
        held_out_count=len(examples),
        models={"constraint": f"constraint {seed}".encode(), "generator": f"generator {seed}".encode()},
    )


def _relaxed(spec: dict[str, Any]) -> dict[str, Any]:
    """Relax what a Firework was to relax, by a formula: a volume, and an energy on a parabola, up to 20 meV above it."""
    job = MontyDecoder().process_decoded(spec["_tasks"][0]["job"])
    (structure,), structure_id, maker = job.function_args, spec["structure_id"], job.maker
    method = Method(maker.method, "a formula", "0")
    if structure_id == COPY:
        structure = few_seeds()[2].structure
    if structure_id == FAILS:
        return failure_document(structure_id, "unphysical", "told to fail", method)
    fractions = structure.composition.fractional_composition.get_el_amt_dict()
    wobble = int.from_bytes(hashlib.sha256(structure_id.encode()).digest()[:2]) / 65535  # 0 to 1
    energy = sum(ELEMENTS[name] * amount for name, amount in fractions.items()) + 0.02 * wobble
    if len(fractions) > 1:
        energy += MIXING * fractions["Bi"] * fractions["Se"]
    if spec["stage"] != "distortion":
        structure.scale_lattice(30.0 * len(structure))
    relaxed = Relaxed(structure, energy, method, n_steps=1, max_force=0.0, converged=True)
    return relaxation_document(structure_id, relaxed, seconds=1.0, maker={"method": maker.method})
