"""Benchmarks of the service: what the LaunchPad costs. Each returns an `Outcome` and uses a MongoDB of its own."""
