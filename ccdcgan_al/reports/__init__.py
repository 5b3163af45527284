"""Plots and pages of campaigns and experiments."""
