"""conf/slurm.conf: which flags of sbatch stand for the launcher's options, in the manner of Kaldi's and ESPnet's.

    command sbatch --export=ALL           # what is called, with flags for every job
    option mem=* --mem=$0                 # an option with any value; $0 is the value
    option gpu=0 --partition=cpu          # an option with this value; it goes before *, wherever it stands
    default gpu=0                         # value of an option that is not given
    set file_delay=60                     # how the launcher itself behaves: SETTINGS

An option that the launcher does not know by itself can be added: after `option partition=* --partition=$0`,
`--partition long` is understood.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from launcher.job import VALUE_OPTIONS, JobArray, UsageError

SHARED = Path(__file__).resolve().parents[2] / "conf" / "slurm.conf"
OWN = Path("conf/slurm.conf")  # of the recipe, in whose folder the launcher runs
RULE = re.compile(r"(?P<name>[A-Za-z_][\w-]*)=(?P<value>\S*)")
SETTINGS = ("file_delay", "longest_poll")


@dataclass(frozen=True)
class SlurmConf:
    """A file as it was read."""

    path: Path
    command: tuple[str, ...] = ("sbatch",)  # program and flags for every job
    rules: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)  # (option, value or *) → flags
    defaults: dict[str, str] = field(default_factory=dict)  # option → value where none is given
    file_delay: float = 60.0  # seconds after which a file written on another machine must be seen here
    longest_poll: float = 60.0  # seconds between questions to Slurm, at most; they begin with one second

    @property
    def options(self) -> tuple[str, ...]:
        """Options that have a rule."""
        return tuple(dict.fromkeys(name for name, _ in self.rules))

    def flags(self, array: JobArray) -> list[str]:
        """sbatch and its flags for the jobs of an array.

        Raises:
            UsageError: an option was given that changes what a job gets, and no rule stands for it.
        """
        flags = list(self.command)
        for name, value in {**self.defaults, **values(array)}.items():
            found = self.rules.get((name, value), self.rules.get((name, "*")))
            if found is None:
                raise UsageError(f"{self.path} has no line `option {name}=* …`, which --{name} {value} needs")
            flags += [part.replace("$0", value) for part in found]
        return flags


def values(array: JobArray) -> dict[str, str]:
    """The given options of an array, as Slurm writes them."""
    given = {"num_threads": str(array.num_threads), **dict(array.extra)}
    if array.gpu:
        given["gpu"] = str(array.gpu)
    if array.num_nodes > 1:
        given["num_nodes"] = str(array.num_nodes)
    if array.mem is not None:
        given["mem"] = f"{math.ceil(array.mem / 2**20)}M"
    if array.time is not None:
        minutes, seconds = divmod(math.ceil(array.time), 60)
        given["time"] = f"{minutes // 1440}-{minutes // 60 % 24:02}:{minutes % 60:02}:{seconds:02}"
    return given


def find(named: str | None) -> Path:
    """The file that was named, or else the recipe's own, or else the one that recipes share."""
    if named is not None:
        return Path(named)
    return OWN if OWN.is_file() else SHARED


def read(path: Path) -> SlurmConf:
    """Read a file.

    Raises:
        UsageError: it cannot be read, or a line is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8") from error
    command: tuple[str, ...] = ("sbatch",)
    rules: dict[tuple[str, str], tuple[str, ...]] = {}
    defaults: dict[str, str] = {}
    settings: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        try:
            parts = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"{path}:{number}: {str(error).lower()}") from error
        if not parts:
            continue
        kind, rest = parts[0], parts[1:]
        rule = RULE.fullmatch(rest[0]) if rest else None
        name = rule["name"].replace("-", "_") if rule else ""
        if kind == "command" and rest:
            command = tuple(rest)
        elif kind == "option" and rule:
            rules[name, rule["value"]] = tuple(rest[1:])
        elif kind == "default" and rule and len(rest) == 1:
            defaults[name] = rule["value"]
        elif kind == "set" and rule and name in SETTINGS and _is_number(rule["value"]):
            settings[name] = float(rule["value"])
        else:
            wanted = "`command sbatch …`, `option name=value flags`, `default name=value` or `set name=seconds`"
            raise UsageError(f"{path}:{number}: expected {wanted} (set: {', '.join(SETTINGS)}), found {line.strip()!r}")
    return SlurmConf(path, command, rules, defaults, **settings)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def more_options(conf: SlurmConf) -> tuple[str, ...]:
    """Options that the file adds to the launcher's own."""
    return tuple(name for name in conf.options if name not in VALUE_OPTIONS)
