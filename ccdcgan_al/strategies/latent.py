"""Strategy `latent`: z vectors of a plain DCGAN are optimised through generator, constraint and discriminator. Then they are decoded."""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy(ranks=True, descends=True)
