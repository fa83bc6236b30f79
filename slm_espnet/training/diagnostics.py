"""Is it listening? What is said at start-up and when validation stands still."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.espnet_model import ESPnetSLMModel


def count_parameters(module: torch.nn.Module, trained_only: bool = False) -> int:
    """Parameters of a module, shared ones once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained_only)


def describe_model(model: ESPnetSLMModel) -> str:
    """Parameters of each part and the trainable share, as a few lines."""
    adapter = model.adapter
    parts = {"llm": model.llm, "adapter body": adapter.body, "adapter output": adapter.output}
    if adapter.reduction is not None:
        parts["length reduction"] = adapter.reduction
    lines = [
        f"  {name:<18}{count_parameters(part):>14,}  of which trained {count_parameters(part, True):,}"
        for name, part in parts.items()
    ]
    total, trained = count_parameters(model), count_parameters(model, True)
    return "\n".join([*lines, f"  trainable share   {100 * trained / total:.2f} % ({trained:,} of {total:,})"])


def describe_loss(model: ESPnetSLMModel) -> str:
    """One line: the parts of the loss that have a weight."""
    parts = []
    if model.ce_weight:
        parts.append(f"{model.ce_weight:g} cross-entropy")
    if model.kl_weight:
        parts.append(f"{model.kl_weight:g} KL to the LLM on the transcript (temperature {model.kl_temperature:g})")
    if model.ctc_weight and model.adapter.output.has_ctc:
        parts.append(f"{model.ctc_weight:g} CTC")
    first = f"; CTC alone in the first {model.ctc_only_steps} steps" if model.ctc_only_steps else ""
    return " + ".join(parts) + first


def describe_identity(identity: Mapping[str, object]) -> str:
    """One line: the flat part of an identity or a fingerprint."""
    return ", ".join(f"{key} {value}" for key, value in identity.items() if isinstance(value, str | int | float))


def describe_encodings(reader: EncodingReader) -> str:
    """Kept frames per second of a set of encodings, from its index alone."""
    kept, seconds = np.asarray(reader.kept).sum(), np.asarray(reader.seconds).sum()
    return f"encodings: {len(reader)} recordings, {seconds / 3600:.2f} h, {kept / max(seconds, 1e-9):.1f} kept frames/s"


class ListeningMonitor:
    """Notices a validation loss that stands still while other speech would do as well."""

    def __init__(self, patience: int = 3, margin: float = 0.05):
        """patience: epochs without improvement; margin: relative gain over shuffled speech that counts as listening."""
        self.patience, self.margin = patience, margin
        self.best, self.waited = math.inf, 0

    def update(self, stats: Mapping[str, float]) -> str | None:
        """Take in one epoch's validation averages; return advice when it is due."""
        loss = stats.get("loss", math.nan)
        if loss < self.best:
            self.best, self.waited = loss, 0
            return None
        self.waited += 1
        real, shuffled = stats.get("loss_ce", math.nan), stats.get("loss_ce_shuffled", math.nan)
        if self.waited < self.patience or not shuffled - real < self.margin * real:
            return None
        self.waited = 0
        empty, ratio = stats.get("loss_ce_empty", math.nan), stats.get("norm_ratio", math.nan)
        return (
            f"the validation loss has not improved for {self.patience} epochs and the model is not listening: loss_ce "
            f"is {real:.3f} with its own speech, {shuffled:.3f} with another's, {empty:.3f} with none; embeddings are "
            f"{ratio:.2f} times as long as a token's. What to try: "
            "adapter_output embedding_mixture with model_conf.ctc_weight above 0 and some hundred ctc_only_steps; a "
            "smaller learning rate; more varied training speech; and see that stage 2's CTC hypotheses make sense"
        )
