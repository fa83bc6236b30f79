"""How the page writes numbers and the names of metrics."""

from __future__ import annotations

from slm_espnet.scoring.metrics import LOWER_IS_BETTER, PERCENT
from slm_espnet.scoring.report import show


def number(value: float | None, metric: str) -> str:
    """A number as the page shows it; an en dash where there is none."""
    return "–" if value is None else show(metric, value)


def gain(value: float, metric: str) -> str:
    """A difference with its sign; a true minus sign, as wide as a plus."""
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{show(metric, abs(value))}"


def label_of(metric: str) -> str:
    """A metric's name with its unit, as heads of columns have it."""
    names = {"wer": "WER", "cer": "CER", "b_wer": "B-WER", "u_wer": "U-WER", "bleu": "BLEU", "chrf": "chrF", "f1": "F1"}
    plain = metric.removeprefix("ctc_")
    name = names.get(plain, plain.replace("_", " "))
    unit = " %" if plain in PERCENT and plain not in ("bleu", "chrf") else ""
    encoder = ", CTC greedy" if metric.startswith("ctc_") else ""
    lower = metric in LOWER_IS_BETTER or plain in LOWER_IS_BETTER
    return f"{name}{unit}{encoder}{' ↓' if lower else ''}"
