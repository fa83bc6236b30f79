"""What a decoding was scored with, kept beside its results so that the report page can be made again from it alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically
from slm_espnet.scoring.inputs import Sources

RECORD = "scoring.json"


@dataclass(frozen=True)
class Record:
    """One scoring of one decoding; paths are as they were given."""

    sources: Sources
    tasks_config: Path
    model_dir: Path  # where the training's configuration and logs are
    test_sets: Sequence[str]
    eval_tasks: Sequence[str]  # empty: all
    environment: Mapping[str, str]  # versions, commit, command, hardware, seed
    rates: Sequence[Mapping]  # per set and system: utterances, missing, left_out, truncated, looped


def write_record(directory: Path, record: Record) -> None:
    """Write it into a decoding's directory."""
    write_atomically(directory / RECORD, json.dumps(asdict(record), default=str, ensure_ascii=False, indent=1) + "\n")


def read_record(directory: Path) -> Record:
    """Read it; UserError where this decoding was not scored, or the file is damaged."""
    path = directory / RECORD
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        paths = {name: None if place is None else Path(place) for name, place in values.pop("sources").items()}
        for name in ("tasks_config", "model_dir"):
            values[name] = Path(values[name])
        return Record(Sources(**paths), **values)
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); run stage 6 (scoring) first") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the record of a scoring ({error}); run stage 6 (scoring) again") from error
