"""The service: MongoDB, FireWorks, the closing of rounds, and the command line."""
