"""The schema of a relaxation job's output. jobflow checks it and stores its import path. This module relaxes and stores nothing.

The database and the files have the same fields as plain JSON (`plain`). Documents of versions before this schema are read in the same way.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator
from pymatgen.core import Structure

from workflows.guards import Reason


class RelaxationDocument(BaseModel):
    """Output of a relaxation: a result, or a failure with its reason.

    A failure can have the last structure and its energy, for information. They never enter a hull.
    """

    model_config = ConfigDict(extra="allow")  # additional fields of another version are kept

    structure_id: str = Field(description="Id of the structure in its campaign.")
    state: Literal["relaxed", "failed"] = Field(description="Whether there is a result.")
    reason: Reason | Literal["lost"] | None = Field(
        None, description="Why it failed; `lost`: its Firework gave nothing back."
    )
    message: str | None = Field(None, description="What came and what was wanted, or the end of a traceback.")
    structure: Structure | None = Field(None, description="The relaxed structure, without site properties.")
    energy_per_atom: float | None = Field(None, description="Energy of that structure (eV/atom), uncorrected.")
    method: dict[str, str] = Field(
        description="The fields of `ccdcgan_al.types.Method`; of a failure perhaps its name alone."
    )
    n_steps: int | None = Field(None, ge=0, description="Steps of the optimiser.")
    max_force: float | None = Field(None, description="Largest force on an atom (eV/Å).")
    converged: bool = Field(default=False, description="Whether the forces fell below the criterion.")
    space_group: str | None = Field(None, description="Hermann-Mauguin symbol of the relaxed structure.")
    mp2020_correction_per_atom: float | None = Field(
        None,
        description="MP2020 correction (eV/atom), not contained in the energy; none where the functional is not PBE.",
    )
    seconds: float | None = Field(None, ge=0, description="Wall time (s).")
    maker: dict[str, Any] | None = Field(None, description="The Maker's fields: the scientific choices.")
    details: dict[str, Any] = Field(default_factory=dict, description="What a calculator keeps with its energy.")
    finished: str = Field(description="When it ended (ISO 8601, UTC).")
    worker: dict[str, str | int] = Field(default_factory=dict, description="Host name and process id of its worker.")
    versions: dict[str, str] = Field(
        default_factory=dict, description="Package -> version, those an energy depends on."
    )

    @model_validator(mode="after")
    def _state_is_backed(self) -> RelaxationDocument:
        """Raise an error for a result without structure or energy, and for a failure without a reason."""
        if self.state == "relaxed" and (self.structure is None or self.energy_per_atom is None):
            raise ValueError(f"{self.structure_id!r} is relaxed, but its structure or energy_per_atom is missing")
        if self.state == "failed" and (self.reason is None or self.message is None):
            raise ValueError(f"{self.structure_id!r} has failed, but its reason or message is missing")
        return self

    @field_serializer("structure")
    def _structure_as_dict(self, structure: Structure | None) -> dict[str, Any] | None:
        return None if structure is None else structure.as_dict()


def plain(document: RelaxationDocument | dict[str, Any]) -> dict[str, Any]:
    """Return a document in the form of the database and the files.

    Parameters
    ----------
    document : RelaxationDocument or dict of str to Any
        Document from jobflow. Versions before this schema stored a dict, whose structure may be decoded or not.

    Returns
    -------
    dict of str to Any
        Plain JSON, with the structure as a dict.
    """
    if isinstance(document, RelaxationDocument):
        return document.model_dump()
    structure = document.get("structure")
    return {**document, "structure": structure.as_dict() if isinstance(structure, Structure) else structure}
