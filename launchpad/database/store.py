"""The campaign's documents in MongoDB, combined from the modules of this package. Every write is an upsert that can be repeated.

`campaigns`, `structures`, `rounds` and `hulls` each have their own collection. `relaxations` handles the relaxations inside the
structures. `CampaignStore.models` has the models. Only fingerprints are computed here.
"""

from __future__ import annotations

from launchpad.database.hulls import Hulls
from launchpad.database.relaxations import Relaxations
from launchpad.database.rounds import Rounds


class CampaignStore(Relaxations, Rounds, Hulls):
    """Campaigns, structures, rounds, hulls, models and references of one database. docs/database.md has their fields."""
