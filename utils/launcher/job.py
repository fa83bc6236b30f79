"""What is to be run: the options of a launcher's command line, as Kaldi's users know them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RANGE = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<numbers>\d+(?::\d+)?(?:,\d+(?::\d+)?)*)")
SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[KMGT]?)B?", re.IGNORECASE)
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "": 2**20}
VALUE_OPTIONS = ("gpu", "mem", "num_threads", "num_nodes", "time", "max_jobs_run", "name")
AGAIN = 85  # exit status of a command that stopped in good order and asks to be run again; it goes on where it stopped
MOST_RUNS = 100  # of one job that asks so


class UsageError(Exception):
    """The command line is wrong; the message says how."""


@dataclass(frozen=True)
class JobArray:
    """One command, to be run once for each job number."""

    command: tuple[str, ...]  # arguments, with the variable's name where the number goes
    log: str  # path of the log, likewise
    variable: str | None = None  # JOB in JOB=1:8; None: a single job without a number
    numbers: tuple[int, ...] = (1,)
    gpu: int = 0  # GPUs for each job
    mem: int | None = None  # bytes for each job
    num_threads: int = 1  # for each job
    num_nodes: int = 1  # machines for each job; more than one: the command runs once on each
    time: float | None = None  # seconds that a job may take
    max_jobs_run: int | None = None  # jobs at a time
    name: str | None = None  # for schedulers' lists; None: the log's
    extra: tuple[tuple[str, str], ...] = ()  # options that the backend's configuration adds, as they were given

    @property
    def title(self) -> str:
        """What the jobs are called in reports."""
        return self.name or Path(self.log).name

    def command_of(self, number: int) -> list[str]:
        """The command of one job."""
        return [self._fill(part, number) for part in self.command]

    def log_of(self, number: int) -> Path:
        """The log of one job."""
        return Path(self._fill(self.log, number))

    def _fill(self, text: str, number: int) -> str:
        return text if self.variable is None else text.replace(self.variable, str(number))


@dataclass(frozen=True)
class JobResult:
    """How one job ended."""

    number: int
    status: int  # exit status; negative: killed by that signal
    note: str = ""  # why it was ended, when the launcher did it


def parse(arguments: Sequence[str], more_options: Sequence[str] = ()) -> JobArray:
    """Read `[--option value ...] [JOB=1:N] log command ...`; options and the range come in any order before the log.

    Args:
        arguments: without the program's name and without --backend and --config.
        more_options: names of options that the backend knows besides VALUE_OPTIONS.

    Raises:
        UsageError: unknown option, bad value, no log or no command.
    """
    values: dict[str, str] = {}
    variable, numbers = None, (1,)
    rest = list(arguments)
    known = (*VALUE_OPTIONS, *(name for name in more_options if name not in VALUE_OPTIONS))
    while rest:
        if rest[0].startswith("-"):
            name, value, rest = option(rest, known)
            values[name] = value
        elif (match := RANGE.fullmatch(rest[0])) is not None:
            variable, numbers = match["name"], _numbers(match["numbers"])
            rest = rest[1:]
        else:
            break
    if len(rest) < 2:
        raise UsageError("expected a log file and a command after the options")
    log, *command = rest
    if variable is not None and len(numbers) > 1 and variable not in log:
        raise UsageError(f"the log {log!r} must have {variable} in its name, or the jobs overwrite each other's")
    return JobArray(
        command=tuple(command),
        log=log,
        variable=variable,
        numbers=numbers,
        gpu=_count(values, "gpu", 0, least=0),
        mem=_bytes(values["mem"]) if "mem" in values else None,
        num_threads=_count(values, "num_threads", 1),
        num_nodes=_count(values, "num_nodes", 1),
        time=_seconds(values["time"]) if "time" in values else None,
        max_jobs_run=_count(values, "max_jobs_run", None),
        name=values.get("name"),
        extra=tuple((name, value) for name, value in values.items() if name not in VALUE_OPTIONS),
    )


def rerun_command(arguments: Sequence[str], array: JobArray, failed: Sequence[int]) -> str:
    """The same command line for the failed jobs only."""
    if array.variable is None:
        return shlex.join(arguments)
    chosen = f"{array.variable}={ranges(failed)}"
    end = len(arguments) - len(array.command) - 1  # the options end where log and command begin
    options = [chosen if RANGE.fullmatch(argument) else argument for argument in arguments[:end]]
    return shlex.join([*options, *arguments[end:]])


def option(rest: Sequence[str], known: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """Name and value of the option that the arguments begin with, and the other arguments.

    Raises:
        UsageError: the option is not known, or has no value.
    """
    head, equals, value = rest[0].partition("=")
    name = head.lstrip("-").replace("-", "_")
    if name not in known:
        raise UsageError(f"unknown option {head}; known: {', '.join(f'--{name}' for name in known)}")
    if equals:
        return name, value, rest[1:]
    if len(rest) < 2:
        raise UsageError(f"option {head} needs a value")
    return name, rest[1], rest[2:]


def _numbers(text: str) -> tuple[int, ...]:
    """Job numbers of `1:4`, `7` or `2,5:7`."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise UsageError(f"the range {part} is empty")
        numbers.extend(span)
    return tuple(dict.fromkeys(numbers))


def ranges(numbers: Sequence[int], to: str = ":") -> str:
    """`2,5:7` of 2, 5, 6, 7: neighbours are joined by `to`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}{to}{last}" for first, last in spans)


def _count(values: dict[str, str], name: str, default: int | None, least: int = 1) -> int | None:
    if name not in values:
        return default
    if not values[name].isdigit() or int(values[name]) < least:
        raise UsageError(f"--{name} takes a whole number from {least}, not {values[name]!r}")
    return int(values[name])


def _bytes(text: str) -> int:
    match = SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"--mem takes a size such as 8G or 500M, not {text!r}")
    return int(float(match["number"]) * UNITS[match["unit"].upper()])


def _seconds(text: str) -> float:
    """Seconds of `minutes`, `h:mm:ss`, `mm:ss` or `days-h:mm:ss`, as schedulers write times."""
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) > 3 or (dash and not days.isdigit()):
        raise UsageError(f"--time takes 4:00:00 (h:mm:ss), mm:ss or minutes, not {text!r}")
    if len(parts) == 1:
        parts = ["0", *parts, "0"] if not dash else [*parts, "0", "0"]
    hours, minutes, seconds = (int(part) for part in ["0", *parts][-3:])
    return 86400.0 * int(days or 0) + 3600 * hours + 60 * minutes + seconds
