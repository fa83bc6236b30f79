"""Options whose value is a list of names."""

import pytest

from slm_espnet.errors import UserError
from slm_espnet.options import chosen, split_names


def test_names_are_separated_by_commas_or_blanks():
    assert split_names(" a, b\tc,,d ") == ["a", "b", "c", "d"] and split_names("") == []


def test_chosen_entries():
    assert chosen("b, a b", "abc", "--x") == ["b", "a"]
    assert chosen("all", "abc", "--x") == ["a", "b", "c"]
    with pytest.raises(UserError, match="--x: d e is not among a b c"):
        chosen("a,d,e", "abc", "--x")
    with pytest.raises(UserError, match="--x: nothing"):
        chosen(" ", "abc", "--x")
