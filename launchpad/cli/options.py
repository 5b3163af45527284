"""Options that several commands share, so that they are called and explained the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

System = Annotated[str, typer.Argument(help="two or more elements, e.g. Bi-Se or Li-Co-O")]
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
