"""What each strategy proposes, from a handful of crystals and networks trained for a moment."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

from ccdcgan_al.codec import latents as latents_module
from ccdcgan_al.codec.crystal_codec import CrystalCodec
from ccdcgan_al.errors import StructureInputError
from ccdcgan_al.models import constraint as constraint_module
from ccdcgan_al.models import gan as gan_module
from ccdcgan_al.models import latent as latent_module
from ccdcgan_al.models import runtime
from ccdcgan_al.models.constraint import HullConstraint
from ccdcgan_al.models.gan import GraphGenerator
from ccdcgan_al.strategies import learning
from ccdcgan_al.strategies.proposals import Example, Proposals
from ccdcgan_al.strategies.propose import propose
from ccdcgan_al.strategies.selection import select
from ccdcgan_al.structures.families import standard_setting, structure_family
from ccdcgan_al.types import Strategy

BISE = ("Bi", "Se")


@functools.cache
def space_group(symbol: str) -> SpaceGroup:
    return SpaceGroup(symbol)  # slow to make


def crystal(group: str, lattice: Lattice, sites: dict[str, list[float]]) -> Structure:
    """Conventional cell of one orbit an element."""
    species, positions = [], []
    for element, site in sites.items():
        orbit = space_group(group).get_orbit(site)
        species += [element] * len(orbit)
        positions += list(orbit)
    return Structure(lattice, species, positions)


def rocksalt(cation: str = "Bi", anion: str = "Se") -> Structure:
    return crystal("Fm-3m", Lattice.cubic(5.9), {cation: [0, 0, 0], anion: [0.5, 0.5, 0.5]})


def bismuth() -> Structure:
    return crystal("R-3m", Lattice.hexagonal(4.546, 11.862), {"Bi": [0, 0, 0.2339]})


def examples() -> list[Example]:
    """Nine relaxed Bi-Se crystals of as many prototypes."""
    crystals = [
        rocksalt(),
        crystal("Pm-3m", Lattice.cubic(3.6), {"Bi": [0, 0, 0], "Se": [0.5, 0.5, 0.5]}),
        crystal("F-43m", Lattice.cubic(6.4), {"Bi": [0, 0, 0], "Se": [0.25, 0.25, 0.25]}),
        crystal("P6_3/mmc", Lattice.hexagonal(4.1, 5.6), {"Bi": [0, 0, 0], "Se": [1 / 3, 2 / 3, 0.25]}),
        crystal("P6_3mc", Lattice.hexagonal(4.5, 7.3), {"Bi": [1 / 3, 2 / 3, 0], "Se": [1 / 3, 2 / 3, 0.375]}),
        crystal("Fm-3m", Lattice.cubic(7.0), {"Bi": [0, 0, 0], "Se": [0.25, 0.25, 0.25]}),
        crystal("Pm-3m", Lattice.cubic(4.4), {"Bi": [0, 0, 0], "Se": [0.5, 0.5, 0]}),
        crystal("P6/mmm", Lattice.hexagonal(4.6, 4.2), {"Bi": [0, 0, 0], "Se": [1 / 3, 2 / 3, 0.5]}),
        bismuth(),
    ]
    energies = [-0.1, 0.2, 0.1, -0.2, 0.0, 0.3, 0.4, 0.25, 0.0]
    pairs = zip(crystals, energies, strict=True)
    return [Example(structure.copy().scale_lattice(structure.volume * 1.1), structure, e) for structure, e in pairs]


def check_counts(proposals: Proposals, count: int) -> None:
    """Every graph, and every mutant, is a structure or a named failure."""
    assert count <= proposals.generated <= round((1 + learning.MUTANTS) * count)
    assert proposals.generated > count or not proposals.mutants
    assert len(proposals.structures) + sum(proposals.failures.values()) == proposals.generated


@pytest.fixture
def quick_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that train in seconds, in place of the defaults; what they draw is rough, so any misfit of sites passes."""
    quick_gan = gan_module.GanSettings(steps=50, width=48, batch_size=16, averaging=0.9)
    quick_constraint = functools.partial(constraint_module.ConstraintSettings, members=3, epochs=3, filters=2)
    monkeypatch.setattr(gan_module.GanSettings, "for_graphs", lambda _: quick_gan)
    monkeypatch.setattr(constraint_module, "ConstraintSettings", quick_constraint)
    monkeypatch.setattr(latents_module, "MAX_MISFIT", 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_networks")
def test_ccdcgan_with_its_networks() -> None:
    proposals = propose("ccdcgan", BISE, examples(), 40, seed=5, hull_energy=hull_energy)
    check_counts(proposals, 40)
    assert proposals.structures
    assert set(proposals.failures) <= {
        "no_sites",
        "too_many_sites",
        "no_lattice",
        "inconsistent_sites",
        "outside_codec",
    }
    assert proposals.held_out_count == len(examples())
    assert proposals.held_out_mae is not None
    assert 0 < proposals.held_out_mae < 2
    assert proposals.predict is not None
    energies, spreads = proposals.predict(proposals.structures)
    assert energies.shape == spreads.shape == (len(proposals.structures),)
    assert np.isfinite(energies).all()
    assert (spreads > 0).all()

    assert set(proposals.models) == {"generator", "constraint"}
    gan = GraphGenerator(28, gan_module.GanSettings.for_graphs(0))
    runtime.unpack_weights(gan.generator, proposals.models["generator"])
    codec = CrystalCodec.load("fast", BISE)
    stored = HullConstraint.from_bytes(proposals.models["constraint"])
    graphs = codec.encode([standard_setting(structure) for structure in proposals.structures])
    above = energies - [hull_energy(structure) for structure in proposals.structures]
    np.testing.assert_allclose(stored.predict(graphs)[0], above, atol=1e-6)


class StubConstraint:
    """Stands in for the constraint: every energy is the mean of the first row."""

    held_out_mae, held_out_count = 0.05, 8

    def to_bytes(self) -> bytes:
        return b"constraint"

    def predict(self, graphs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return graphs[:, 0].mean(axis=(1, 2)), np.full(len(graphs), 0.1)


class StubGan:
    """Stands in for the GAN: says which constraint and shares it was given."""

    given: ClassVar[list[object]] = []
    shares: ClassVar[list[np.ndarray | None]] = []

    def __init__(self, side: int, settings: object) -> None:
        self.side = side
        assert settings == gan_module.GanSettings(steps=4000)

    def fit(
        self,
        graphs: np.ndarray,
        seed: int,
        constraint: object,
        *,
        sample_weights: np.ndarray | None,
        folder: Path | None,
    ) -> None:
        assert seed == 1
        assert folder is None
        self.graphs = graphs
        self.given.append(constraint)
        self.shares.append(sample_weights)

    def latents(self, count: int, seed: int) -> np.ndarray:
        assert seed == 1
        return np.arange(count)

    def graphs_of(self, z: np.ndarray) -> np.ndarray:
        """The graph of z = 0, 1, ... is what it learnt from, in turn, then zeros."""
        blank = np.zeros((len(self.graphs) + len(z), self.side, self.side, 1))
        blank[: len(self.graphs)] = self.graphs
        return blank[z]

    def to_bytes(self) -> bytes:
        return b"generator"


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> type[StubGan]:
    monkeypatch.setattr(gan_module, "GraphGenerator", StubGan)
    monkeypatch.setattr(learning, "train_constraint", lambda *_: StubConstraint())
    monkeypatch.setattr(latent_module, "descend", lambda _gan, _constraint, z: z[::-1])
    StubGan.given.clear()
    StubGan.shares.clear()
    return StubGan


@pytest.mark.parametrize("strategy", ["ccdcgan", "screened", "latent", "dcgan"])
def test_learning_strategies(strategy: Strategy, stubs: type[StubGan]) -> None:
    proposals = propose(strategy, BISE, examples(), 11, seed=1)
    assert proposals.failures == {"no_sites": 11 - len(examples())}
    check_counts(proposals, 11)
    learnt = examples()[::-1] if strategy == "latent" else examples()
    for drawn, example in zip(proposals.structures, learnt, strict=True):
        assert StructureMatcher().fit(drawn, example.relaxed)
    assert proposals.diversity is not None
    assert proposals.diversity.covered_share == 1
    (constraint,) = stubs.given
    assert isinstance(constraint, StubConstraint) == (strategy == "ccdcgan")
    assert stubs.shares == [None]
    assert proposals.screened == 0
    if strategy == "dcgan":
        assert proposals.models == {"generator": b"generator"}
        assert (proposals.predict, proposals.held_out_mae, proposals.held_out_count) == (None, None, 0)
    else:
        assert proposals.models == {"generator": b"generator", "constraint": b"constraint"}
        assert (proposals.held_out_mae, proposals.held_out_count) == (0.05, 8)
        assert proposals.predict is not None
        energies, spreads = proposals.predict(proposals.structures[:2])
        assert energies.shape == spreads.shape == (2,)


@pytest.mark.usefixtures("stubs")
def test_crystals_come_back_from_the_codec_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    load = CrystalCodec.load

    def noted(name: str, elements: list[str]) -> CrystalCodec:
        loaded.append(name)
        return load(name, elements)

    monkeypatch.setattr(CrystalCodec, "load", noted)
    proposals = propose("dcgan", BISE, examples()[:3], 3, seed=1, codec="paper")
    assert loaded == ["paper"]
    for drawn, example in zip(proposals.structures, examples()[:3], strict=True):
        assert StructureMatcher().fit(drawn, example.relaxed)


def hull_energy(structure: Structure) -> float:
    """A hull whose only compound is BiSe, 0.2 eV/atom deep."""
    fraction = structure.composition.get_atomic_fraction("Se")
    return -0.4 * min(fraction, 1 - fraction)


@pytest.mark.parametrize("strategy", ["ccdcgan", "screened", "latent", "dcgan"])
def test_with_a_hull_the_lowest_that_differ_are_decoded(strategy: Strategy, stubs: type[StubGan]) -> None:
    """Of 25 graphs those learnt from and a blank one differ, and five are decoded, in order of energy."""
    proposals = propose(strategy, BISE, examples(), 5, seed=1, hull_energy=hull_energy)
    check_counts(proposals, 5)
    screens = strategy in {"ccdcgan", "screened"}
    assert proposals.screened == (25 if screens else 0)
    (shares,) = stubs.shares
    assert (shares is not None) == (strategy == "ccdcgan")
    assert bool(proposals.mutants) == (strategy == "ccdcgan")
    codec = CrystalCodec.load("fast", BISE)
    if screens:
        graphs = codec.encode([standard_setting(example.relaxed) for example in examples()])
        lowest = np.argsort([*StubConstraint().predict(graphs)[0], 0], kind="stable")[:5]
        expected = [examples()[i].relaxed for i in lowest if i < len(graphs)]
        drawn_ones = [s for k, s in enumerate(proposals.structures) if k not in proposals.mutants]
        for drawn, wanted in zip(drawn_ones, expected, strict=True):
            assert StructureMatcher().fit(drawn, wanted)
    if proposals.predict is not None:
        above = StubConstraint().predict(codec.encode([standard_setting(s) for s in proposals.structures]))[0]
        formation = proposals.predict(proposals.structures)[0]
        np.testing.assert_allclose(formation - above, [hull_energy(s) for s in proposals.structures])


def test_shares_by_hand() -> None:
    """Two compounds 0 and 50 meV/atom above the hull, and an element, which is not learnt."""
    bise = [rocksalt(), examples()[1].relaxed]
    learnt = [Example(s, s, e) for s, e in zip([*bise, bismuth()], (-0.1, -0.05, 0.0), strict=True)]
    shares = learning.boltzmann_weights(learnt, hull_energy)
    assert shares == pytest.approx(np.array([1, np.exp(-1), 0]) / (1 + np.exp(-1)))
    assert learning.boltzmann_weights(learnt[2:], hull_energy).tolist() == [1]


def test_shares_leave_enough_to_learn_from() -> None:
    """One of twenty lies half an electronvolt below the others: at 50 meV it would be learnt alone."""
    learnt = [Example(rocksalt(), rocksalt(), e) for e in (-0.2, *np.linspace(0.3, 0.5, 19))]
    shares = learning.boltzmann_weights(learnt, hull_energy)
    assert 5 <= 1 / np.square(shares).sum() < 7
    assert shares.argmax() == 0
    assert (np.diff(shares[1:]) < 0).all()


def test_a_collapsed_generator_is_reported(stubs: type[StubGan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stubs, "graphs_of", lambda self, z: np.repeat(self.graphs[:1], len(z), axis=0))
    with pytest.warns(UserWarning, match="mode collapse: 5% of the drawn graphs differ by more than 0.1"):
        proposals = propose("dcgan", BISE, examples(), 20, seed=1)
    assert proposals.diversity is not None
    assert proposals.diversity.collapsed


@pytest.mark.usefixtures("stubs")
def test_what_the_codec_cannot_hold_is_a_named_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn cell can grow beyond 11 Å when its symmetry is imposed, and the constraint could not encode it."""
    long = Structure(Lattice.tetragonal(4, 10.9), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0.5]])
    learnt = [Example(structure, structure, 0.0) for structure in (long, rocksalt().get_primitive_structure())]
    known = [id(structure) for example in learnt for structure in (example.start, example.relaxed)]

    def standard(structure: Structure) -> Structure:
        """Stretch the long cell once it has been drawn, not where it is learnt from."""
        grows = id(structure) not in known and max(structure.lattice.abc) > 10
        return structure.copy().apply_strain([0.1, 0.1, 0.1]) if grows else structure

    monkeypatch.setattr(learning, "standard_setting", standard)
    proposals = propose("dcgan", BISE, learnt, 3, seed=1)
    assert proposals.failures == {"no_sites": 1, "outside_codec": 1}
    (kept,) = proposals.structures
    assert StructureMatcher().fit(kept, rocksalt())


def test_examples_beyond_the_codec_are_left_out(stubs: type[StubGan]) -> None:
    long = Structure(Lattice.tetragonal(4, 14), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0.5]])
    learnt = [Example(long, rocksalt(), 0.0), Example(rocksalt(), long, 0.0), Example(rocksalt(), rocksalt(), 0.0)]
    proposals = propose("dcgan", BISE, learnt, 2, seed=1)
    assert len(stubs.given) == 1
    assert (len(proposals.structures), proposals.failures) == (1, {"no_sites": 1})
    assert proposals.not_learnt == 2


@pytest.mark.usefixtures("stubs")
@pytest.mark.parametrize("strategy", ["ccdcgan", "screened", "latent", "dcgan", "perturbation"])
def test_own_structures_beyond_the_codec_break_nothing(strategy: Strategy) -> None:
    """64 sites in a cell of 40 Å, lowest of all: relaxed and on the hull, and neither learnt from nor varied."""
    large = Structure(
        Lattice.tetragonal(6, 40),
        ["Bi", "Se"] * 32,
        [[x, y, z / 16] for z in range(16) for x in (0, 0.5) for y in (0, 0.5)],
    )
    large.perturb(0.1)
    known = [*examples(), Example(large, large, -0.5, "large")]
    proposals = propose(strategy, BISE, known, 11, seed=1, hull_energy=hull_energy)
    assert proposals.not_learnt == (0 if strategy == "perturbation" else 1)
    assert bool(proposals.mutants) == (strategy == "ccdcgan")
    assert not any("large" in mutation.parents for mutation in proposals.mutants.values())
    assert all(len(structure) <= 20 for structure in proposals.structures)
    chosen = select(proposals.structures, [example.relaxed for example in known], 3, proposals.predict, hull_energy)
    assert chosen.valid >= len(chosen.chosen)


@pytest.mark.parametrize("name", ["FormationEnergyConstraint", "HullConstraint"])
def test_constraint_learns_from_before_and_after(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each structure has its settings before and after relaxation side by side, under one energy and one family."""
    hull = hull_energy if name == "HullConstraint" else None
    seen: dict[str, Any] = {}

    class Recorder:
        def __init__(self, side: int) -> None:
            assert side == 28

        def fit(self, graphs: np.ndarray, energies: np.ndarray, families: list[str]) -> None:
            seen.update(graphs=graphs, energies=energies, families=families)

    monkeypatch.setattr(constraint_module, name, Recorder)
    codec = CrystalCodec.load("fast", BISE)
    learnt = examples()
    learning.train_constraint(codec, learnt, 0, hull)
    assert seen["graphs"].shape == (len(learnt), 2, 28, 28, 1)
    assert seen["energies"].tolist() == [e.formation_energy - (hull(e.relaxed) if hull else 0) for e in learnt]
    assert seen["families"] == [structure_family(example.relaxed) for example in learnt]
    for graphs, example in zip(seen["graphs"], learnt, strict=True):
        after, before = codec.decode(graphs)
        assert isinstance(after, Structure)
        assert isinstance(before, Structure)
        per_atom = example.relaxed.volume / len(example.relaxed)
        assert after.volume / len(after) == pytest.approx(per_atom, rel=1e-3)
        assert before.volume / len(before) == pytest.approx(1.1 * per_atom, rel=1e-3)


def test_random() -> None:
    proposals = propose("random", BISE, [], 3, seed=1)
    check_counts(proposals, 3)
    assert proposals.predict is None
    assert proposals.models == {}
    assert proposals.structures == propose("random", BISE, [], 3, seed=1).structures


def test_substitution(monkeypatch: pytest.MonkeyPatch) -> None:
    prototypes = [SimpleNamespace(structure=example.relaxed) for example in examples()]
    monkeypatch.setattr(
        "ccdcgan_al.seeds.choose.prototype_structures", lambda elements: prototypes if elements == BISE else []
    )
    proposals = propose("substitution", BISE, [], 4, seed=1)
    check_counts(proposals, len(prototypes))
    assert proposals.predict is None
    assert proposals.structures == propose("substitution", BISE, [], 4, seed=1).structures
    other = propose("substitution", BISE, [], 4, seed=2).structures
    assert other != proposals.structures
    assert sorted(s.volume for s in other) == sorted(s.volume for s in proposals.structures)


def test_nothing_to_learn_from() -> None:
    long = Structure(Lattice.tetragonal(4, 14), ["Bi", "Se"], [[0, 0, 0], [0, 0, 0.5]])
    with pytest.raises(ValueError, match="none of 1 relaxed structures lies within the codec's limits"):
        propose("dcgan", BISE, [Example(long, long, 0.0)], 4, seed=0)
    with pytest.raises(ValueError, match="1 families of structures cannot be held out 6 times"):
        propose("screened", BISE, [Example(rocksalt(), rocksalt(), 0.0)], 4, seed=0)


def test_standard_setting_is_the_same_for_the_same_crystal() -> None:
    codec = CrystalCodec.load("fast", BISE)
    primitive = standard_setting(rocksalt())
    assert len(primitive) == 2
    for same in (rocksalt() * (1, 1, 2), rocksalt().translate_sites(range(8), [0.1, 0.2, 0.3]), rocksalt().copy()):
        setting = standard_setting(same)
        assert StructureMatcher().fit(setting, primitive)
        np.testing.assert_allclose(codec.encode([setting]), codec.encode([primitive]), atol=1e-5)


def test_standard_setting_without_symmetry() -> None:
    overlapping = Structure(Lattice.cubic(5), ["Bi", "Bi", "Se"], [[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]])
    assert standard_setting(overlapping).composition == overlapping.composition
    shaken = rocksalt().perturb(0.4)
    assert standard_setting(shaken).composition.reduced_formula == "BiSe"


def test_families_do_not_tell_elements_apart() -> None:
    assert structure_family(rocksalt()) == structure_family(rocksalt("Se", "Bi")) == "AB-225"
    assert structure_family(rocksalt().get_primitive_structure()) == "AB-225"
    assert structure_family(bismuth()) == "A-166"
    overlapping = Structure(Lattice.cubic(5), ["Bi", "Bi", "Se"], [[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]])
    assert structure_family(overlapping).startswith("AB2-")


def test_examples_fit_the_codec() -> None:
    codec = CrystalCodec.load("fast", BISE)
    for example in examples():
        codec.check(standard_setting(example.relaxed))
    with pytest.raises(StructureInputError, match="contains Sb"):
        codec.check(standard_setting(rocksalt("Sb")))
