"""Experiments and benchmarks that need no queue."""
