"""Train, dev and test for a corpus that comes without: whole groups (recordings, speakers) go to one set."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable

from slm_espnet.errors import UserError

SPLITS = ("train", "dev", "test")


def add_split_options(parser: argparse.ArgumentParser, share: float = 0.1) -> None:
    """Options --dev_share and --test_share."""
    parser.add_argument("--dev_share", type=float, default=share, help="share of the data for validation")
    parser.add_argument("--test_share", type=float, default=share, help="share of the data for the test")


def split_groups(groups: Iterable[str], seed: int, dev_share: float, test_share: float) -> dict[str, str]:
    """Set of each group; decided by seed and names, not by their order. Every set gets at least one group.

    Args:
        groups: names, repeated ones count once.
        seed: another one, another split.
        dev_share, test_share: of the number of groups; 0: no such set.

    Raises:
        UserError: shares that are none, or fewer groups than sets.
    """
    shares = {"dev": dev_share, "test": test_share}
    if min(shares.values()) < 0 or sum(shares.values()) >= 1:
        raise UserError(f"--dev_share {dev_share} and --test_share {test_share} must leave something to train on")
    names = sorted(set(groups), key=lambda name: hashlib.sha1(f"{seed} {name}".encode()).digest())
    wanted = [name for name, share in shares.items() if share > 0]
    if len(names) <= len(wanted):
        raise UserError(f"{len(names)} group(s) cannot be split into {', '.join(['train', *wanted])}: add data")
    sets = dict.fromkeys(names, "train")
    position = 0
    for set_name in wanted:
        count = max(1, round(shares[set_name] * len(names)))
        for name in names[position : position + count]:
            sets[name] = set_name
        position += count
    if position >= len(names):
        raise UserError(f"--dev_share {dev_share} and --test_share {test_share} leave no group to train on")
    return sets
