"""Strategy `dcgan`: a plain DCGAN draws, and nothing ranks what it draws."""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy()
