"""Strategy `latent`: the z of a plain DCGAN move downhill through generator, constraint and discriminator, and are decoded then."""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy(ranks=True, descends=True)
