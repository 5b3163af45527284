"""Chemical systems: what is accepted, and what each mistake is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcgan_al.chemsys import ELEMENT_SYMBOLS, parse_chemical_system
from ccdcgan_al.errors import ChemicalSystemError


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Bi-Se", ("Bi", "Se")),
        ("Mn-Se", ("Mn", "Se")),
        ("Co-Li-O", ("Co", "Li", "O")),
        ("Si-C", ("C", "Si")),
        ("Li-Co-O", ("Co", "Li", "O")),
        ("Li-Cd", ("Cd", "Li")),
    ],
)
def test_accepts(text: str, symbols: tuple[str, ...]) -> None:
    assert parse_chemical_system(text) == symbols


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Se-Bi", 'neither in alphabetical order nor in the order of a formula; write it as "Bi-Se"'),
        ("O-Co-Li", 'nor in the order of a formula; write it as "Co-Li-O"'),
        ("bi-se", '"bi" is not the symbol of an element; write it as "Bi-Se"'),
        ("BiSe", '"BiSe" is not the symbol of an element; write it as "Bi-Se"'),
        ("Bi, Se", 'write it as "Bi-Se"'),
        ("Bi-Se\n", 'write it as "Bi-Se"'),
        ("Bi-Xx", '"Xx" is not the symbol of an element'),
        ("Bi", "has one element; give 2 to 8"),
        ("Bi-Bi", "repeats Bi"),
        ("Bi-Se-Se", 'repeats Se; write it as "Bi-Se"'),
        ("", "is not the symbol of an element"),
        ("D-O", '"D" is not the symbol'),
        ("Ag-Al-As-Au-B-Ba-Be-Bi-Br", "has 9 elements; give 2 to 8"),
    ],
)
def test_mistake_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ChemicalSystemError) as error:
        parse_chemical_system(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@given(st.sets(st.sampled_from(sorted(ELEMENT_SYMBOLS)), min_size=2, max_size=8))
def test_sorted_symbols_round_trip(symbols: set[str]) -> None:
    assert parse_chemical_system("-".join(sorted(symbols))) == tuple(sorted(symbols))


@given(st.text(max_size=200))
def test_any_text_parses_or_is_told_in_one_short_line(text: str) -> None:
    message = ""
    try:
        parse_chemical_system(text)
    except ChemicalSystemError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
    assert len(message) < 400
