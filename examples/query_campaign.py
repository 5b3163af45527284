"""Ask a campaign's database: what failed and why, and what was generated nearest to the hull.

Every structure that was ever submitted is a document, failures included. Run a campaign first, then

    python examples/query_campaign.py [MONGODB_URI]

Without an argument it asks the database that `ccdcgan-al run` uses on this machine.
"""

import sys

from pymongo import MongoClient

from ccdcgan_al.settings import Settings
from launchpad.service.mongod import mongo_status
from launchpad.uri import database_name


def find_uri() -> str:
    """Return the URI given, else that of the settings, else that of the local server."""
    settings = Settings()
    if len(sys.argv) > 1:
        return sys.argv[1]
    if settings.mongo_uri is not None:
        return settings.mongo_uri.get_secret_value()
    uri = mongo_status(settings).uri
    if uri is None:
        raise SystemExit("no local MongoDB runs here; begin with: ccdcgan-al run Bi-Se")
    return uri


def main() -> None:
    """Print a few answers about every campaign."""
    uri = find_uri()
    with MongoClient(uri, serverSelectionTimeoutMS=10_000) as client:
        database = client[database_name(uri)]
        for campaign in database["campaigns"].find():
            mine = {"campaign_id": campaign["_id"]}
            print(f"{campaign['_id']}: {campaign['state']}")

            by_state = [
                {"$match": mine},
                {"$group": {"_id": ["$state", "$reason"], "n": {"$sum": 1}}},
                {"$sort": {"n": -1}},
            ]
            for row in database["structures"].aggregate(by_state):
                state, reason = row["_id"]
                print(f"  {row['n']:4d} {state}{f' ({reason})' if reason else ''}")

            near = {**mine, "energy_above_hull": {"$gte": 0}, "origin": "generated"}
            for entry in database["structures"].find(near).sort("energy_above_hull").limit(3):
                predicted = entry["predicted_energy"]
                print(
                    f"  {entry['formula']} ({entry['space_group']}): {1000 * entry['energy_above_hull']:.0f} meV/atom "
                    f"above the hull, formation energy {entry['formation_energy_per_atom']:.3f} eV/atom, "
                    f"predicted {'-' if predicted is None else f'{predicted:.3f}'}; from {entry['strategy']}"
                )


if __name__ == "__main__":
    main()
