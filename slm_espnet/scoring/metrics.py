"""Every metric of a scorer on one group of utterances, with the statistics that resampling and break-downs need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from slm_espnet.scoring import answers, biasing, dialog_state, error_rate, names, squad, translation
from slm_espnet.scoring.bootstrap import deviation, replicate_values

PERCENT = ("wer", "cer", "ctc_wer", "ctc_cer", "b_wer", "u_wer", "bleu", "chrf")  # in 0..100; all others are shares
LOWER_IS_BETTER = ("wer", "cer", "ctc_wer", "ctc_cer", "b_wer", "u_wer", "name_insertions")


@dataclass(frozen=True)
class Measured:
    """One metric of one system on N utterances."""

    value: float  # NaN where it is not defined, such as WER without any reference word
    statistics: np.ndarray | None  # (N, S) per utterance; the metric is a function of their sum. None: not resampled
    of_sums: Callable[[np.ndarray], np.ndarray] | None  # summed statistics (..., S) → values (...,)
    signature: str = ""  # what makes the number reproducible, where a library states it

    def of_subset(self, index: Sequence[int]) -> float:
        """The metric on some of the utterances; NaN where it has no statistics."""
        if self.statistics is None or self.of_sums is None:
            return float("nan")
        return float(self.of_sums(self.statistics[list(index)].sum(axis=0)))

    def replicates(self) -> np.ndarray | None:
        """The metric on each resample of the utterances; None where it has no statistics or a single utterance."""
        if self.statistics is None or self.of_sums is None or len(self.statistics) < 2:
            return None
        return replicate_values(self.statistics, self.of_sums)

    def standard_error(self) -> float | None:
        """Bootstrap standard error in the metric's unit."""
        values = self.replicates()
        return None if values is None else deviation(values)

    def difference_standard_error(self, other: Measured) -> float | None:
        """Standard error of the difference to another system on the same utterances (paired resamples)."""
        mine, its = self.replicates(), other.replicates()
        return None if mine is None or its is None else deviation(mine - its)


@dataclass(frozen=True)
class GroupScores:
    """All metrics of one system on one group of utterances."""

    metrics: dict[str, Measured]
    error_rates: dict[str, error_rate.ErrorRate] = field(default_factory=dict)  # WER, CER: rows of ESPnet's tables


def _measured(statistics: np.ndarray, of_sums: Callable[[np.ndarray], np.ndarray]) -> Measured:
    return Measured(float(of_sums(statistics.sum(axis=0))), statistics, of_sums)


def _share(sums: np.ndarray) -> np.ndarray:
    parts, whole = np.asarray(sums)[..., 0], np.asarray(sums)[..., 1]
    return np.divide(parts, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)


def _mean(values: np.ndarray) -> Measured:
    return _measured(np.stack([values, np.ones_like(values)], axis=1), _share)


@dataclass(frozen=True)
class ScoringOptions:
    """What a scorer may need beside the texts."""

    lists: Sequence[Sequence[str]] = ()  # per utterance the normalized context phrases; empty: none at all
    bleu_tokenize: str = "13a"  # sacrebleu's tokenizer
    alternatives: Sequence[Sequence[str]] = ()  # per utterance every right target; empty: the references are the only


@dataclass(frozen=True)
class Scorer:
    """One way of scoring; a new one is a function and an entry of SCORERS."""

    score: Callable[[Sequence[str], Sequence[str], ScoringOptions], GroupScores]  # references, hypotheses, options
    main: str  # the metric that break-downs by speaker show


def score_group(
    scorer: str,
    references: Sequence[str],
    hypotheses: Sequence[str],
    lists: Sequence[Sequence[str]] = (),
    bleu_tokenize: str = "13a",
    alternatives: Sequence[Sequence[str]] = (),
) -> GroupScores:
    """Score normalized hypotheses of one system.

    Args:
        scorer: a name of SCORERS.
        references, hypotheses: normalized texts, in the same order; a missing hypothesis is an empty text.
        lists: per utterance the normalized phrases that were offered as context; empty if there were none at all.
        bleu_tokenize: sacrebleu's tokenizer.
        alternatives: per utterance every right target, normalized; empty where the references are the only ones.
    """
    return SCORERS[scorer].score(references, hypotheses, ScoringOptions(lists, bleu_tokenize, alternatives))


