"""The codec: every structure within its limits comes back, every graph has one answer, every bad input has a name."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from scipy.optimize import linear_sum_assignment

from ccdcgan_al.codec.crystal_codec import CrystalCodec, DecodeFailure
from ccdcgan_al.errors import StructureInputError
from tests.equivalent_graphs import equivalent_graphs

ELEMENTS = ("Bi", "Se", "O", "Li", "Co", "Mn", "Ni", "Ta")
BISE = CrystalCodec.load("fast", ("Bi", "Se"))
REASONS = {"no_sites", "too_many_sites", "no_lattice", "inconsistent_sites"}


def rocksalt() -> Structure:
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.9), ["Bi", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return cell.get_primitive_structure()


def bi2se3() -> Structure:
    cell = Lattice.hexagonal(4.143, 28.636)
    sites = [[0, 0, 0.4008], [0, 0, 0], [0, 0, 0.2117]]
    return Structure.from_spacegroup("R-3m", cell, ["Bi", "Se", "Se"], sites).get_primitive_structure()


def nickeline() -> Structure:
    return Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(4.1, 5.6), ["Bi", "Se"], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]
    )


CRYSTALS = pytest.mark.parametrize("crystal", [rocksalt(), bi2se3(), nickeline()], ids=lambda s: s.reduced_formula)


def largest_shift(structure: Structure, decoded: Structure) -> float:
    """Largest distance (Å) between a site and its decoded one, element by element; the cell is the encoded one."""
    worst = 0.0
    for element in structure.composition.elements:
        before = structure.frac_coords[[site.specie.symbol == element.symbol for site in structure]]
        after = decoded.frac_coords[[site.specie.symbol == element.symbol for site in decoded]]
        distances = structure.lattice.get_all_distances(before, after)
        worst = max(worst, float(distances[linear_sum_assignment(distances)].max()))
    return worst


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    """Ordinary, skewed and elongated cells."""
    kind = draw(st.sampled_from(["ordinary", "skewed", "elongated"]))
    edge = st.floats(2.6, 9.5)
    if kind == "elongated":
        return Lattice.from_parameters(
            *(draw(st.floats(2.6, 3.6)) for _ in range(2)), draw(st.floats(9, 10.8)), 90, 97, 90
        )
    lattice = Lattice.from_parameters(*(draw(edge) for _ in range(3)), *(draw(st.floats(75, 105)) for _ in range(3)))
    if kind == "skewed":  # the same crystal in a cell far from reduced
        shear = np.eye(3)
        shear[1, 0], shear[2, 0], shear[2, 1] = (draw(st.integers(-2, 2)) for _ in range(3))
        lattice = Lattice(shear @ lattice.matrix)
    return lattice


@st.composite
def crystals(draw: st.DrawFn) -> Structure:
    """1 to 20 sites of 1 to 8 elements, at least 1.2 Å apart, a third of them on faces, edges and corners of the cell."""
    lattice = draw(lattices())
    wanted, n_elements = draw(st.integers(1, 20)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sites: list[np.ndarray] = []
    for _ in range(200):
        site = rng.random(3)
        if rng.random() < 1 / 3:
            site[rng.random(3) < 0.5] = rng.choice([0, 0.5])
        if not sites or lattice.get_all_distances([site], sites).min() >= 1.2:
            sites.append(site)
        if len(sites) == wanted:
            break
    names = list(ELEMENTS[: min(n_elements, len(sites))])
    return Structure(lattice, names + list(rng.choice(names, len(sites) - len(names))), sites)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(crystal=crystals())
def test_round_trip(crystal: Structure) -> None:
    codec = CrystalCodec.load("fast", ELEMENTS[: len(crystal.composition)])
    try:
        reduced = codec.check(crystal)
    except StructureInputError:
        assume(False)
    graphs = codec.encode([crystal])
    assert graphs.shape == (1, codec.side, codec.side, 1)
    assert np.abs(graphs).max() <= 1
    (decoded,) = codec.decode(graphs)
    assert isinstance(decoded, Structure), decoded
    assert decoded.composition == crystal.composition
    np.testing.assert_allclose(decoded.lattice.parameters, reduced.lattice.parameters, rtol=1e-5)
    assert largest_shift(reduced, decoded) < 0.05


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0, 0.05, 0.3, 1, 3, 1e3, 1e30, 1e200]),
    bad=st.sampled_from([0.0, np.nan, np.inf, -np.inf]),
    count=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_graph_has_one_answer(seed: int, scale: float, bad: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    graphs = rng.normal(size=(count, 28, 28, 1)) * scale
    if count:
        graphs[0, rng.integers(28), rng.integers(28)] += bad
    answers = BISE.decode(graphs)
    assert len(answers) == count
    for answer in answers:
        if isinstance(answer, DecodeFailure):
            assert answer.reason in REASONS
            assert answer.message
        else:
            assert 1 <= len(answer) <= 20
            assert np.isfinite(answer.cart_coords).all()
            assert answer.volume > 0
    if count and not np.isfinite(bad):
        assert answers[0] == DecodeFailure("inconsistent_sites", "the graph has values that are not finite")


def test_failures_are_named_and_in_order() -> None:
    good = BISE.encode([rocksalt()])[0]
    crowded = CrystalCodec("fast", ("Bi",)).encode(
        [Structure(Lattice.cubic(8), ["Bi"] * 12, np.random.default_rng(0).random((12, 3)))]
    )[0]
    both = good.ravel().copy()
    both[25:225] = both[225:425] = crowded.ravel()[25:225]
    flat = good.ravel().copy()
    flat[3:24:6] = flat[4:24:6] = flat[5:24:6] = -1.2
    noisy = good.ravel().copy()
    noisy[25:203] = np.random.default_rng(0).uniform(-1, 1, 178)
    graphs = np.array([np.zeros(784), both, flat, noisy, good.ravel()]).reshape(-1, 28, 28, 1)
    answers = BISE.decode(graphs)
    reasons = [answer.reason if isinstance(answer, DecodeFailure) else answer.reduced_formula for answer in answers]
    assert reasons == ["no_sites", "too_many_sites", "no_lattice", "inconsistent_sites", "BiSe"]


def test_wrong_shape_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match=r"of 2 elements has shape \(28, 28, 1\)"):
        BISE.decode(np.zeros((1, 32, 32, 1)))


@CRYSTALS
def test_noise_tolerance(crystal: Structure) -> None:
    graph = BISE.encode([crystal])
    rng = np.random.default_rng(0)
    answers = BISE.decode(graph + rng.normal(scale=0.05, size=(50, *graph.shape[1:])))
    same = sum(isinstance(answer, Structure) and StructureMatcher().fit(answer, crystal) for answer in answers)
    assert same >= 48, f"{same} of 50 match after noise of 0.05 rms"


@CRYSTALS
def test_equivalent_graphs_are_the_same_crystal(crystal: Structure) -> None:
    graphs = equivalent_graphs(BISE, crystal, 12, np.random.default_rng(0))
    assert graphs.shape == (12, 28, 28, 1)
    np.testing.assert_array_equal(graphs[0], BISE.encode([crystal])[0])
    assert len(np.unique(graphs.round(3), axis=0)) > 1
    for decoded in BISE.decode(graphs):
        assert isinstance(decoded, Structure)
        assert StructureMatcher().fit(decoded, crystal)
    np.testing.assert_array_equal(graphs, equivalent_graphs(BISE, crystal, 12, np.random.default_rng(0)))


def one_site(lattice: Lattice, specie: object = "Bi", site: tuple[float, float, float] = (0, 0, 0)) -> Structure:
    return Structure(lattice, [specie], [site])


BAD_INPUTS = {
    "disordered": (one_site(Lattice.cubic(3), {"Bi": 0.5, "Se": 0.5}), "is disordered: the codec needs one element"),
    "partly empty": (one_site(Lattice.cubic(3), {"Bi": 0.5}), "is disordered"),
    "foreign": (one_site(Lattice.cubic(3), "Te"), "contains Te: this codec is for Bi, Se"),
    "NaN coordinate": (one_site(Lattice.cubic(3), site=(np.nan, 0, 0)), "coordinates that are not finite"),
    "NaN cell": (one_site(Lattice(np.full((3, 3), np.nan))), "coordinates that are not finite"),
    "flat": (one_site(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]])), r"a cell of 0 Å\^3, which is too small"),
    "empty": (Structure(Lattice.cubic(3), [], []), "too small for a crystal"),
    "too many": (rocksalt() * (3, 2, 2), "has 24 sites: the limit is 20; try its primitive cell"),
    "too long": (one_site(Lattice.tetragonal(3, 11.5)), r"11\.50 Å: lengths must be between 1\.6 and 11\.0 Å"),
    "too short": (one_site(Lattice.cubic(1.5)), r"1\.50 Å: lengths must be between"),
    "vast": (one_site(Lattice.cubic(1e9)), r"1e\+27 Å\^3: the limit is 1331 Å\^3"),
    "skewed to nothing": (one_site(Lattice.from_parameters(5, 5, 5, 3, 3, 3)), "lengths must be between"),
}


@pytest.mark.parametrize(("structure", "message"), BAD_INPUTS.values(), ids=list(BAD_INPUTS))
def test_bad_input_is_named(structure: Structure, message: str) -> None:
    with pytest.raises(StructureInputError, match=message):
        BISE.encode([structure])


def test_a_batch_keeps_its_good_members_and_reports_the_bad() -> None:
    good = [rocksalt(), bi2se3(), nickeline()]
    bad = [structure for structure, _ in BAD_INPUTS.values()]
    mixed: list[Structure] = [bad[0], good[0], *bad[1:], *good[1:] * 40]
    batch = BISE.encode_batch(mixed)
    assert list(batch.indices) == [1, *range(len(bad) + 1, len(mixed))]
    np.testing.assert_array_equal(batch.graphs, BISE.encode([mixed[i] for i in batch.indices]))
    assert sorted(batch.errors) == [0, *range(2, len(bad) + 1)]
    for error, (_, message) in zip(batch.errors.values(), BAD_INPUTS.values(), strict=True):
        with pytest.raises(StructureInputError, match=message):
            raise error


def test_a_batch_may_hold_nothing_good() -> None:
    batch = BISE.encode_batch([cast("Structure", None)])
    assert batch.graphs.shape == (0, 28, 28, 1)
    assert str(batch.errors[0]) == "got NoneType: the codec needs a pymatgen Structure"
    assert BISE.encode_batch([]).graphs.shape == (0, 28, 28, 1)


def test_what_is_encoded_can_be_decoded() -> None:
    """20 sites are the limit on a cell, not on an element: what encodes never decodes to `too_many_sites`."""
    with pytest.raises(StructureInputError, match="has 22 sites"):
        BISE.encode([Structure(Lattice.cubic(9), ["Bi"] * 11 + ["Se"] * 11, np.random.default_rng(0).random((22, 3)))])


def test_oxidation_states_are_left_out() -> None:
    charged = rocksalt().add_oxidation_state_by_element({"Bi": 2, "Se": -2})
    np.testing.assert_array_equal(BISE.encode([charged]), BISE.encode([rocksalt()]))


@pytest.mark.parametrize(
    ("name", "elements", "message"),
    [
        ("voxels", ("Bi", "Se"), "unknown codec 'voxels': use one of fast"),
        ("fast", ("Bi", "Xx"), "unknown element 'Xx'"),
        ("fast", ("Bi", "Bi"), "an element occurs twice"),
        ("fast", (), "got 0 elements: a crystal graph has 1 to 8"),
        ("fast", ("H", "He", "Li", "Be", "B", "C", "N", "O", "F"), "got 9 elements: a crystal graph has 1 to 8"),
    ],
)
def test_bad_codecs(name: str, elements: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrystalCodec.load(name, elements)
