"""The machinery under a campaign: mongod, FireWorks, workers, recovery."""
