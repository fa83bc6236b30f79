"""Make data directories from a table of recordings: an example, to be replaced by what a corpus needs."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.data.writer import write_data_dir
from slm_espnet.errors import UserError, run_main
from slm_espnet.tasks import load_tasks

COLUMNS = ("set", "utterance id", "path", "language", "speaker", "words")


def main() -> None:
    """Read the table, write one data directory for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help=f"tab-separated: {', '.join(COLUMNS)}")
    parser.add_argument("--data_dir", type=Path, required=True, help="where the data directories go")
    parser.add_argument("--tasks_config", type=Path, default=Path("conf/tasks.yaml"), help="wordings of the tasks")
    options = parser.parse_args()
    if not options.table.is_file():
        raise UserError(f"{options.table} is missing: a table with the columns {', '.join(COLUMNS)}")
    task = load_tasks(options.tasks_config)["asr"]
    sets: dict[str, list[Row]] = defaultdict(list)
    for number, line in enumerate(options.table.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("\t")
        if len(fields) != len(COLUMNS):
            raise UserError(f"{options.table}:{number}: {len(fields)} columns, expected {', '.join(COLUMNS)}")
        name, utt_id, path, language, speaker, words = fields
        instruction = task.prompt(language=language)
        sets[name].append(Row(utt_id, AudioSource(path), words.lower(), instruction, task.name, language, speaker))
    for name, rows in sets.items():
        print(f"{options.data_dir / name}: {write_data_dir(options.data_dir / name, rows)} utterances")


if __name__ == "__main__":
    run_main(main)
