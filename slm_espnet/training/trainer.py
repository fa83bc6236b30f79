"""ESPnet's trainer, which also watches whether the model listens and survives being killed while it saves."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path

import torch
from espnet2.train.reporter import SubReporter, aggregate
from espnet2.train.trainer import Trainer

from slm_espnet.errors import UserError
from slm_espnet.training.curve import write_curve
from slm_espnet.training.diagnostics import ListeningMonitor
from slm_espnet.training.groups import CountedBatches, report_seen, sum_over_processes

CHECKPOINT = "checkpoint.pth"
PREVIOUS = "checkpoint.previous.pth"


def restore_checkpoint(output_dir: Path) -> None:
    """Fall back to the previous epoch's checkpoint where the last one was not written to its end.

    torch.save writes the directory of its zip archive last, so a cut file is not a zip file.
    """
    checkpoint, previous = output_dir / CHECKPOINT, output_dir / PREVIOUS
    if checkpoint.exists() and zipfile.is_zipfile(checkpoint):
        return
    if previous.exists() and zipfile.is_zipfile(previous):
        logging.warning(f"{checkpoint} is missing or incomplete; going on from the epoch before")
        os.replace(previous, checkpoint)
    elif checkpoint.exists():
        raise UserError(f"{checkpoint} is incomplete and there is no {PREVIOUS}; remove it to train from the beginning")


def averages(reporter: SubReporter) -> dict[str, float]:
    """Averages of what an epoch has reported so far, by name."""
    return {name: float(aggregate(values)) for name, values in reporter.stats.items()}


class SLMTrainer(Trainer):
    """The same loop; see ESPnet's Trainer."""

    monitor = ListeningMonitor()

    @classmethod
    def run(cls, **kwargs) -> None:
        """Train; arguments as ESPnet's Trainer.run."""
        cls.monitor = ListeningMonitor()
        if kwargs["trainer_options"].resume:
            restore_checkpoint(Path(kwargs["trainer_options"].output_dir))
        super().run(**kwargs)

    @staticmethod
    def resume(checkpoint, model, reporter, **kwargs) -> None:
        """Load the checkpoint, and write the epoch's model file again if that was cut short."""
        try:
            Trainer.resume(checkpoint=checkpoint, model=model, reporter=reporter, **kwargs)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"{checkpoint} was trained with other settings ({reason}); give another --output_dir or remove it"
            ) from error
        saved = Path(checkpoint).parent / f"{reporter.get_epoch()}epoch.pth"
        if not zipfile.is_zipfile(saved):
            torch.save(model.state_dict(), saved.with_suffix(".tmp"))
            os.replace(saved.with_suffix(".tmp"), saved)

    @classmethod
    def train_one_epoch(cls, *, iterator, reporter: SubReporter, options, distributed_option, **others) -> bool:
        """Train, and report which tasks and languages the examples were of; arguments as ESPnet's."""
        all_steps_are_invalid = super().train_one_epoch(
            iterator=iterator, reporter=reporter, options=options, distributed_option=distributed_option, **others
        )
        if isinstance(iterator, CountedBatches):
            counts = iterator.counts
            if distributed_option.distributed:
                counts = sum_over_processes(iterator, "cuda" if options.ngpu > 0 else "cpu")
            if not distributed_option.distributed or distributed_option.dist_rank == 0:
                report_seen(counts, reporter.get_epoch(), Path(options.output_dir))
        if not distributed_option.distributed or distributed_option.dist_rank == 0:
            write_curve(Path(options.output_dir), reporter.get_epoch(), reporter.key, averages(reporter))
        return all_steps_are_invalid

    @classmethod
    def validate_one_epoch(cls, model, iterator, reporter: SubReporter, options, distributed_option) -> None:
        """Validate, speak up if the model does not listen, and keep the last checkpoint until the next one is whole."""
        super().validate_one_epoch(
            model=model, iterator=iterator, reporter=reporter, options=options, distributed_option=distributed_option
        )
        if distributed_option.distributed and distributed_option.dist_rank != 0:
            return
        write_curve(Path(options.output_dir), reporter.get_epoch(), reporter.key, averages(reporter))
        advice = cls.monitor.update(averages(reporter))
        if advice:
            logging.warning(advice)
        checkpoint = Path(options.output_dir) / CHECKPOINT
        if checkpoint.exists():
            os.replace(checkpoint, checkpoint.with_name(PREVIOUS))
