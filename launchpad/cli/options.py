"""Options that several commands share, so that they are called and explained the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ccdcgan_al.strategies.registry import STRATEGIES

System = Annotated[str, typer.Argument(help="two or more elements, e.g. Bi-Se or Li-Co-O")]
Rounds = Annotated[int, typer.Option(min=0, help="rounds after the seeds")]
PerRound = Annotated[int, typer.Option(min=1, help="relaxations in each round")]
SeedCount = Annotated[int, typer.Option(min=2, help="starting structures, those of the elements included")]
Generated = Annotated[int, typer.Option(min=1, help="crystal graphs drawn in each round, to choose from")]
Budget = Annotated[int | None, typer.Option(min=1, help="most relaxations in all rounds, starting structures included")]
Patience = Annotated[
    int | None, typer.Option(min=1, help="end after so many rounds in a row without a new phase on the hull")
]
RandomSeed = Annotated[int, typer.Option(help="random seed: the same seed gives the same report, timings aside")]
Strategy = Annotated[str, typer.Option(help=f"how structures are proposed: {', '.join(STRATEGIES)}")]
Method = Annotated[str, typer.Option(help="what relaxes: sevennet-l3i5, sevennet, chgnet, ..., or vasp")]
Seeds = Annotated[Path | None, typer.Option(help="folder of your own starting structures: CIF, POSCAR, XYZ or JSON")]
Withhold = Annotated[
    list[Path] | None,
    typer.Option(help="structure file, of any cell, to keep, with what matches it, out of seeds and training"),
]
Mongo = Annotated[str | None, typer.Option(help="MongoDB URI; default CCDCGAN_AL_MONGO_URI, else a local mongod")]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="config folder from `ccdcgan-al init`; default the one that `run` uses"),
]
CampaignId = Annotated[str, typer.Argument(help="the campaign's name, as `ccdcgan-al campaigns` lists it")]
OfCampaign = Annotated[str | None, typer.Option("--campaign", help="which campaign; default the newest on the system")]
OfMethod = Annotated[str | None, typer.Option("--method", help="campaigns by this method alone: sevennet, vasp, ...")]
OfRound = Annotated[int | None, typer.Option("--round", min=0, help="as it stood after this round; default the newest")]
Within = Annotated[float, typer.Option(min=0, help="most energy above the hull (eV/atom)")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, and nothing else")]
