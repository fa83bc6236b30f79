"""SLMTask: what the command line and the YAML of adapter training can choose, on ESPnet's task interface."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import inspect
import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.samplers.abs_sampler import AbsSampler
from espnet2.samplers.build_batch_sampler import BATCH_TYPES, CATEGORY_BATCH_TYPES
from espnet2.tasks.abs_task import AbsTask, IteratorOptions, optim_classes, scheduler_classes
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.class_choices import ClassChoices
from espnet2.train.distributed_utils import DistributedOption, get_rank
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none, str_or_none

from slm_espnet.adapter.base import AbsAdapterBody, AbsAdapterOutput
from slm_espnet.adapter.build import BODIES, OUTPUTS, REDUCTIONS
from slm_espnet.checkpoint import check_llm
from slm_espnet.encodings.fingerprint import check_fingerprint
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.files import read_yaml
from slm_espnet.length_reduction.base import AbsTrainedReduction
from slm_espnet.llm.build import LLM_KINDS, build_tokenizer
from slm_espnet.planning.training import describe_training
from slm_espnet.training.batches import mix_batches, shaping_of, shuffled_batches
from slm_espnet.training.build import (
    apply_encodings,
    apply_foundation,
    build_model,
    build_template,
    check_prompts,
    encodings_directories,
)
from slm_espnet.training.collate import collate
from slm_espnet.training.data_path import split_path
from slm_espnet.training.dataset import register_data_type
from slm_espnet.training.diagnostics import (
    count_parameters,
    describe_encodings,
    describe_identity,
    describe_loss,
    describe_model,
)
from slm_espnet.training.groups import CountedIterFactory, Groups, read_groups, state_of
from slm_espnet.training.launch import LAUNCH_OPTIONS, check_device_map
from slm_espnet.training.loading import SharedIterFactory
from slm_espnet.training.preprocessor import SLMPreprocessor
from slm_espnet.training.resume import CHECKPOINT
from slm_espnet.training.saving import locked
from slm_espnet.training.self_targets import check_own_answers, trained_and_self_tasks
from slm_espnet.training.shapes import Shapes, known_shapes, read_shapes
from slm_espnet.training.shaping import TOKENS, with_prompts
from slm_espnet.training.trainer import SLMTrainer

adapter_choices = ClassChoices("adapter", BODIES, type_check=AbsAdapterBody, default="transformer")
adapter_output_choices = ClassChoices(
    "adapter_output", OUTPUTS, type_check=AbsAdapterOutput, default="embedding_mixture"
)
length_reduction_choices = ClassChoices("length_reduction", REDUCTIONS, type_check=AbsTrainedReduction, optional=True)
model_choices = ClassChoices("model", {"slm": ESPnetSLMModel}, type_check=AbsESPnetModel, default="slm")

# Where ESPnet's defaults do not suit a small adapter on cached encodings
DEFAULTS = {
    "num_workers": 0,  # reading memory-mapped encodings is faster than handing them between processes
    "optim": "adamw",
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
    "best_model_criterion": [("valid", "loss", "min")],
    "keep_nbest_models": 3,
    "grad_clip": 1.0,
}

LAST_KEY = "distributed"  # with which ESPnet ends config.yaml
# ESPnet's options that have no meaning here, and their defaults
NOT_OFFERED = {
    "use_deepspeed": False,
    "num_att_plot": 0,
    "create_graph_in_tensorboard": False,
    "ddp_comm_hook": None,
    "wandb_model_log_interval": -1,
    "unused_parameters": False,
}


class SLMTask(AbsTask):
    """Adapter training. `SLMTask.main()` is a command line; a YAML with the same names goes to --config."""

    num_optimizers = 1
    trainer = SLMTrainer
    class_choices_list = [adapter_choices, adapter_output_choices, length_reduction_choices, model_choices]

    @classmethod
    def get_parser(cls) -> argparse.ArgumentParser:
        """ESPnet's parser, whose errors are one line."""
        register_data_type()
        parser = super().get_parser()
        parser.allow_abbrev = False
        names = sorted(action.dest for action in parser._actions)

        def error(message: str) -> None:
            words = message.replace("--", " ").split()
            near = [match for word in words for match in difflib.get_close_matches(word, names, n=1, cutoff=0.75)]
            raise UserError(message + (f" (did you mean {', '.join(near)}?)" if near else ""))

        parser.error = error
        return parser

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Options of this task. `--adapter` is ours: ESPnet's own (its LoRA for speech models) makes way."""
        parser.conflict_handler = "resolve"
        group = parser.add_argument_group(description="Speech language model")
        group.add_argument("--foundation", type=str_or_none, help="YAML of the frozen pair; fills llm and prompt_conf")
        group.add_argument("--llm", type=str_or_none, choices=(*LLM_KINDS, None), help="Kind of language model")
        group.add_argument("--llm_conf", action=NestedDictAction, default={}, help="Keys of LLMConf: model, dtype, …")
        group.add_argument("--prompt_conf", action=NestedDictAction, default={}, help="Fields of PromptTemplate")
        group.add_argument("--input_size", type=int_or_none, help="Width of an encoding; read from the encodings")
        group.add_argument("--encoding_fingerprint", action=NestedDictAction, help="Read from the encodings")
        group.add_argument("--llm_identity", action=NestedDictAction, help="Written into config.yaml by training")
        group.add_argument(
            "--mixing_conf",
            action=NestedDictAction,
            default={},
            help="temperature and weights by which sets, tasks and languages are mixed; none: all examples alike",
        )
        group.add_argument(
            "--trained_tasks", type=str, nargs="*", default=[], help="Written into config.yaml by training"
        )
        group.add_argument("--self_tasks", type=str, nargs="*", default=[], help="Likewise: seen in self targets only")
        group.add_argument("--num_threads", type=int_or_none, help="CPU threads; PyTorch's choice if none")
        group.add_argument(
            "--save_every_seconds", type=float, default=600.0, help="Time between checkpoints within an epoch; 0: none"
        )
        group.add_argument(
            "--save_every_steps", type=int, default=0, help="Likewise in steps of the optimizer; 0: none"
        )
        for part, default in (("", "folded"), ("valid_", None)):
            group.add_argument(
                f"--{part}batch_type",
                type=str_or_none,
                default=default,
                choices=(*BATCH_TYPES, *CATEGORY_BATCH_TYPES, TOKENS, *(() if default else (None,))),
                help=f"ESPnet's, or {TOKENS}: batch_bins are positions that the language model reads, padding included",
            )
        for option in LAUNCH_OPTIONS:
            group.add_argument(f"--{option.name}", type=int, default=option.default, help=option.help)
        for choices in cls.class_choices_list:
            choices.add_arguments(group)
        parser.set_defaults(**DEFAULTS)

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """One name carries row and encoding."""
        return ("speech",)

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """None."""
        return ()

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        """See training/collate.py."""
        return collate

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> SLMPreprocessor:
        """Tokenizing with the configuration's prompt template; needs no LLM weights."""
        return SLMPreprocessor(build_template(args.prompt_conf), build_tokenizer(args.llm, args.llm_conf))

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetSLMModel:
        """Build the model, completing args with what its foundations are; no speech encoder is built."""
        if args.num_threads is not None:
            torch.set_num_threads(args.num_threads)
        cls._check(args)
        data = [*args.train_data_path_and_name_and_type, *args.valid_data_path_and_name_and_type]
        directories = encodings_directories(data)
        apply_foundation(vars(args))
        apply_encodings(vars(args), directories)
        cls._say_plan(args)
        model = build_model(vars(args))
        args.llm_identity = dict(model.llm.identity())
        if args.train_shape_file:
            training_data = args.train_data_path_and_name_and_type
            training_dirs = [data_dir for path, _, _ in training_data for data_dir, _ in split_path(path)]
            groups = cls.training_groups(args).names
            args.trained_tasks, args.self_tasks = trained_and_self_tasks(groups, training_dirs)
            check_own_answers(training_dirs, args.llm_identity)
        if args.resume and not args.collect_stats and cls._writes(args):
            cls._check_resumed(args, model)
        for side in ("encoder", "reduction"):
            logging.info("speech %s: %s", side, describe_identity(args.encoding_fingerprint.get(side) or {}))
        logging.info("language model: %s", describe_identity(args.llm_identity))
        logging.info("parameters:\n%s", describe_model(model))
        logging.info("loss: %s", describe_loss(model))
        if directories:
            logging.info(describe_encodings(EncodingReader(directories[0])))
        if not count_parameters(model, trained_only=True):
            raise UserError("nothing to train: every parameter is frozen")
        return model

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train in this process, with its output directory locked where it is the one that writes."""
        if args.ngpu > args.gpus_per_process and not args.distributed:
            raise UserError(f"--ngpu {args.ngpu} takes several processes: start python -m slm_espnet.bin.train")
        check_device_map(args.llm_conf, args.ngpu, args.gpus_per_process, torch.cuda.device_count())
        args.ngpu = min(args.ngpu, 1)
        args.fold_length = with_prompts(args.fold_length, args.train_shape_file)
        with locked(Path(args.output_dir)) if cls._writes(args) else contextlib.nullcontext():
            super().main_worker(args)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    @classmethod
    def _say_plan(cls, args: argparse.Namespace) -> None:
        """What each device will hold, before anything large is loaded; of a training without GPUs only where asked."""
        if not args.train_shape_file or not cls._writes(args) or not (args.ngpu or args.llm_conf.get("device_map")):
            return
        options = cls.build_iter_options(args, DistributedOption(), "train")
        shapes = cls.training_shapes(args)
        batches = shaping_of(args, options).form(shapes.lengths, shapes.dims)
        processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        try:
            logging.info(describe_training(vars(args), shapes, batches, processes))
        except UserError as error:
            if args.llm_conf.get("device_map"):
                raise
            logging.warning(f"no plan of the memory: {error}")

    @staticmethod
    def _writes(args: argparse.Namespace) -> bool:
        """Whether this is the process that writes all files."""
        return not args.distributed or get_rank(args.dist_rank, args.dist_launcher) == 0

    @classmethod
    def _check(cls, args: argparse.Namespace) -> None:
        """Refuse options that ESPnet has but that would go wrong or do nothing here."""
        if args.use_adapter:
            raise UserError("--use_adapter is ESPnet's own; the adapter here is always trained (LoRA: llm_conf.lora)")
        if len(args.best_model_criterion) != 1:
            raise UserError("give one best_model_criterion: ESPnet averages wrongly where two share epochs")
        if isinstance(args.keep_nbest_models, list | tuple) and len(args.keep_nbest_models) != 1:
            raise UserError("give one keep_nbest_models: ESPnet averages wrongly for several")
        if args.mixing_conf and (args.multiple_iterator or args.iterator_type != "sequence"):
            raise UserError("mixing_conf needs iterator_type sequence, and multiple_iterator false")
        if args.train_dtype != "float32":
            raise UserError("adapters train in float32; set llm_conf.dtype or model_conf.autocast_dtype for the LLM")
        for name, value in NOT_OFFERED.items():
            if vars(args)[name] != value:
                raise UserError(f"{name} is not offered for adapters; leave it out")
        if args.accum_grad < 1:
            raise UserError(f"accum_grad must be at least 1, not {args.accum_grad}")
        if torch.distributed.is_initialized() and {args.iterator_type, args.valid_iterator_type} - {"sequence", None}:
            raise UserError("several processes need iterator_type sequence: each gets its share of every batch")
        for part in ("train", "valid"):
            if vars(args)[f"{part}_data_path_and_name_and_type"] and not vars(args)[f"{part}_shape_file"]:
                raise UserError(f"--{part}_shape_file is missing: stage 3 (python -m slm_espnet.bin.stats) writes it")

    @classmethod
    def _check_resumed(cls, args: argparse.Namespace, model: ESPnetSLMModel) -> None:
        """A training that goes on must go on between the same foundations, with the same prompts."""
        output_dir = Path(args.output_dir)
        if not (output_dir / CHECKPOINT).exists() or not (output_dir / "config.yaml").exists():
            return
        try:
            before = read_yaml(output_dir / "config.yaml", "the configuration that the training began with")
        except UserError:
            before = None
        if not isinstance(before, dict) or LAST_KEY not in before:
            return  # cut while a training started; it is written anew, and the checkpoint knows the foundations, too
        cure = "give another --output_dir, or the foundations it was trained with"
        if before.get("encoding_fingerprint") is not None:
            check_fingerprint(before["encoding_fingerprint"], args.encoding_fingerprint, output_dir, cure)
        check_llm(before.get("llm_identity") or args.llm_identity, args.llm_identity, output_dir)
        check_prompts(before.get("prompt_conf") or {}, model)

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """One optimizer, of trained parameters only; also completes a one-cycle schedule with its number of steps."""
        if args.exclude_weight_decay or args.sharded_ddp:
            raise UserError("exclude_weight_decay and sharded_ddp are not offered for adapters")
        conf = args.scheduler_conf
        if args.scheduler is not None:
            allowed = list(inspect.signature(scheduler_classes[args.scheduler]).parameters)[1:]  # the first: optimizer
            unknown = ", ".join(sorted(set(conf) - set(allowed)))
            if unknown:
                known = ", ".join(allowed)
                raise UserError(f"scheduler_conf has unknown key(s) {unknown}; {args.scheduler} knows {known}")
        if args.scheduler == "onecyclelr" and "total_steps" not in conf and "epochs" not in conf:
            args.scheduler_conf = {**conf, "total_steps": cls.count_steps(args)}
        trained = [p for p in model.parameters() if p.requires_grad]
        try:
            return [optim_classes[args.optim](trained, **args.optim_conf)]
        except TypeError as error:
            raise UserError(f"optim_conf: {error}") from error

    @classmethod
    def count_steps(cls, args: argparse.Namespace) -> int:
        """Optimizer steps of the whole training."""
        batches = args.num_iters_per_epoch
        if batches is None:
            processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
            options = cls.build_iter_options(args, DistributedOption(distributed=processes > 1), "train")
            batches = len(cls.training_batches(args, options))
        return -(-batches // args.accum_grad) * args.max_epoch

    @classmethod
    def training_shapes(cls, args: argparse.Namespace) -> Shapes:
        """Lengths of every training example."""
        return known_shapes(tuple(args.train_shape_file), state_of(args.train_shape_file))

    @classmethod
    def training_groups(cls, args: argparse.Namespace) -> Groups:
        """Set, task and language of every training example."""
        paths = tuple(path for path, _, _ in args.train_data_path_and_name_and_type)
        return read_groups(paths, cls.training_shapes(args), args.train_shape_file[0])

    @classmethod
    def training_batches(cls, args: argparse.Namespace, options: IteratorOptions) -> AbsSampler:
        """Batches of every epoch, mixed or not."""
        if args.mixing_conf:
            return mix_batches(args, options, cls.training_shapes(args), cls.training_groups(args))
        return shuffled_batches(args, options, cls.training_shapes(args))

    @classmethod
    def build_validation(cls, args: argparse.Namespace, iter_options: IteratorOptions, mode: str) -> AbsIterFactory:
        """ESPnet's batches or those by tokens, whole ones dealt out to the processes."""
        alone = dataclasses.replace(iter_options, distributed=False)
        if alone.batch_type == TOKENS:
            inner = cls._by_tokens(args, alone)
        else:
            inner = super().build_sequence_iter_factory(args, alone, mode)
        if not iter_options.distributed:
            return inner
        return SharedIterFactory(inner, torch.distributed.get_rank(), torch.distributed.get_world_size())

    @classmethod
    def _by_tokens(cls, args: argparse.Namespace, iter_options: IteratorOptions) -> AbsIterFactory:
        """All examples of a validation in batches that ESPnet does not know."""
        found = shuffled_batches(args, iter_options, read_shapes(iter_options.shape_files))
        batches = list(found)[: iter_options.num_batches]
        return SequenceIterFactory(
            dataset=cls.build_dataset(args, iter_options, set(itertools.chain(*batches))),
            batches=batches,
            seed=args.seed,
            shuffle=False,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )

    @classmethod
    def build_sequence_iter_factory(
        cls, args: argparse.Namespace, iter_options: IteratorOptions, mode: str
    ) -> AbsIterFactory:
        """ESPnet's batches for validation; for training the same ones, or mixed, made without a list of ids."""
        if mode != "train":
            return cls.build_validation(args, iter_options, mode)
        batches = cls.training_batches(args, iter_options)
        if args.mixing_conf:
            logging.info("%d batches an epoch, mixed:\n%s", len(batches), batches.describe(args.max_epoch))
        else:
            logging.info("%s", batches)
        dataset = cls.build_dataset(args, iter_options, None)
        for rows in dataset.loader_dict.values():
            rows.check(cls.training_shapes(args).ids)
        inner = SequenceIterFactory(
            dataset=dataset,
            batches=batches,
            seed=0 if args.mixing_conf else args.seed,  # the mixing has its own, and is to be asked for epochs
            shuffle=False,  # the sampler does
            num_iters_per_epoch=None if args.mixing_conf else iter_options.num_iters_per_epoch,
            shuffle_within_batch=args.shuffle_within_batch,
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )
        return CountedIterFactory(inner, cls.training_groups(args))
