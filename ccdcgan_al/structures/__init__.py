"""Crystals compared and described: symmetry, duplicates, distances, families."""
