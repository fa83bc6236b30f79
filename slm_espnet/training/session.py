"""A training in progress: its parts, and how they are written to a checkpoint and come back from it."""

from __future__ import annotations

import logging
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from espnet2.main_funcs.average_nbest_models import average_nbest_models
from espnet2.train.reporter import Reporter, SubReporter
from espnet2.train.trainer import TrainerOptions

from slm_espnet.checkpoint import check_llm
from slm_espnet.encodings.fingerprint import check_fingerprint
from slm_espnet.errors import UserError
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.training import resume
from slm_espnet.training.distributed import Processes
from slm_espnet.training.groups import Group
from slm_espnet.training.saving import link, save
from slm_espnet.training.signals import StopRequest

OTHER_SETTINGS = (RuntimeError, ValueError, KeyError)  # what loading a state into parts of another make ends in


@dataclass
class SLMTrainerOptions(TrainerOptions):
    """ESPnet's options, and how often a checkpoint is written within an epoch."""

    save_every_seconds: float  # 0: never
    save_every_steps: int  # steps of the optimizer; 0: never


@dataclass
class Session:
    """What the loops of a training work on."""

    model: ESPnetSLMModel
    optimizer: torch.optim.Optimizer
    scheduler: Any  # ESPnet's AbsScheduler, or None
    scaler: torch.amp.GradScaler | None  # with use_amp
    options: SLMTrainerOptions
    processes: Processes
    stop: StopRequest
    device: str  # where batches go
    reporter: Reporter = field(default_factory=Reporter)
    saved_at: float = field(default_factory=time.monotonic)
    steps_since: int = 0  # steps of the optimizer since the last checkpoint

    @property
    def output_dir(self) -> Path:
        """Where the training writes."""
        return Path(self.options.output_dir)

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        """The parameters that are trained."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @property
    def devices(self) -> list[torch.device]:
        """Those that parameters are on."""
        return sorted({parameter.device for parameter in self.model.parameters()}, key=str)

    def due(self) -> bool:
        """Whether it is time for a checkpoint; only the first process has the clock."""
        every, steps = self.options.save_every_seconds, self.options.save_every_steps
        late = bool(every) and time.monotonic() - self.saved_at >= every
        return self.processes.first and (late or bool(steps) and self.steps_since >= steps)

    # Checkpoints

    def save(self, position: resume.Position | None = None) -> None:
        """Write a checkpoint: within an epoch at a position, else after the reporter's epoch."""
        self.saved_at, self.steps_since = time.monotonic(), 0
        if not self.processes.first:
            return
        fingerprint = self.model.encoding_fingerprint
        state = {
            "model": self.model.state_dict(),
            "reporter": resume.results_state(self.reporter),
            "optimizers": [self.optimizer.state_dict()],
            "schedulers": [None if self.scheduler is None else self.scheduler.state_dict()],
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "position": None if position is None else position.to_dict(),
            "foundations": {"encoding_fingerprint": fingerprint, "llm_identity": dict(self.model.llm.identity())},
        }
        save(state, self.output_dir / resume.CHECKPOINT, previous=self.output_dir / resume.PREVIOUS)

    def position(
        self, batches: int, of: int, updated: bool, running: SubReporter | None, seen: Counter[Group]
    ) -> resume.Position:
        """The place after so many batches of the reporter's epoch; to be called by all processes together."""
        mine = {"random": resume.random_state(self.devices), "seen": resume.seen_state(seen)}
        values = None if running is None else resume.running_state(running)
        return resume.Position(self.reporter.get_epoch(), batches, of, updated, values, self.processes.gather(mine))

    def restore(self) -> resume.Position | None:
        """Load the newest whole checkpoint, where there is one.

        Returns:
            The place to go on from; None: the beginning of the next epoch.

        Raises:
            UserError: every checkpoint is damaged, or it belongs to other settings or foundations.
        """
        found = resume.read_checkpoint(self.output_dir)
        if found is None:
            return None
        state, path = found
        foundations = state.get("foundations") or {}
        if foundations.get("encoding_fingerprint") is not None and self.model.encoding_fingerprint is not None:
            cure = "give another --output_dir, or the encodings it was trained on"
            expected = foundations["encoding_fingerprint"]
            check_fingerprint(expected, self.model.encoding_fingerprint, self.output_dir, cure)
        if foundations.get("llm_identity"):
            check_llm(foundations["llm_identity"], self.model.llm.identity(), self.output_dir)
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizers"][0])
            if self.scheduler is not None:
                self.scheduler.load_state_dict(state["schedulers"][0])
            if self.scaler is not None and state["scaler"] is not None:
                self.scaler.load_state_dict(state["scaler"])
            resume.restore_results(self.reporter, state["reporter"])
        except OTHER_SETTINGS as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"{path} was trained with other settings ({reason}); give another --output_dir or remove it"
            ) from error
        position = None if state.get("position") is None else resume.Position(**state["position"])
        place = "" if position is None else f", batch {position.batches} of {position.of}"
        logging.info(f"the training was resumed using {path}: epoch {self.reporter.get_epoch()}{place}")
        return position

    # Files of epochs

    def save_epoch(self) -> None:
        """Write the epoch's weights, then the checkpoint, then links; and remove what is not needed any more."""
        epoch = self.reporter.get_epoch()
        if self.processes.first:
            save(self.model.state_dict(), self.epoch_file(epoch))
        self.save()
        self.tidy()

    def epoch_file(self, epoch: int) -> Path:
        """Weights after an epoch."""
        return self.output_dir / f"{epoch}epoch.pth"

    def tidy(self) -> None:
        """Point links to the last epoch and the best, and keep only the best and the last; may be done again."""
        epoch = self.reporter.get_epoch()
        if not self.processes.first or not epoch:
            return
        if not zipfile.is_zipfile(self.epoch_file(epoch)):  # cut by a version that did not write files whole
            save(self.model.state_dict(), self.epoch_file(epoch))
        link(self.output_dir / "latest.pth", self.epoch_file(epoch).name)
        best = set()
        for part, name, mode in self.options.best_model_criterion:
            if self.reporter.has(part, name):
                order = self.reporter.sort_epochs(part, name, mode)
                best.update(order[: max(self.kept)])
                if order[0] == epoch:
                    link(self.output_dir / f"{part}.{name}.best.pth", self.epoch_file(epoch).name)
                    logging.info(f"the best model has been updated: {part}.{name}")
        for other in range(1, epoch):
            if other not in best:
                self.epoch_file(other).unlink(missing_ok=True)
        every = self.options.nbest_averaging_interval
        if every > 0 and epoch % every == 0:
            self.average(suffix=f"till{epoch}epoch")

    @property
    def kept(self) -> Sequence[int]:
        """Numbers of best epochs that are averaged."""
        given = self.options.keep_nbest_models
        return [given] if isinstance(given, int) else list(given) or [1]

    def average(self, suffix: str | None = None) -> None:
        """Write the mean of the best epochs' weights."""
        if not self.processes.first:
            return
        for path in self.output_dir.glob("*epoch.pth"):
            # ESPnet 202511 would run whatever code a changed file holds; goes with Python 3.11
            torch.load(path, map_location="cpu", weights_only=True)
        average_nbest_models(
            output_dir=self.output_dir,
            reporter=self.reporter,
            best_model_criterion=self.options.best_model_criterion,
            nbest=self.kept,
            suffix=suffix,
        )
