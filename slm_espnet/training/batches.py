"""Batches of a training's examples: shaped as ESPnet's batch samplers do, and mixed where mixing_conf says so."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from espnet2.samplers.abs_sampler import AbsSampler
from espnet2.tasks.abs_task import IteratorOptions

from slm_espnet.errors import UserError
from slm_espnet.training.groups import Groups
from slm_espnet.training.lazy_batches import LazyBatches
from slm_espnet.training.mixing import ExampleStreams, MixedBatches, MixingOptions
from slm_espnet.training.shapes import Shapes
from slm_espnet.training.shaping import Shaping


def shaping_of(args: argparse.Namespace, options: IteratorOptions, min_batch_size: int = 1) -> Shaping:
    """How batches are formed.

    Args:
        args: of the training.
        options: ESPnet's for training or validation: type and size of batches.
        min_batch_size: least number of examples in a batch.
    """
    return Shaping(
        batch_type=options.batch_type,
        batch_size=options.batch_size,
        batch_bins=options.batch_bins,
        fold_lengths=args.fold_length,
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=min_batch_size,
    )


def shard_of(options: IteratorOptions) -> tuple[int, int]:
    """Rank and number of processes of a training."""
    if not options.distributed:
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


class ShuffledBatches(AbsSampler):
    """All examples once in each epoch, in batches whose order ESPnet's shuffling of that epoch gives."""

    def __init__(self, shapes: Shapes, shaping: Shaping, shard: tuple[int, int] = (0, 1)):
        """Form the batches.

        Args:
            shapes: of the examples.
            shaping: how they are cut into batches.
            shard: rank and number of processes; each gets its part of every batch.

        Raises:
            UserError: a batch is smaller than the number of processes.
        """
        self.shaping = shaping
        self.batches = LazyBatches(shapes.ids, *shaping.form(shapes.lengths, shapes.dims), shard=shard)
        smallest = int(self.batches.sizes().min())
        if smallest < shard[1]:
            raise UserError(f"a batch has {smallest} of at least {shard[1]} examples, one a process; raise batch_size")

    def generate(self, seed: int) -> LazyBatches:
        """The batches of an epoch; seed: as ESPnet's SequenceIterFactory gives it."""
        order = np.arange(len(self.batches))
        np.random.RandomState(seed).shuffle(order)
        return self.batches.reordered(order)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.batches)

    def __repr__(self) -> str:
        sizes = self.batches.sizes()
        some = f"{sizes.min()} to {sizes.max()}, {sizes.mean():.1f} in the mean"
        return f"{len(self)} batches of so many examples: {some}; {self.shaping}"


def mix_batches(args: argparse.Namespace, options: IteratorOptions, shapes: Shapes, groups: Groups) -> MixedBatches:
    """Batches of examples drawn by mixing_conf.

    Args:
        args: of the training.
        options: ESPnet's for training.
        shapes: of the examples.
        groups: set, task and language of each.

    Raises:
        UserError: mixing_conf is not right, or leaves nothing to train on.
    """
    options_of_mixing = MixingOptions.from_dict(args.mixing_conf)
    streams = ExampleStreams(shapes.ids, groups.codes, groups.names, options_of_mixing, args.seed)
    shard = shard_of(options)
    shaping = shaping_of(args, options, max(args.min_batch_size, shard[1]))
    return MixedBatches(streams, shapes, shaping, options.num_iters_per_epoch, shard)


def shuffled_batches(args: argparse.Namespace, options: IteratorOptions, shapes: Shapes) -> ShuffledBatches:
    """Batches of all examples, each once in an epoch; arguments as `mix_batches`."""
    shard = shard_of(options)
    least = shard[1] if options.distributed else args.min_batch_size
    return ShuffledBatches(shapes, shaping_of(args, options, least), shard)
