"""From rows of a data directory to decoding requests.

Three things can be put between the prompt's ends: speech, the encoder's CTC hypothesis (the cascade, a lower bound), or
the true transcript (an upper bound).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from slm_espnet.data.datadir import Row
from slm_espnet.errors import UserError
from slm_espnet.inference import Request
from slm_espnet.scoring.names import found_in
from slm_espnet.scoring.normalizers import normalize_basic
from slm_espnet.training.preprocessor import spoken_texts, turns_of

Requests = tuple[list[Request], dict[str, str]]  # and what was left out, with the reason


class Encodings(Protocol):
    """What is used of an EncodingReader, or of LiveEncodings."""

    fingerprint: dict[str, Any]
    silent: frozenset[str]  # keys of recordings that hold no speech

    def __contains__(self, key: object) -> bool: ...

    def __getitem__(self, key: str) -> Any: ...

    def lengths(self, keys: Sequence[str]) -> np.ndarray: ...

    def ctc_hypothesis(self, key: str) -> str: ...


class TextBiaser(Protocol):
    """What chooses phrases by an encoding."""

    def text(self, encoding: Any, context: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The CTC hypothesis with phrases in place, and the phrases for the prompt."""


def speech_requests(rows: Iterable[Row], encodings: Encodings, with_context: bool) -> Requests:
    """Speech between the prompt's ends; rows without an encoding are left out."""
    has_ctc = encodings.fingerprint["vocabulary"] is not None
    rows, left_out = _encoded(rows, encodings)
    keys = [[source.key for source in row.recordings] for row in rows]
    lengths = iter(encodings.lengths([key for each in keys for key in each]).tolist())
    requests = [
        Request(
            row.utt_id,
            row.prompt,
            row.context if with_context else (),
            turns_of(row),
            speech=_one_or_all([partial(encodings.__getitem__, key) for key in each]),
            frames=sum(next(lengths) for _ in each),
            spoken=" ".join(map(encodings.ctc_hypothesis, each)) if has_ctc else None,
        )
        for row, each in zip(rows, keys, strict=True)
    ]
    return requests, left_out


def ctc_requests(rows: Iterable[Row], encodings: Encodings, with_context: bool) -> Requests:
    """The encoder's CTC hypothesis as text; rows without an encoding are left out."""
    if encodings.fingerprint["vocabulary"] is None:
        raise UserError("these encodings come from an encoder without CTC: there is no hypothesis for --input ctc")
    rows, left_out = _encoded(rows, encodings)
    requests = [
        Request(
            row.utt_id,
            row.prompt,
            row.context if with_context else (),
            turns_of(row),
            text=_one_or_all([encodings.ctc_hypothesis(source.key) for source in row.recordings]),
        )
        for row in rows
    ]
    return requests, left_out


def transcript_requests(rows: Iterable[Row], with_context: bool) -> Requests:
    """The true transcript as text; rows without one are left out."""
    requests, left_out = [], {}
    for row in rows:
        texts = spoken_texts(row)
        if all(texts):
            context = row.context if with_context else ()
            requests.append(Request(row.utt_id, row.prompt, context, turns_of(row), text=_one_or_all(texts)))
        else:
            left_out[row.utt_id] = "no transcript"
    return requests, left_out


def without_silence(
    requests: Iterable[Request], rows: Iterable[Row], encodings: Encodings
) -> tuple[list[Request], list[str]]:
    """Requests that are to be answered, and ids of recognition of recordings that hold no speech."""
    if not encodings.silent:
        return list(requests), []
    nothing_said = {r.utt_id for r in rows if all(source.key in encodings.silent for source in r.recordings)}
    asked, silent = [], []
    for request in requests:
        if request.recognizes and request.utt_id in nothing_said:
            silent.append(request.utt_id)
        else:
            asked.append(request)
    return asked, silent


def biased_text(
    requests: Sequence[Request], rows: Iterable[Row], encodings: Encodings, biaser: TextBiaser
) -> list[Request]:
    """CTC requests with the phrases that were heard in their text, and with the chosen phrases for the prompt."""
    keys = {row.utt_id: [source.key for source in row.recordings] for row in rows}
    changed = []
    for request in requests:
        found = [biaser.text(encodings[key], request.context) for key in keys[request.utt_id]]
        context = dict.fromkeys(phrase for _, phrases in found for phrase in phrases)
        changed.append(replace(request, text=_one_or_all([text for text, _ in found]), context=tuple(context)))
    return changed


def with_repeats(
    requests: Iterable[Request], rows: Iterable[Row], recognition: Sequence[str], drafted: Sequence[str] = ()
) -> list[Request]:
    """The requests with those marked that are recognition, and those that have drafts.

    Args:
        requests: of some of the rows.
        rows: with their tasks.
        recognition: names of the tasks whose answers are what was said.
        drafted: names of the tasks that have drafts, `all` is every task; empty: recognition.
    """
    drafted = drafted or recognition
    tasks = {row.utt_id: row.task for row in rows}
    return [
        replace(
            request,
            repeats="all" in drafted or tasks[request.utt_id] in drafted,
            recognizes=tasks[request.utt_id] in recognition,
        )
        for request in requests
    ]


def only_spoken_phrases(requests: Iterable[Request]) -> list[Request]:
    """Transcript requests with those phrases for the prompt that are in the transcript: a choice without errors."""
    changed = []
    for request in requests:
        normal = {normalize_basic(phrase): phrase for phrase in request.context}
        spoken = found_in(normalize_basic(" ".join(request.texts)), normal)
        changed.append(replace(request, context=tuple(normal[phrase] for phrase in normal if phrase in spoken)))
    return changed


def _one_or_all(values: Sequence[Any]) -> Any:
    """The one value of a row with one recording, else a tuple."""
    return values[0] if len(values) == 1 else tuple(values)


def _encoded(rows: Iterable[Row], encodings: Encodings) -> tuple[list[Row], dict[str, str]]:
    rows = list(rows)
    missing = [row for row in rows if not all(source.key in encodings for source in row.recordings)]
    left_out = {row.utt_id: "no encoding" for row in missing}
    return [row for row in rows if row.utt_id not in left_out], left_out
