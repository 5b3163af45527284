"""Measurements that anyone can repeat, one module a benchmark; each returns an `Outcome`. They print nothing and hold no database."""
