"""Batches of a training's examples: shaped by ESPnet's batch samplers, and mixed where mixing_conf says so."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import torch
from espnet2.samplers.abs_sampler import AbsSampler
from espnet2.samplers.build_batch_sampler import build_batch_sampler
from espnet2.tasks.abs_task import IteratorOptions

from slm_espnet.training.groups import Group
from slm_espnet.training.mixing import ExampleStreams, MixedBatches, MixingOptions


def form_batches(
    args: argparse.Namespace, options: IteratorOptions, shape_files: Sequence[str], min_batch_size: int = 1
) -> AbsSampler:
    """ESPnet's batches of the examples of some shape files.

    Args:
        args: of the training.
        options: ESPnet's for training or validation: type and size of batches.
        shape_files: `<utterance> <length>[,<dim>]` lines.
        min_batch_size: least number of examples in a batch.
    """
    return build_batch_sampler(
        type=options.batch_type,
        shape_files=list(shape_files),
        fold_lengths=args.fold_length,
        batch_size=options.batch_size,
        batch_bins=options.batch_bins,
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=max(args.min_batch_size, min_batch_size),
    )


def mix_batches(args: argparse.Namespace, options: IteratorOptions, groups: Mapping[str, Group]) -> MixedBatches:
    """Batches of examples drawn by mixing_conf.

    Args:
        args: of the training.
        options: ESPnet's for training.
        groups: utterance id → set, task and language.

    Raises:
        UserError: mixing_conf is not right, or leaves nothing to train on.
    """
    streams = ExampleStreams(groups, MixingOptions.from_dict(args.mixing_conf), args.seed)
    shard = (0, 1)
    if options.distributed:
        shard = (torch.distributed.get_rank(), torch.distributed.get_world_size())

    def form(shape_files: list[str]) -> AbsSampler:
        return form_batches(args, options, shape_files, min_batch_size=shard[1])

    return MixedBatches(streams, options.shape_files, form, options.num_iters_per_epoch, shard)
