"""What did not come out: utterances that were left out with their reasons, cut at the length bound, or looped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_espnet.scoring.inputs import SetInput

MOST = 8  # examples that are named


@dataclass(frozen=True)
class LeftOut:
    """One reason for which something was left out."""

    where: str  # stage and set
    reason: str
    count: int
    names: Sequence[str]  # some of the utterances


@dataclass(frozen=True)
class Cut:
    """One output that decoding had to stop."""

    set: str
    utt_id: str
    flag: str  # truncated or looped
    reference: str
    hypothesis: str


def decoding_left_out(inputs: Sequence[SetInput]) -> list[LeftOut]:
    """Of every set and system, by reason."""
    found = []
    for one in inputs:
        wanted = {row.utt_id for row in one.rows}
        for system, decoded in one.systems.items():
            reasons = {name: reason for name, reason in decoded.left_out.items() if name in wanted}
            lost = wanted - decoded.hypotheses.keys() - reasons.keys()
            reasons |= dict.fromkeys(sorted(lost), "no hypothesis, no reason given")
            found += by_reason(f"decoding ({system}), {one.name}", reasons)
    return found


def by_reason(where: str, reasons: Mapping[str, str]) -> list[LeftOut]:
    """Reasons with their numbers, the most frequent first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        groups[reason].append(name)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [LeftOut(where, reason, len(names), names[:MOST]) for reason, names in ranked]


def read_reasons(path: Path) -> dict[str, str]:
    """Utterance or recording → reason, of the first two columns of a left_out.tsv; empty where there is none."""
    reasons = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        name, *columns = line.split("\t")
        if columns and not name.startswith("#"):
            reasons[name] = columns[0]
    return reasons


def training_left_out(config: Mapping[str, Any]) -> list[LeftOut]:
    """Rows that stage 3 kept from training, found through the training's shape files."""
    found = []
    for part, what in (("train", "training"), ("valid", "validation")):
        shapes = config.get(f"{part}_shape_file") or []
        for directory in dict.fromkeys(Path(shape).parent for shape in shapes if isinstance(shape, str)):
            found += by_reason(f"{what} data (stage 3)", read_reasons(directory / "left_out.tsv"))
    return found


def encoding_left_out(inputs: Sequence[SetInput], encodings: Path | None) -> list[LeftOut]:
    """Recordings that stage 2 could not encode."""
    found = []
    for one in inputs if encodings is not None else ():
        found += by_reason(f"encoding (stage 2), {one.name}", read_reasons(encodings / one.name / "left_out.tsv"))
    return found


def cuts(inputs: Sequence[SetInput]) -> list[Cut]:
    """Outputs of the trained model that were truncated or looped."""
    found = []
    for one in inputs:
        decoded = one.systems["slm"]
        for row in one.rows:
            for flag, ids in (("truncated", decoded.truncated), ("looped", decoded.looped)):
                if row.utt_id in ids:
                    found.append(Cut(one.name, row.utt_id, flag, row.text, decoded.hypotheses.get(row.utt_id, "")))
    return found
