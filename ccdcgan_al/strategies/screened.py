"""Strategy `screened`: a plain DCGAN draws; the constraint screens and ranks what it draws."""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy(ranks=True, screens=True)
