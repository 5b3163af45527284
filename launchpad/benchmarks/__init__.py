"""Benchmarks of the service and its LaunchPad. Each returns an `Outcome` and uses its own MongoDB."""
