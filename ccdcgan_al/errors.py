"""Define errors that a caller may want to catch. All other failures raise built-in exceptions.

Every message says what was received, what is expected and what to do. The command line prints a `CcdcganError` as one line.
"""


class CcdcganError(Exception):
    """Base class of all errors that the user can correct."""


class ChemicalSystemError(CcdcganError, ValueError):
    """A chemical system has an unknown or repeated element, a wrong order, or too few or too many elements."""


class SettingsError(CcdcganError, ValueError):
    """An environment variable of this machine's settings has an invalid value."""


class StructureInputError(CcdcganError, ValueError):
    """The codec or the loop cannot use a structure: it is disordered or too large, or has NaN coordinates or no volume."""


class TooFewExamplesError(CcdcganError, ValueError):
    """There are too few relaxed structures, or none of the right kind, for a strategy to propose from. More seeds help."""


class StartingStructuresError(CcdcganError, ValueError):
    """The starting structures of a campaign cannot be made. The user's own structures help."""


class WeightsError(CcdcganError, ValueError):
    """A weights file is truncated, has wrong content, or does not have the expected sha256."""


class MixedMethodsError(CcdcganError, ValueError):
    """One hull has energies of different methods, functionals or correction schemes."""


class HullError(CcdcganError, ValueError):
    """A hull cannot be built or does not pass its self-test."""


class MongoError(CcdcganError, RuntimeError):
    """MongoDB cannot be found, started or reached."""


class MongoUnreachableError(MongoError):
    """MongoDB does not answer at the moment, for example because of the network or a restart. A later attempt may succeed."""


class UnknownMethodError(CcdcganError, ValueError):
    """A method (energy calculator) is unknown, or its package is not installed."""


class MaterialsProjectError(CcdcganError, RuntimeError):
    """The Materials Project cannot be used: the key is missing or refused, or the server does not answer."""
