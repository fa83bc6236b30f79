"""Mixing of training sets, tasks and languages by temperature.

Examples are drawn by group (set, task, language), a group of n examples with probability p ∝ w · n^(1/T): in proportion
to the sizes for T = 1, evenly for T = inf (as multilingual text models are trained, arXiv 1907.05019, section 4.2). In
the training's YAML:

    mixing_conf:
        temperature: 3.0
        weights: {"ami/*": 0.5, "*/asr_biasing": 2.0}    # set/task/language or its beginning; 0 leaves a group out

Within a group examples come in a shuffled order, each once before any comes again, over the borders of epochs too. What
an epoch consists of depends on the seed, the epoch's number and the data alone, so that a training resumes exactly.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from espnet2.samplers.abs_sampler import AbsSampler

from slm_espnet.errors import UserError
from slm_espnet.training.groups import Group, group_name
from slm_espnet.training.lazy_batches import LazyBatches
from slm_espnet.training.shapes import Shapes
from slm_espnet.training.shaping import Shaping

PROBE = 4096  # examples from which the size of batches is estimated


@dataclass(frozen=True)
class MixingOptions:
    """How groups are weighted against each other."""

    temperature: float = 1.0  # T in p ∝ n^(1/T), above 0; inf: all groups alike
    weights: Mapping[str, float] = field(default_factory=dict)  # pattern of group names → factor on p

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MixingOptions:
        """From the values of mixing_conf; UserError for an unknown key or an impossible value."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(f"mixing_conf has unknown key(s) {', '.join(unknown)}; known: {', '.join(known)}")
        weights = values.get("weights") or {}
        if not isinstance(weights, Mapping):
            raise UserError("mixing_conf: weights must map set/task/language, or its beginning, to factors")
        try:
            options = cls(float(values.get("temperature", 1.0)), {str(k): float(v) for k, v in weights.items()})
        except (TypeError, ValueError) as error:
            raise UserError(f"mixing_conf: temperature and weights are numbers ({error})") from error
        if not options.temperature > 0:
            raise UserError(f"mixing_conf: temperature must be above 0 (.inf: all alike), not {options.temperature}")
        if not all(0 <= weight < math.inf for weight in options.weights.values()):
            raise UserError("mixing_conf: weights must be 0 or more")
        return options

    def weight(self, name: str) -> float:
        """Product of the factors whose pattern fits a group's name."""
        return math.prod(value for pattern, value in self.weights.items() if matches(name, pattern))


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern with * names `<set>/<task>/<language>` or what it begins with."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}/*")


def expected_shares(sizes: Mapping[Group, int], options: MixingOptions) -> dict[Group, float]:
    """Share of each group among the examples drawn; they sum to 1.

    Raises:
        UserError: a pattern of the weights that fits no group, or no group left.
    """
    names = [group_name(group) for group in sizes]
    for pattern in options.weights:
        if not any(matches(name, pattern) for name in names):
            raise UserError(f"mixing_conf: weights: no group fits {pattern!r}; there are {', '.join(names)}")
    powers = {
        group: options.weight(group_name(group)) * size ** (1 / options.temperature) for group, size in sizes.items()
    }
    total = sum(powers.values())
    if not total:
        raise UserError("mixing_conf: weights leave no group to train on")
    return {group: power / total for group, power in powers.items()}


