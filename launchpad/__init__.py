"""The service: MongoDB, FireWorks, the loop's closing step and the command line."""
