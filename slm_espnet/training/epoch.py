"""One epoch: training in steps of the optimizer, and validation.

ESPnet's loop, with three differences. The loss of a step is a mean over the tokens of all its batches on all processes
(tokens.py), and batches left over at the end of an epoch make a step of their own instead of waiting for the next
epoch. Between two steps the training can be stopped, saved and resumed (resume.py). And a step waits for the GPU once:
what is reported is fetched together, after the backward pass. An adapter that collapses frames waits once more, for how
many embeddings are left.
"""

from __future__ import annotations

import itertools
import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence, Sized
from typing import Any, NoReturn

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.torch_utils.add_gradient_noise import add_gradient_noise
from espnet2.torch_utils.device_funcs import to_device
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from espnet2.train.reporter import SubReporter
from espnet2.train.trainer import autocast_args

from slm_espnet.errors import UserError
from slm_espnet.training import resume
from slm_espnet.training.emptiness import EmptySteps
from slm_espnet.training.groups import CountedBatches, report_seen
from slm_espnet.training.loading import remaining
from slm_espnet.training.session import Session
from slm_espnet.training.signals import STOPPED
from slm_espnet.training.tokens import Shares, TokenCounts

Batch = tuple[Sequence[str], dict[str, torch.Tensor]]
STATS = ("loss", "loss_ce", "loss_kl", "loss_ctc", "acc", "embeddings_per_second")  # what processes average together


