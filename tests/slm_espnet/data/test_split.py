"""Whole groups go to one set, decided by seed and name alone."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from slm_espnet.data.split import split_groups
from slm_espnet.errors import UserError


def test_shares_are_kept_and_order_does_not_matter():
    names = [f"talk {number}" for number in range(100)]
    sets = split_groups(names, 1, 0.1, 0.2)
    assert Counter(sets.values()) == {"train": 70, "dev": 10, "test": 20}
    shuffled = random.Random(3).sample(names * 2, 200)
    assert split_groups(shuffled, 1, 0.1, 0.2) == sets
    assert split_groups(names, 2, 0.1, 0.2) != sets


def test_every_set_gets_a_group_and_a_share_of_none_gets_none():
    assert sorted(split_groups("abc", 1, 0.01, 0.01).values()) == ["dev", "test", "train"]
    assert sorted(split_groups("ab", 1, 0.01, 0).values()) == ["dev", "train"]
    assert set(split_groups("ab", 1, 0, 0).values()) == {"train"}


@pytest.mark.parametrize(
    ("names", "dev", "test"), [("ab", 0.1, 0.1), ("abcd", 0.5, 0.5), ("abcd", -0.1, 0.1), ("", 0, 0)]
)
def test_what_leaves_nothing_to_train_on_is_refused(names, dev, test):
    with pytest.raises(UserError, match="add data|must leave"):
        split_groups(names, 1, dev, test)
