"""Strategy `ccdcgan`: the constraint is in the generator's loss. It also screens and ranks the drawn structures.

Structures low above the hull have the largest weight in the training of the generator. Mutants of such structures are also proposed.
"""

from __future__ import annotations

from ccdcgan_al.strategies.learning import GanStrategy

propose = GanStrategy(ranks=True, guides=True, screens=True)
