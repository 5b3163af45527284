"""Strategy `dcgan`: a plain DCGAN draws structures. Nothing ranks them."""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy()
