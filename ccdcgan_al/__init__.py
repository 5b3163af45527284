"""The science of ccdcgan-al: codec, constraint, generator, hull. No database, no queue, no DFT."""

from importlib.metadata import version

__version__ = version("ccdcgan-al")
