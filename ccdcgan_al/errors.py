"""Named errors that a caller may want to catch; everything else raises a built-in exception.

Every message says what came, what was wanted and what to do. The command line prints any `CcdcganError` as one line.
"""


class CcdcganError(Exception):
    """Base of all errors that have a clear remedy for the user."""


class ChemicalSystemError(CcdcganError, ValueError):
    """A chemical system that names an unknown element, too few elements, or repeats one."""


class SettingsError(CcdcganError, ValueError):
    """An environment variable of this machine's settings that holds what it cannot."""


class StructureInputError(CcdcganError, ValueError):
    """A structure that the codec or the loop cannot take: disordered, too large, NaN coordinates, no volume."""


class TooFewExamplesError(CcdcganError, ValueError):
    """Too few relaxed structures, or none of the right kind, for a strategy to propose from: more seeds help."""


class StartingStructuresError(CcdcganError, ValueError):
    """A chemical system of which starting structures that a campaign needs cannot be made: the user's own help."""


class WeightsError(CcdcganError, ValueError):
    """A weights file that is truncated, foreign, or does not have the sha256 that was asked for."""


class MixedMethodsError(CcdcganError, ValueError):
    """Energies of different methods, functionals or correction schemes met in one hull."""


class HullError(CcdcganError, ValueError):
    """A hull that cannot be built or does not pass its self-test."""


class MongoError(CcdcganError, RuntimeError):
    """MongoDB cannot be found, started or reached."""


class MongoUnreachableError(MongoError):
    """A MongoDB that does not answer now, and may in a moment: the network, or a server that is being restarted."""


class UnknownMethodError(CcdcganError, ValueError):
    """A method (energy calculator) that is not known or whose package is not installed."""


class MaterialsProjectError(CcdcganError, RuntimeError):
    """The Materials Project cannot be asked: no key, a refused one, or a server that does not answer."""
