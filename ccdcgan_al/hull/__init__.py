"""Convex hulls: one method, one zero of energy; what is new, valid and confirmed."""
