"""Comparison and description of crystals: symmetry, duplicates, distances, families."""
