"""One set of a corpus in the making: its rows, what was left out of it and why, and the report of both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from slm_espnet.data.datadir import Row
from slm_espnet.data.table import Problem
from slm_espnet.files import write_atomically

LEFT_OUT = "left_out.tsv"
EXAMPLES = 3  # places of each reason that the printed table shows


@dataclass
class CorpusSet:
    """One data directory in the making."""

    rows: dict[str, tuple[Row, str]] = field(default_factory=dict)  # utterance id → row, place
    failed: list[tuple[str, Problem]] = field(default_factory=list)  # utterances that should have been usable
    unwanted: list[tuple[str, Problem]] = field(default_factory=list)  # left out by design; no sign of damage
    kept: list[Row] = field(default_factory=list)  # what is written
    tried: int = 0  # rows whose audio was looked at
    broken: int = 0  # of these, left out

    @property
    def failed_share(self) -> float:
        """Share of the utterances that cannot be used; an estimate where only a subset's audio was looked at."""
        lines = len(self.failed) - self.broken
        of_lines = lines / max(lines + len(self.rows), 1)
        return of_lines + (1 - of_lines) * self.broken / max(self.tried, 1)

    def write_left_out(self, folder: Path) -> None:
        """left_out.tsv: utterance id, reason, place and explanation; also where nothing was left out."""
        lines = ["utterance\treason\tplace\texplanation\n"]
        for utt_id, problem in (*self.failed, *self.unwanted):
            lines.append("\t".join(one_line(part) for part in (utt_id, *problem)) + "\n")
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / LEFT_OUT, "".join(lines))

    def table(self, folder: Path) -> str:
        """Kept and left out by reason, with some places, as text; the folder is its heading."""
        lines = [f"{folder}: {len(self.kept)} kept"]
        if len(self.rows) > self.tried:
            lines[0] += f" of {len(self.rows)} (a subset)"
        for title, problems in (("left out", self.failed), ("left out by design", self.unwanted)):
            reasons: dict[str, list[Problem]] = defaultdict(list)
            for _, problem in problems:
                reasons[problem.reason].append(problem)
            for reason, cases in sorted(reasons.items(), key=lambda item: -len(item[1])):
                lines.append(f"  {title}: {reason}  {len(cases)}")
                if problems is self.failed:
                    lines += [f"      {case.where}: {case.message}" for case in cases[:EXAMPLES]]
        return "\n".join(lines)


def one_line(text: str) -> str:
    """A text with every run of white space as one blank."""
    return " ".join(text.split())
