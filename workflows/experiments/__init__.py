"""Experiments and benchmarks that run without a queue."""
