"""The frame of a training: epochs, validation, checkpoints, the end. In the place of ESPnet's Trainer.

Its options, reporter, schedulers and files are ESPnet's. It differs where adapters ask for more: a step's loss is a
mean over tokens however its batches are cut (epoch.py), only what is trained is exchanged between processes
(distributed.py), and a training goes on exactly where it was stopped or killed (resume.py, signals.py).
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from typing import Any

import humanfriendly
import torch
from espnet2.schedulers.abs_scheduler import AbsEpochStepScheduler, AbsValEpochStepScheduler
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer
from espnet2.utils.build_dataclass import build_dataclass

from slm_espnet.errors import UserError
from slm_espnet.training.curve import write_curve
from slm_espnet.training.diagnostics import ListeningMonitor
from slm_espnet.training.distributed import Processes
from slm_espnet.training.epoch import TrainingEpoch, validate
from slm_espnet.training.session import Session, SLMTrainerOptions
from slm_espnet.training.signals import StopRequest, stop_requests


class SLMTrainer(Trainer):
    """What the task runs; ESPnet's class gives the options."""

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> SLMTrainerOptions:
        """ESPnet's options and our own."""
        return build_dataclass(SLMTrainerOptions, args)

    @classmethod
    def run(
        cls,
        *,
        model: torch.nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[Any],
        train_iter_factory: Any,
        valid_iter_factory: Any,
        plot_attention_iter_factory: None,
        trainer_options: SLMTrainerOptions,
        distributed_option: Any,
    ) -> None:
        """Train; arguments as ESPnet's Trainer.run.

        Raises:
            SystemExit: with status STOPPED, when asked to stop; a checkpoint was written.
        """
        with stop_requests() as stop:
            session = _session(model, optimizers[0], schedulers[0], trainer_options, stop)
            _train(session, train_iter_factory, valid_iter_factory)
        session.average()


def _session(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any, options: SLMTrainerOptions,
    stop: StopRequest,
) -> Session:  # fmt: skip
    processes = Processes.of_training()
    if options.grad_noise and processes.size > 1:
        raise UserError("grad_noise would be another one on each process; leave it out, or train with one process")
    scaler = torch.amp.GradScaler("cuda") if options.use_amp else None
    device = "cuda" if options.ngpu > 0 else "cpu"
    return Session(model, optimizer, scheduler, scaler, options, processes, stop, device)


def _train(session: Session, training: Any, validation: Any) -> None:
    """All epochs that are left."""
    options, reporter = session.options, session.reporter
    position = session.restore() if options.resume else None
    session.processes.gather(None)  # all have read the checkpoint before the first one writes
    session.processes.share_parameters(session.trained)
    if position is None:
        session.tidy()
        if _is_over(session):
            return
    first = reporter.get_epoch() + 1 if position is None else position.epoch
    if first > options.max_epoch:
        logging.warning(f"the training has already reached max_epoch: {options.max_epoch}")
    writers, monitor, began = _writers(session), _monitor(reporter), time.perf_counter()
    for epoch in range(first, options.max_epoch + 1):
        _announce(epoch, first, options.max_epoch, began)
        set_all_random_seed(options.seed + epoch)
        reporter.set_epoch(epoch)
        torch.cuda.empty_cache()
        updated = position is not None and position.updated
        if position is None or not position.trained:
            with reporter.observe("train") as part:
                updated = TrainingEpoch(session, training.build_iter(epoch), part, writers[0]).run(position)
        position = None
        torch.cuda.empty_cache()
        with reporter.observe("valid") as part:
            validate(session, validation.build_iter(epoch), part, updated)
        _end_epoch(session, monitor, writers)
        if not updated:
            logging.warning(f"no step of epoch {epoch} had a finite gradient; the training ends here")
            return
        if _is_over(session):
            return
    logging.info(f"the training was finished at {options.max_epoch} epochs")


def _announce(epoch: int, first: int, last: int, began: float) -> None:
    left = ""
    if epoch > first:
        seconds = (time.perf_counter() - began) / (epoch - first) * (last - epoch + 1)
        left = f". Estimated time to finish: {humanfriendly.format_timespan(seconds)}"
    logging.info(f"{epoch}/{last}epoch started{left}")


def _end_epoch(session: Session, monitor: ListeningMonitor, writers: Sequence[Any]) -> None:
    """Scheduler, reports and files after a validation."""
    options, reporter, scheduler = session.options, session.reporter, session.scheduler
    if isinstance(scheduler, AbsValEpochStepScheduler):
        scheduler.step(reporter.get_value(*options.val_scheduler_criterion))
    elif isinstance(scheduler, AbsEpochStepScheduler):
        scheduler.step()
    if session.processes.first:
        for part in ("train", "valid"):
            write_curve(session.output_dir, reporter.get_epoch(), part, _numbers(reporter, reporter.get_epoch(), part))
        advice = monitor.update(_numbers(reporter, reporter.get_epoch()))
        if advice:
            logging.warning(advice)
        logging.info(reporter.log_message())
        if options.use_matplotlib:
            reporter.matplotlib_plot(session.output_dir / "images")
        for writer, part in zip(writers, ("train", "valid"), strict=True):
            if writer is not None:
                reporter.tensorboard_add_scalar(writer, key1=part)
        if options.use_wandb:
            reporter.wandb_log()
    session.save_epoch()


def _is_over(session: Session) -> bool:
    """Whether the last epoch was one too many without improvement."""
    options, reporter = session.options, session.reporter
    if options.patience is None or not reporter.get_epoch():
        return False
    return reporter.check_early_stopping(options.patience, *options.early_stopping_criterion)


def _monitor(reporter: Reporter) -> ListeningMonitor:
    """As it was after the epochs that are behind."""
    monitor = ListeningMonitor()
    for epoch, parts in sorted(reporter.stats.items()):
        if "valid" in parts:
            monitor.update(_numbers(reporter, epoch))
    return monitor


def _numbers(reporter: Reporter, epoch: int, part: str = "valid") -> dict[str, float]:
    """Averages of an epoch's training or validation."""
    return {name: float(reporter.stats[epoch][part][name]) for name in reporter.get_keys2(part, epoch)}


def _writers(session: Session) -> tuple[Any, Any]:
    """TensorBoard's, for training and validation, in the process that writes."""
    if not session.options.use_tensorboard or not session.processes.first:
        return None, None
    from torch.utils.tensorboard import SummaryWriter

    training, validation = (SummaryWriter(str(session.output_dir / "tensorboard" / n)) for n in ("train", "valid"))
    return training, validation