class ExampleStreams:
    """One endless shuffled stream of examples for each group, and how many an epoch takes of each."""

    def __init__(self, ids: np.ndarray, codes: np.ndarray, names: Sequence[Group], options: MixingOptions, seed: int):
        """Set up.

        Args:
            ids: (N,) bytes, of the examples.
            codes: (N,) number of each example's group.
            names: the groups, sorted.
            options: how they are weighted.
            seed: of the streams.
        """
        self.groups = list(names)
        order = np.argsort(codes, kind="stable").astype(np.int32)
        counts = np.bincount(codes, minlength=len(names))
        self.members = [_sorted_by_id(part, ids) for part in np.split(order, np.cumsum(counts)[:-1])]
        self.sizes = dict(zip(self.groups, counts.tolist(), strict=True))
        self.shares = expected_shares(self.sizes, options)
        self.seed = seed

    def draw(self, epoch: int, size: int, more: int = 0) -> np.ndarray:
        """Numbers of the examples of an epoch, shuffled.

        Args:
            epoch: from 1.
            size: examples of every epoch; the streams go on where the epoch before stopped.
            more: that many more, which the next epoch will have too.
        """
        shares = np.array([self.shares[group] for group in self.groups])
        starts, credit = np.zeros(len(shares), dtype=np.int64), np.zeros(len(shares))
        for number in range(1, epoch + 1):
            credit += size * shares
            counts = apportion(credit, size)
            credit -= counts
            starts += counts if number < epoch else 0
        counts = counts + apportion(credit + more * shares, more)
        drawn = np.concatenate([self._slice(i, starts[i], counts[i]) for i in range(len(shares))])
        np.random.default_rng((self.seed, epoch)).shuffle(drawn)
        return drawn

    def _slice(self, index: int, start: int, count: int) -> np.ndarray:
        """Examples start, ..., start + count - 1 of a group's stream: one seeded order of all after the other."""
        members = self.members[index]
        cycles = range(start // len(members), -(-(start + count) // len(members)))
        orders = [np.random.default_rng((self.seed, 1 + index, cycle)).permutation(members) for cycle in cycles]
        first = start - cycles.start * len(members)
        return np.concatenate([members[:0], *orders])[first : first + count]


def _sorted_by_id(members: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Examples in the order of their ids, whatever that of the shape file: as a rule they are."""
    names = ids[members]
    return members if (names[1:] > names[:-1]).all() else members[np.argsort(names)]


def apportion(credit: np.ndarray, size: int) -> np.ndarray:
    """Whole numbers (G,) that sum to size, as near as can be to the credit (G,) whose sum is size."""
    counts = np.maximum(np.floor(credit), 0).astype(np.int64)
    fractions = np.where(credit > 0, credit - counts, -np.inf)
    while (missing := size - int(counts.sum())) > 0:
        chosen = np.argsort(-fractions, kind="stable")[: min(missing, int((credit > 0).sum()))]
        counts[chosen] += 1
    while (counts.sum() - size) > 0:  # a group that was ahead before keeps others from their full number
        counts[np.argmin(np.where(counts > 0, fractions, np.inf))] -= 1
    return counts


class MixedBatches(AbsSampler):
    """The batches of each epoch, all with the same number of batches."""

    def __init__(
        self,
        streams: ExampleStreams,
        shapes: Shapes,
        shaping: Shaping,
        num_batches: int | None = None,
        shard: tuple[int, int] = (0, 1),
    ):
        """Find out how many examples an epoch takes.

        Args:
            streams: what is drawn from.
            shapes: of the examples.
            shaping: how they are cut into batches.
            num_batches: batches of an epoch; None: as many as the examples make.
            shard: rank and number of processes of a distributed training; each gets its part of every batch.
        """
        self.streams, self.shapes, self.shaping, self.shard = streams, shapes, shaping, shard
        available = sum(streams.sizes.values())
        if num_batches is None:
            self.size, self.num_batches = available, max(1, len(self._form(streams.draw(1, available))))
            return
        probe = min(available, PROBE)
        mean = probe / max(1, len(self._form(streams.draw(1, probe))))
        self.size, self.num_batches = math.ceil(num_batches * mean), num_batches
        while (short := num_batches - len(self._form(streams.draw(1, self.size)))) > 0:
            self.size += math.ceil(short * mean)

    def _form(self, drawn: np.ndarray) -> LazyBatches:
        """Batches of examples (numbers) among which some may occur more than once."""
        order, bounds = self.shaping.form([lengths[drawn] for lengths in self.shapes.lengths], self.shapes.dims)
        batches = LazyBatches(self.shapes.ids, drawn[order], bounds, shard=self.shard)
        return batches.reordered(np.flatnonzero(batches.sizes() >= self.shard[1]))  # the rest would leave one idle

    def generate(self, seed: int) -> LazyBatches:
        """The batches of an epoch; seed is its number."""
        more = 0
        while len(batches := self._form(self.streams.draw(seed, self.size, more))) < self.num_batches:
            more += math.ceil((self.num_batches - len(batches)) * self.size / self.num_batches)
        order = np.random.default_rng((self.streams.seed, seed, 1)).permutation(len(batches))[: self.num_batches]
        return batches.chosen(order)

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.generate(1))

    def describe(self, epochs: int) -> str:
        """A table: what there is of each group, its expected share of what is drawn, how often an example comes by."""
        sizes, shares = self.streams.sizes, self.streams.shares
        total = sum(sizes.values())
        width = max(len(group_name(group)) for group in sizes)
        lines = [f"  {'group':<{width}}  examples    share  expected  an epoch  times seen in {epochs} epochs"]
        for group in self.streams.groups:
            drawn = self.size * shares[group]
            lines.append(
                f"  {group_name(group):<{width}}  {sizes[group]:>8}  {100 * sizes[group] / total:>5.1f} %  "
                f"{100 * shares[group]:>6.1f} %  {drawn:>8.0f}  {epochs * drawn / sizes[group]:.2f}"
            )
        return "\n".join(lines)
