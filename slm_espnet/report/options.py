"""What a report page holds; no heavy import, so that commands start fast."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from slm_espnet.errors import UserError


@dataclass(frozen=True)
class PageOptions:
    """How much a page shows of single utterances."""

    worst: int = 4  # utterances with the most errors, per set, task and language
    typical: int = 1  # utterances as good as the average, likewise
    audio_kb: int = 2000  # most kilobytes of embedded audio; 0: none

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise UserError(f"--{name} {value} is below 0")


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that write a page."""
    default = PageOptions()
    helps = {
        "worst": "Page: utterances with the most errors per set and task",
        "typical": "Page: utterances of average quality per set and task",
        "audio_kb": "Page: most kilobytes of embedded audio; 0 leaves audio out",
    }
    for name, text in helps.items():
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N", help=f"{text} (default {value})")


def page_options(args: argparse.Namespace) -> PageOptions:
    """The options of a parsed command line."""
    return PageOptions(args.worst, args.typical, args.audio_kb)
