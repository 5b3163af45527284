"""The networks: GAN, constraint, and functions that use them. Only this package uses keras and TensorFlow.

The names below are imported at their first use. So ``import ccdcgan_al.models`` loads neither keras nor TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccdcgan_al.models.callbacks import DiversityMonitor as DiversityMonitor
    from ccdcgan_al.models.callbacks import TrainingCheckpoint as TrainingCheckpoint
    from ccdcgan_al.models.ccdcgan import Ccdcgan as Ccdcgan
    from ccdcgan_al.models.constraint import ConstraintSettings as ConstraintSettings
    from ccdcgan_al.models.constraint import FormationEnergyConstraint as FormationEnergyConstraint
    from ccdcgan_al.models.constraint import HullConstraint as HullConstraint
    from ccdcgan_al.models.constraint import LearnedConstraint as LearnedConstraint
    from ccdcgan_al.models.gan import GanSettings as GanSettings
    from ccdcgan_al.models.gan import GraphGenerator as GraphGenerator

_HOMES = {
    "Ccdcgan": "ccdcgan",
    "ConstraintSettings": "constraint",
    "DiversityMonitor": "callbacks",
    "FormationEnergyConstraint": "constraint",
    "GanSettings": "gan",
    "GraphGenerator": "gan",
    "HullConstraint": "constraint",
    "LearnedConstraint": "constraint",
    "TrainingCheckpoint": "callbacks",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
