"""Campaign specs: the choices for a chemical system, one YAML file for each in `campaigns/`. They relax nothing and know no energy.

A spec names the known phases of the system. These phases and the elements are relaxed with the campaign's own method, and make the reference
hull of `benchmark discovery`. A known phase is either a prototype of the AFLOW library (label or Strukturbericht symbol) with substituted
elements, or it is given by space group, lattice, and one site per orbit.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pymatgen.core import Composition, Lattice, Structure

from ccdcgan_al.chemsys import parse_chemical_system
from ccdcgan_al.seeds.choose import reduced_primitive, substitute
from ccdcgan_al.seeds.prototypes import library
from ccdcgan_al.types import DEFAULT_METHOD

FOLDER = Path(__file__).parent / "campaigns"


class KnownPhase(BaseModel):
    """A known phase of the system.

    Attributes
    ----------
    formula : str
        Reduced formula, e.g. ``Bi2Se3``.
    prototype : str, optional
        AFLOW label or Strukturbericht symbol. None if the crystal is given explicitly.
    space_group : str, optional
        Hermann-Mauguin symbol of the standard setting.
    lattice : tuple of (float, float, float, float, float, float), optional
        a, b, c (Å) and alpha, beta, gamma (degrees) of the conventional cell.
    sites : tuple of tuple of (str, float, float, float), optional
        [symbol, x, y, z], one site per orbit.
    source : str
        Source of the data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    formula: str
    prototype: str | None = None
    space_group: str | None = None
    lattice: tuple[float, float, float, float, float, float] | None = None
    sites: tuple[tuple[str, float, float, float], ...] = ()
    source: str

    @property
    def name(self) -> str:
        """Formula and prototype, or formula and space group."""
        return f"{self.formula} {self.prototype or self.space_group}"

    def structure(self) -> Structure:
        """Return the Niggli-reduced primitive cell, unrelaxed.

        Raises
        ------
        ValueError
            If there is no such prototype for this formula, or if the sites give another formula.
        """
        if self.prototype is not None:
            return self._from_prototype(self.prototype)
        if self.space_group is None or self.lattice is None:
            raise ValueError(f"{self.formula}: wanted a prototype, or space_group, lattice and sites")
        whole = Structure.from_spacegroup(
            self.space_group,
            Lattice.from_parameters(*self.lattice),
            [site[0] for site in self.sites],
            [site[1:] for site in self.sites],
        )
        if whole.composition.reduced_composition != Composition(self.formula).reduced_composition:
            raise ValueError(f"{self.name}: its sites make {whole.composition.reduced_formula}; correct one of the two")
        return reduced_primitive(whole)

    def _from_prototype(self, label: str) -> Structure:
        wanted = Composition(self.formula)
        symbols = [element.symbol for element in wanted]
        found = [
            seed
            for prototype in library()
            if label in (prototype.label, prototype.strukturbericht) and len(prototype.own) == len(symbols)
            for order in permutations(symbols)
            if (seed := substitute(prototype.structure, prototype.label, order, "reference")) is not None
            and seed.structure.composition.reduced_composition == wanted.reduced_composition
        ]
        if not found:
            raise ValueError(f"{self.formula}: the AFLOW library has no prototype {label!r} that gives this formula")
        return min(found, key=lambda seed: seed.substitution_distance).structure


class CampaignSpec(BaseModel):
    """The choices for a system."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chemical_system: str
    method: Annotated[str, Field(description="what relaxes, a method of `workflows.methods`")] = DEFAULT_METHOD
    budget: Annotated[int, Field(ge=2, description="relaxations of a strategy and seed, seeds included")] = 150
    seed_count: Annotated[int, Field(ge=2, description="starting structures, elements included")] = 64
    per_round: Annotated[int, Field(ge=1, description="relaxations in each round after them")] = 16
    generated: Annotated[int, Field(ge=1, description="crystal graphs drawn in each round, to choose from")] = 1000
    withhold_hull: Annotated[bool, Field(description="keep what is on the reference hull out of seeds and training")]
    spin: Annotated[str, Field(description="what is done about magnetism")]
    notes: Annotated[str, Field(description="what else a reader of the result must know")] = ""
    known: tuple[KnownPhase, ...]

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols in alphabetical order."""
        return parse_chemical_system(self.chemical_system)


def systems(folder: Path = FOLDER) -> list[str]:
    """Return the chemical systems that have a spec."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def read_spec(chemical_system: str, folder: Path = FOLDER) -> CampaignSpec:
    """Read the spec of a chemical system.

    Raises
    ------
    ValueError
        If there is none, or if the file is not a spec. The message names the file.
    """
    elements = parse_chemical_system(chemical_system)
    found = [file for file in sorted(folder.glob("*.yaml")) if parse_chemical_system(file.stem) == elements]
    if not found:
        raise ValueError(
            f"no campaign spec of {chemical_system}: known are {', '.join(systems(folder))}; add one to {folder}"
        )
    file = found[0]
    content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        spec = CampaignSpec.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{file}: {where}: {first['msg']}") from None
    if spec.chemical_system != file.stem:
        raise ValueError(f"{file}: says {spec.chemical_system}, wanted {file.stem}")
    return spec
