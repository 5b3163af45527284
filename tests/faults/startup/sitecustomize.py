# noqa: INP001 - Python imports this one by its own name
"""Python runs this at the start of each process whose PYTHONPATH holds this folder: the workers of the fault tests."""

from tests.faults.stand_in import install

install()
