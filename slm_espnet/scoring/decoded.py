"""What a decoding run left behind for one test set: hypotheses, flags, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slm_espnet.decoding.results import COUNTS
from slm_espnet.errors import UserError


@dataclass(frozen=True)
class Counts:
    """What the search for one answer took."""

    tokens: int  # of the answer
    passes: int  # of the LLM's decoder
    tried: int  # tokens of a draft by CTC
    accepted: int  # and those of them that are in the answer
    from_ctc: bool  # CTC's hypothesis was taken as it is


@dataclass(frozen=True)
class Decoded:
    """One system's output for one set."""

    directory: str  # where it was read
    hypotheses: dict[str, str]  # utterance id → text
    truncated: frozenset[str]  # ids whose output hit the length bound
    looped: frozenset[str]  # ids whose output was a loop that was cut
    left_out: dict[str, str]  # id → reason
    counts: dict[str, Counts] = field(default_factory=dict)  # id → what its search took, where that is known


def read_decoded(directory: str | Path) -> Decoded:
    """Read `text`, and `hypotheses.jsonl` and `left_out.tsv` where they are.

    Raises:
        UserError: no `text`, a repeated id, or a damaged file, with the place and the cure.
    """
    directory = Path(directory)
    path = directory / "text"
    if not path.is_file():
        raise UserError(f"{path} does not exist: this set was not decoded to its end; run stage 5 (decoding) first")
    hypotheses: dict[str, str] = {}
    for number, line in _lines(path):
        utt_id, _, text = line.partition(" ")
        if utt_id in hypotheses:
            raise UserError(f"{path}:{number}: utterance {utt_id} occurs twice; decode this set again (stage 5)")
        hypotheses[utt_id] = text.strip()
    left_out = {}
    if (directory / "left_out.tsv").is_file():
        for _, line in _lines(directory / "left_out.tsv"):
            utt_id, _, reason = line.partition("\t")
            left_out[utt_id] = reason or "no reason given"
    left_out.pop("utt_id", None)  # a header line
    flags: dict[str, set[str]] = {"truncated": set(), "looped": set()}
    counts = {}
    for utt_id, values in _parsed(directory / "hypotheses.jsonl"):
        for flag, ids in flags.items():
            if values.get(flag):
                ids.add(utt_id)
        if "passes" in values:
            counts[utt_id] = Counts(len(values["token_ids"]), *(values[name] for name in COUNTS))
    return Decoded(str(directory), hypotheses, *map(frozenset, flags.values()), left_out, counts)


def check_ids(decoded: Decoded, known: set[str], data_dir: str | Path) -> None:
    """Refuse hypotheses of utterances that the data directory does not have: they come from other data."""
    strangers = sorted(set(decoded.hypotheses) - known)
    if strangers:
        raise UserError(
            f"{decoded.directory}: {len(strangers)} utterance(s) such as {strangers[0]} are not in {data_dir}: "
            "the decoding belongs to other data; decode this set again (stage 5 with --overwrite true)"
        )


def _parsed(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Utterance ids and what a hypotheses.jsonl says of them; nothing where there is no such file."""
    if not path.is_file():
        return
    for number, line in _lines(path):
        try:
            values = json.loads(line)
            yield values["utt_id"], values
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path}:{number}: not a hypothesis; decode this set again (stage 5)") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not empty."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(f"{path}:{number}: not UTF-8 at byte {error.start}; decode this set again") from error
            if line.strip():
                yield number, line
