"""The science of ccdcgan-al: codec, constraint, generator, hull, and the loop in ask/tell form. It has no database, no queue and no DFT.

The names below are imported at their first use. So `import ccdcgan_al` loads neither TensorFlow nor torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccdcgan_al.campaign import Campaign as Campaign
    from ccdcgan_al.codec.crystal_codec import CrystalCodec as CrystalCodec
    from ccdcgan_al.codec.crystal_codec import DecodeFailure as DecodeFailure
    from ccdcgan_al.hull.hull import Hull as Hull
    from ccdcgan_al.hull.hull import build_hull as build_hull
    from ccdcgan_al.loop import Loop as Loop
    from ccdcgan_al.loop import Round as Round
    from ccdcgan_al.models.constraint import FormationEnergyConstraint as FormationEnergyConstraint
    from ccdcgan_al.models.gan import GraphGenerator as GraphGenerator
    from ccdcgan_al.strategies.propose import propose as propose
    from ccdcgan_al.strategies.selection import select as select
    from ccdcgan_al.types import Candidate as Candidate
    from ccdcgan_al.types import FailedRelaxation as FailedRelaxation
    from ccdcgan_al.types import Method as Method
    from ccdcgan_al.types import Phase as Phase
    from ccdcgan_al.types import Relaxed as Relaxed

__version__ = version("ccdcgan-al")

_HOMES = {
    "Campaign": "campaign",
    "Candidate": "types",
    "CrystalCodec": "codec.crystal_codec",
    "DecodeFailure": "codec.crystal_codec",
    "FailedRelaxation": "types",
    "FormationEnergyConstraint": "models.constraint",
    "GraphGenerator": "models.gan",
    "Hull": "hull.hull",
    "Loop": "loop",
    "Method": "types",
    "Phase": "types",
    "Relaxed": "types",
    "Round": "loop",
    "build_hull": "hull.hull",
    "propose": "strategies.propose",
    "select": "strategies.selection",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