class TrainingEpoch:
    """The training part of one epoch."""

    def __init__(self, session: Session, batches: Any, reporter: SubReporter, writer: Any = None):
        """Set up.

        Args:
            session: the training.
            batches: iterable of (utterance ids, batch of the collate function).
            reporter: of this epoch.
            writer: of TensorBoard, or None.
        """
        self.session, self.batches, self.reporter, self.writer = session, batches, reporter, writer
        self.options, self.processes = session.options, session.processes
        self.of = len(batches) if isinstance(batches, Sized) else 0
        self.log_interval = self.options.log_interval or (max(self.of // 20, 10) if self.of else 100)
        self.done = 0  # batches
        self.updated = False  # whether a step has changed the weights
        self.empty = EmptySteps(lambda sizes: session.model.adapter.shortened(sizes))
        self.trained = session.trained
        self.seen = batches.counts if isinstance(batches, CountedBatches) else Counter()
        self.started = time.perf_counter()

    def run(self, position: resume.Position | None = None) -> bool:
        """Train, from a position within the epoch where there is one; returns whether the weights have changed."""
        session = self.session
        session.model.train()
        iterator = iter(remaining(self.batches, 0 if position is None else position.batches))
        if position is not None:
            self._go_on(position)  # after the iterator was made, which takes a random number
        while True:
            step, waited = self._fetch(iterator)
            counts = [TokenCounts.of_batch(batch) for _, batch in step]
            mine = sum(counts, TokenCounts())
            *tokens, stop, due, ended = self.processes.sum(
                [*vars(mine).values(), bool(session.stop.reason), session.due(), not step]
            )
            if stop or due:
                session.save(session.position(self.done, self.of, self.updated, self.reporter, self.seen))
            if stop:
                leave(session)
            if ended:
                break
            total = TokenCounts(*map(int, tokens))
            shares = [Shares.of_batch(batch, count, total) for (_, batch), count in zip(step, counts, strict=True)]
            self._step(step, shares, waited)
        self.empty.end()
        self._report_seen()
        return self.updated

    def _go_on(self, position: resume.Position) -> None:
        if position.of != self.of:
            raise UserError(
                f"{self.session.output_dir}: epoch {position.epoch} had {position.of} batches and has {self.of} now, "
                "so it cannot be gone on with; give another --output_dir, or the data and batch settings of before"
            )
        self.done, self.updated = position.batches, position.updated
        resume.restore_running(self.reporter, position.running)
        rank, processes = self.processes.rank, position.processes
        if len(processes) == self.processes.size:
            resume.restore_random_state(processes[rank]["random"])
        else:
            logging.warning(f"{len(processes)} processes are {self.processes.size} now: dropout differs from here on")
            set_all_random_seed(self.options.seed + position.epoch + position.batches)
        if self.processes.first:
            self.seen.update(resume.restore_seen(processes))

    def _fetch(self, iterator: Iterator[Batch]) -> tuple[list[Batch], list[float]]:
        """The batches of the next step, fewer at the end of the epoch, and how long each was waited for."""
        step, waited = [], []
        for _ in range(self.options.accum_grad):
            began = time.perf_counter()
            batch = next(iterator, None)
            if batch is None:
                break
            step.append(batch)
            waited.append(time.perf_counter() - began)
        return step, waited

    def _step(self, step: Sequence[Batch], shares: Sequence[Shares], waited: Sequence[float]) -> None:
        """Forward and backward of every batch, then one step of the optimizer."""
        if self.options.no_forward_run:
            self.updated, self.done = True, self.done + len(step)
            return
        results = [self._backward(*batch, share) for batch, share in zip(step, shares, strict=True)]
        self.processes.sum_gradients(self.trained)
        norm = self._clipped_norm()
        fetched = fetch([*(stats for stats, *_ in results), {"grad_norm": norm}])
        *stats, last = self._averaged(fetched[:-1]) + fetched[-1:]
        self.empty.add([values["loss"] for values in stats], last["grad_norm"], [batch for _, batch in step])
        update = self._update(last["grad_norm"])
        for number, ((utt_ids, _), values) in enumerate(zip(step, stats, strict=True)):
            weight = values.pop("weight")
            _, forward, backward = results[number]
            self.reporter.register({"iter_time": waited[number], "forward_time": forward})
            self.reporter.register(values, weight)
            self.reporter.register({"backward_time": backward})
            if number == len(step) - 1:
                for more in update:
                    self.reporter.register(more)
            self.reporter.next()
            self.done += 1
            if isinstance(self.batches, CountedBatches):
                self.batches.count(utt_ids)
            if self.done % self.log_interval == 0:
                self._log()
        self.session.steps_since += 1

    def _backward(
        self, utt_ids: Sequence[str], batch: dict[str, torch.Tensor], shares: Shares
    ) -> tuple[dict[str, torch.Tensor], float, float]:
        """Add a batch's gradient; what is reported of it, on its device, and seconds of forward and backward."""
        session, began = self.session, time.perf_counter()
        batch = to_device(batch, session.device, non_blocking=True)
        with torch.autocast("cuda", enabled=session.scaler is not None, **autocast_args):
            loss, stats, weight = session.model(**batch, utt_id=utt_ids, shares=shares)
        middle = time.perf_counter()
        (loss if session.scaler is None else session.scaler.scale(loss)).backward()
        return {**stats, "weight": weight}, middle - began, time.perf_counter() - middle

    def _clipped_norm(self) -> torch.Tensor:
        """Norm of the gradient before it is clipped, on its device."""
        if self.session.scaler is not None:
            self.session.scaler.unscale_(self.session.optimizer)
        if self.options.grad_noise:
            add_gradient_noise(
                self.session.model, self.reporter.get_total_count(), duration=100, eta=1.0, scale_factor=0.55
            )
        return torch.nn.utils.clip_grad_norm_(
            self.trained, max_norm=self.options.grad_clip, norm_type=self.options.grad_clip_type
        )

    def _averaged(self, results: list[dict[str, float]]) -> list[dict[str, float]]:
        """Means over all processes, weighted as ESPnet weights batches: by target tokens."""
        if self.processes.size == 1:
            return results
        columns = [
            [values["weight"] * values.get(name, 0.0), values["weight"] * (name in values)]
            for values in results
            for name in STATS
        ]
        sums = iter(self.processes.sum(list(itertools.chain(*columns, (values["weight"] for values in results)))))
        averaged = []
        for _ in results:
            pairs = [(name, next(sums), next(sums)) for name in STATS]
            averaged.append({name: value / weight for name, value, weight in pairs if weight})
        return [{**values, "weight": next(sums)} for values in averaged]

    def _update(self, norm: float) -> list[dict[str, float]]:
        """The step itself, unless the gradient is not finite; returns what is reported of it."""
        session, reported = self.session, []
        scale = 1.0 if session.scaler is None else session.scaler.get_scale()
        began = time.perf_counter()
        if session.scaler is not None:  # which leaves a step out by itself
            session.scaler.step(session.optimizer)
            session.scaler.update()
        elif math.isfinite(norm):
            session.optimizer.step()
        if math.isfinite(norm):
            self.updated = True
            if isinstance(session.scheduler, AbsBatchStepScheduler):
                session.scheduler.step()
            clipped = 100.0 if norm > self.options.grad_clip else 0.0
            reported.append({"grad_norm": norm, "clip": clipped, "loss_scale": scale})
            reported.append({"optim_step_time": time.perf_counter() - began})
        else:
            logging.warning(f"the gradient's norm is {norm}: this step does not change the model")
        session.optimizer.zero_grad()
        rates = {f"optim0_lr{number}": group["lr"] for number, group in enumerate(session.optimizer.param_groups)}
        now = time.perf_counter()
        reported.append({**rates, "train_time": now - self.started})
        self.started = now
        return reported

    def _log(self) -> None:
        logging.info(self.reporter.log_message(-self.log_interval))
        if self.writer is not None:
            self.reporter.tensorboard_add_scalar(self.writer, -self.log_interval)
        if self.options.use_wandb:
            self.reporter.wandb_log()

    def _report_seen(self) -> None:
        if isinstance(self.batches, CountedBatches):
            counts = resume.restore_seen(self.processes.gather({"seen": resume.seen_state(self.seen)}))
            if self.processes.first:
                report_seen(counts, self.reporter.get_epoch(), self.session.output_dir)


@torch.no_grad()
def validate(session: Session, batches: Any, reporter: SubReporter, updated: bool) -> None:
    """Measure the loss on all validation batches; each process has its share of them, and all get all results.

    Args:
        session: the training.
        batches: of this process.
        reporter: of this validation.
        updated: whether training has changed the weights in this epoch, for the checkpoint.
    """
    session.model.eval()
    processes, results, iterator = session.processes, [], iter(remaining(batches))
    session.model.validation_share = (processes.rank, processes.size)
    while True:
        item = next(iterator, None)
        stop, due, ended = processes.sum([bool(session.stop.reason), session.due(), item is None])
        if stop or due:
            session.save(session.position(0, 0, updated, None, Counter()))
        if stop:
            leave(session)
        if item is not None and not session.options.no_forward_run:
            counts = TokenCounts.of_batch(item[1])
            shares = Shares.of_batch(item[1], counts, counts)
            batch = to_device(item[1], session.device, non_blocking=True)
            with torch.autocast("cuda", enabled=session.options.use_amp, **autocast_args):
                _, stats, weight = session.model(**batch, utt_id=item[0], shares=shares)
            results.append({**stats, "weight": weight})
        if ended == processes.size:
            break
    shares = processes.gather(fetch(results))
    for number in range(sum(map(len, shares))):
        values = shares[number % processes.size][number // processes.size]
        weight = values.pop("weight")
        reporter.register(values, weight)
        reporter.next()


def leave(session: Session) -> NoReturn:
    """End the process after a checkpoint was written."""
    session.processes.gather(None)  # nobody leaves before that: who has started them may end the others then
    why = session.stop.reason or "another process was asked to stop"
    logging.warning(f"{why}: the checkpoint is written; run the same command again to go on (exit status {STOPPED})")
    sys.exit(STOPPED)


def fetch(rows: Sequence[dict[str, torch.Tensor]]) -> list[dict[str, float]]:
    """Numbers of several dicts from wherever they are, all at once."""
    values = [value.detach().double() for row in rows for value in row.values()]
    if not values:
        return []
    numbers = iter(torch.stack(values).tolist())
    return [{name: next(numbers) for name in row} for row in rows]