def _score_answers(references: Sequence[str], hypotheses: Sequence[str], options: ScoringOptions) -> GroupScores:
    return GroupScores(
        {
            "accuracy": _mean(answers.exact_match(references, hypotheses)),
            "f1": _mean(answers.token_f1_scores(references, hypotheses)),
        }
    )


def _score_recognition(references: Sequence[str], hypotheses: Sequence[str], options: ScoringOptions) -> GroupScores:
    lists = options.lists
    words = error_rate.align(references, hypotheses, "word")
    counts = {
        "wer": error_rate.count_edits(words),
        "cer": error_rate.count_edits(error_rate.align(references, hypotheses, "character")),
    }
    metrics = {
        name: _measured(error_rate.errors_and_reference(count), error_rate.percent) for name, count in counts.items()
    }
    if any(lists):
        offered = names.name_counts(references, hypotheses, lists)
        inserted = np.stack([offered[:, 2], np.ones(len(offered), dtype=np.int64)], axis=1)
        metrics["name_recall"] = _measured(offered, names.recall)
        metrics["name_insertions"] = _measured(inserted, _share)
        spoken = [names.spoken_words(text, phrases) for text, phrases in zip(references, lists, strict=True)]
        kinds = biasing.errors_and_words(biasing.biased_counts(references, hypotheses, spoken))
        metrics["b_wer"] = _measured(kinds[:, 1], error_rate.percent)
        metrics["u_wer"] = _measured(kinds[:, 0], error_rate.percent)
    return GroupScores(metrics, {name.upper(): error_rate.summarize(count) for name, count in counts.items()})


def _score_translation(references: Sequence[str], hypotheses: Sequence[str], options: ScoringOptions) -> GroupScores:
    tokenize = options.bleu_tokenize
    bleu, bleu_signature = translation.corpus_bleu(references, hypotheses, tokenize)
    chrf, chrf_signature = translation.corpus_chrf(references, hypotheses)
    statistics = translation.bleu_statistics(references, hypotheses, tokenize)
    return GroupScores(
        {
            "bleu": Measured(bleu, statistics, translation.bleu_of_sums, bleu_signature),
            "chrf": Measured(chrf, None, None, chrf_signature),
            "exact_match": _mean(answers.exact_match(references, hypotheses)),
        }
    )


def _score_squad(references: Sequence[str], hypotheses: Sequence[str], options: ScoringOptions) -> GroupScores:
    scores = squad.answer_scores(options.alternatives or [[text] for text in references], hypotheses)
    return GroupScores({"exact_match": _mean(scores[:, 0]), "f1": _mean(scores[:, 1])})


def _score_dialog_state(references: Sequence[str], hypotheses: Sequence[str], options: ScoringOptions) -> GroupScores:
    states = [right[0] for right in options.alternatives] or references  # one line that has all values of each slot
    sums = dialog_state.state_scores(states, hypotheses)
    return GroupScores({name: _measured(values, _share) for name, values in sums.items()})


SCORERS: dict[str, Scorer] = {
    "wer": Scorer(_score_recognition, "wer"),  # WER, CER; with context lists U-WER, B-WER and names found
    "bleu": Scorer(_score_translation, "bleu"),  # BLEU, chrF, exact match
    "accuracy": Scorer(_score_answers, "accuracy"),  # exact match, token F1
    "squad": Scorer(_score_squad, "f1"),  # exact match and F1 of SQuAD's script, best over all right answers
    "dialog_state": Scorer(_score_dialog_state, "joint_goal_accuracy"),  # joint goal, slots, intents
}
