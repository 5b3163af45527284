"""The networks: the only home of keras and tensorflow, which are imported when a network is built."""
