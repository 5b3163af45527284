"""The campaign's documents in MongoDB, put together from the parts of this room. Every write is an upsert that can be repeated.

Each part has a collection of its own: `campaigns`, `structures`, `rounds` and `hulls`; `relaxations` has the relaxations within the
structures. The models are in `CampaignStore.models`. Nothing is computed here but fingerprints.
"""

from __future__ import annotations

from launchpad.database.hulls import Hulls
from launchpad.database.relaxations import Relaxations
from launchpad.database.rounds import Rounds


class CampaignStore(Relaxations, Rounds, Hulls):
    """Campaigns, structures, rounds, hulls, models and references of one database; docs/database.md has their fields."""
