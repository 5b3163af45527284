"""What a campaign refuses to start without, and what is tried where an element lacks a relaxed structure."""

import pytest
from pymatgen.core import Lattice, Structure

from ccdcgan_al.campaign import Campaign
from ccdcgan_al.errors import StartingStructuresError
from ccdcgan_al.loop import further_candidates
from ccdcgan_al.seeds import starting
from ccdcgan_al.seeds.choose import element_structures


def cell(*symbols: str) -> Structure:
    return Structure(Lattice.cubic(4.0), symbols, [[i / len(symbols)] * 3 for i in range(len(symbols))])


def given(*structures: Structure) -> dict[str, str]:
    return {f"{number}.cif": str(structure.to_json()) for number, structure in enumerate(structures)}


def test_a_system_of_which_no_compound_can_be_made_says_what_is_missing() -> None:
    wanted = (
        r"Bi-He: no starting compound can be made, because the atomic radius of He is not known and its volume cannot be predicted; "
        r"put structures that contain He in a folder and give it with --seeds FOLDER"
    )
    with pytest.raises(StartingStructuresError, match=wanted):
        starting.check_system(Campaign("Bi-He"))


def test_an_element_of_which_nothing_is_known_says_so() -> None:
    wanted = (
        r"Fr-Se: no starting structure of Fr can be made, because neither its molar volume nor its atomic radius is known; "
        r"put a structure of Fr in a folder and give it with --seeds FOLDER"
    )
    with pytest.raises(StartingStructuresError, match=wanted):
        starting.check_system(Campaign("Fr-Se"))
    with pytest.raises(
        StartingStructuresError, match="no starting compound"
    ):  # the stored element alone is no campaign
        starting.check_system(Campaign("Fr-Se"), {"Fr"})


def test_ones_own_structures_help() -> None:
    starting.check_system(Campaign("Bi-He", own_seeds=given(cell("He"))))
    starting.check_system(Campaign("Bi-He", own_seeds=given(cell("Bi", "He"))))
    starting.check_system(Campaign("Fr-Se", own_seeds=given(cell("Fr"))))
    hidden = cell("He")
    with pytest.raises(StartingStructuresError, match="He"):
        starting.check_system(Campaign("Bi-He", own_seeds=given(hidden), withheld=(str(hidden.to_json()),)))


@pytest.mark.parametrize("system", ["Bi-Se", "Pu-U", "Ar-Fe-O", "F-Xe", "Fe-He-O"])
def test_others_start(system: str) -> None:
    starting.check_system(Campaign(system))


def test_elements_that_no_starting_compound_holds() -> None:
    assert starting.without_compounds(Campaign("Fe-He-O")) == ["He"]
    assert starting.without_compounds(Campaign("Fe-He-O", own_seeds=given(cell("Fe", "He")))) == []
    assert starting.without_compounds(Campaign("Bi-Se")) == []


@pytest.mark.slow
def test_what_was_chosen_holds_each_element() -> None:
    starting.check_chosen(Campaign("Bi-Se"), [cell("Bi"), cell("Se")])
    starting.check_chosen(Campaign("Bi-Se"), [cell("Bi")], {"Se"})
    hidden = tuple(str(item.structure.to_json()) for item in element_structures("Se"))
    with pytest.raises(
        StartingStructuresError, match="no starting structure of Se can be made, because all of them match withheld"
    ):
        starting.check_chosen(Campaign("Bi-Se", withheld=hidden), [cell("Bi"), cell("Bi", "Se")])


def test_further_structures_are_others_and_numbered_on() -> None:
    campaign = Campaign("Pu-U", seed_count=8)
    known = element_structures("Pu")
    tried = [known[0].structure, known[1].structure, cell("U")]
    found = further_candidates(campaign, ["Pu"], tried)
    assert [item.source for item in found] == [item.label for item in known[2:5]]
    assert [item.structure_id for item in found] == ["Pu-U-r0-0003", "Pu-U-r0-0004", "Pu-U-r0-0005"]
    assert {item.origin for item in found} == {"reference"}
    assert further_candidates(campaign, ["Pu"], [item.structure for item in known]) == []


def test_why_an_element_is_lacking() -> None:
    assert starting.lacking(("Bi", "Se"), [cell("Bi"), cell("Bi", "Se")]) == ["Se"]
    failures = [
        (cell("Pu"), "unphysical"),
        (cell("Pu"), "not_converged"),
        (cell("Pu"), "unphysical"),
        (cell("U"), "lost"),
    ]
    told = starting.why_lacking(["Pu"], failures)
    assert told == "none of 3 structures of Pu could be relaxed (not_converged: 1, unphysical: 2)"
    assert starting.what_helps(["Pu"]) == (
        "put a structure of Pu that can be relaxed in a folder and give it with --seeds FOLDER"
    )
