"""Convex hulls with one method and one zero of energy. These modules also decide what is new, valid and confirmed."""
