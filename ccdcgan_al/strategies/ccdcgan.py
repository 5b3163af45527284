"""Strategy `ccdcgan`: the constraint is in the generator's loss, and screens and ranks what it draws.

The generator learns most from what lies low above the hull. Mutants of low-lying structures are in the pool as well.
"""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy(ranks=True, guides=True, screens=True)
