"""`qlaunch` on a real SLURM: one that the tests start for themselves, from Debian's slurm-wlm and munge."""
