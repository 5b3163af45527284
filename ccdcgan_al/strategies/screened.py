"""Strategy `screened`: a plain DCGAN draws structures. The constraint screens and ranks them."""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy(ranks=True, screens=True)
