"""Reproducible benchmarks, one in each module. Each one returns an `Outcome`. They print nothing and use no database."""
