"""What a decoding run left behind for one test set: hypotheses, flags, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.errors import UserError


@dataclass(frozen=True)
class Decoded:
    """One system's output for one set."""

    directory: str  # where it was read
    hypotheses: dict[str, str]  # utterance id → text
    truncated: frozenset[str]  # ids whose output hit the length bound
    looped: frozenset[str]  # ids whose output was a loop that was cut
    left_out: dict[str, str]  # id → reason


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
    flags = _flags(directory / "hypotheses.jsonl")
    left_out = {}
    if (directory / "left_out.tsv").is_file():
        for _, line in _lines(directory / "left_out.tsv"):
            utt_id, _, reason = line.partition("\t")
            left_out[utt_id] = reason or "no reason given"
    left_out.pop("utt_id", None)  # a header line
    return Decoded(str(directory), hypotheses, flags["truncated"], flags["looped"], left_out)


def check_ids(decoded: Decoded, known: set[str], data_dir: str | Path) -> None:
    """Refuse hypotheses of utterances that the data directory does not have: they come from other data."""
    strangers = sorted(set(decoded.hypotheses) - known)
    if strangers:
        raise UserError(
            f"{decoded.directory}: {len(strangers)} utterance(s) such as {strangers[0]} are not in {data_dir}: "
            "the decoding belongs to other data; decode this set again (stage 5 with --overwrite true)"
        )


def _flags(path: Path) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {"truncated": set(), "looped": set()}
    if path.is_file():
        for number, line in _lines(path):
            try:
                values = json.loads(line)
                utt_id = values["utt_id"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise UserError(f"{path}:{number}: not a hypothesis; decode this set again (stage 5)") from error
            for flag, ids in found.items():
                if values.get(flag):
                    ids.add(utt_id)
    return {flag: frozenset(ids) for flag, ids in found.items()}


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
