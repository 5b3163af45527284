"""The infrastructure of a campaign: mongod, FireWorks, workers, recovery."""
