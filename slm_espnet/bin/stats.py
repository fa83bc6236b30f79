"""Stage 3: lengths for the batch sampler, from the encodings' index and the LLM's tokenizer; no model is loaded.

    python -m slm_espnet.bin.stats --data_dir data/train --encodings_dir dump/encodings/mini/train \
        --foundation conf/foundation/mini.yaml --output_dir exp/slm_stats/train --tasks asr

Several data directories, each with its encodings, are trained on together and give one output. Writes speech_shape,
target_shape, prompt_shape, left_out.tsv (utterance, reason) and summary.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.errors import UserError, run_main
from slm_espnet.options import split_names

if TYPE_CHECKING:
    from slm_espnet.data.row_table import RowTable

UNWRITABLE_CHOICES = ("warn", "stop", "drop")


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data_dir", type=Path, nargs="+", required=True, help="Data directories")
    parser.add_argument(
        "--encodings_dir",
        type=Path,
        nargs="+",
        required=True,
        help="Encodings of their recordings (stage 2), one for each",
    )
    parser.add_argument("--foundation", type=Path, required=True, help="YAML of the frozen pair (tokenizer and prompt)")
    parser.add_argument("--output_dir", type=Path, required=True, help="Where the shape files go")
    parser.add_argument("--tasks", default="", help="Only these of the labelled tasks, separated by commas; empty: all")
    parser.add_argument("--max_failed", type=float, default=0.01, help="More than this share left out is an error")
    parser.add_argument("--max_frames", type=int, default=2000, help="Longest utterance, in kept frames")
    parser.add_argument("--min_frames", type=int, default=1, help="Shortest utterance, in kept frames")
    parser.add_argument("--max_target_tokens", type=int, default=500, help="Longest target, EOS included")
    parser.add_argument("--max_prompt_tokens", type=int, default=1000, help="Longest prompt, speech not counted")
    parser.add_argument(
        "--unwritable",
        choices=UNWRITABLE_CHOICES,
        default="warn",
        help="Rows with letters that the LLM cannot write: warn keeps them, drop leaves them out, stop is an error",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when too much is left out, after everything is written."""
    args = get_parser().parse_args(argv)
    if len(args.data_dir) != len(args.encodings_dir):
        raise UserError(f"{len(args.data_dir)} --data_dir but {len(args.encodings_dir)} --encodings_dir; give as many")
    from slm_espnet.data.row_table import ChosenRows, RowTable
    from slm_espnet.encodings.reader import EncodingReader
    from slm_espnet.llm.build import build_tokenizer
    from slm_espnet.training.build import apply_foundation, build_template
    from slm_espnet.training.preprocessor import SLMPreprocessor
    from slm_espnet.training.self_targets import read_marker
    from slm_espnet.training.stats import Limits, collect_statistics
    from slm_espnet.training.unwritable import describe

    config = {"foundation": str(args.foundation)}
    apply_foundation(config)
    preprocessor = SLMPreprocessor(
        build_template(config["prompt_conf"]), build_tokenizer(config["llm"], config["llm_conf"])
    )
    where = " ".join(map(str, args.data_dir))
    readers = [EncodingReader(encodings) for encodings in args.encodings_dir]
    tables = [RowTable(data) for data in args.data_dir]
    own = [read_marker(data) is not None for data in args.data_dir]  # self targets, by their instructions
    labelled = [table for table, its in zip(tables, own, strict=True) if not its]
    check_tasks(labelled, args.tasks, where)
    wanted = split_names(args.tasks)
    rows = [
        ChosenRows(table, table.with_tasks([] if its else wanted)) for table, its in zip(tables, own, strict=True)
    ]
    sets = sorted(zip(rows, readers, own, strict=True), key=lambda one: one[2])  # labelled ones first
    sets = [(rows, reader) for rows, reader, _ in sets]
    limits = Limits(args.max_frames, args.min_frames, args.max_target_tokens, args.max_prompt_tokens)
    limits = replace(limits, drop_unwritable=args.unwritable == "drop")
    statistics = collect_statistics(sets, preprocessor, limits, args.output_dir)
    print(
        f"{where}: {statistics.kept} of {statistics.rows} rows kept ({statistics.by_task}), "
        f"{statistics.frames_per_second:.1f} frames/s, longest {statistics.longest_frames} frames and "
        f"{statistics.longest_target} target tokens"
    )
    for reason, count in sorted(statistics.left_out.items()):
        print(f"left out: {count} {reason}")
    if statistics.too_long_for_ctc:
        print(
            f"warning: {statistics.too_long_for_ctc} of {statistics.transcripts} transcripts have more tokens than CTC "
            "can write in the frames kept: CTC learns nothing from them (an adapter that shortens further has more)"
        )
    if statistics.unwritable_rows:
        what = describe(statistics.unwritable_rows, statistics.unwritable)
        if args.unwritable == "stop":
            print(f"error: {what}; change the texts, choose another LLM, or give --unwritable drop", file=sys.stderr)
            return 1
        print(f"warning: {what}{'; they are left out' if args.unwritable == 'drop' else ''}", flush=True)
    if statistics.failed_share > args.max_failed:
        print(
            f"error: {100 * statistics.failed_share:.1f} % of the rows are left out, more than --max_failed "
            f"{args.max_failed}; see {args.output_dir / 'left_out.tsv'}",
            file=sys.stderr,
        )
        return 1
    return 0


def check_tasks(tables: Sequence[RowTable], tasks: str, where: str) -> None:
    """UserError when one of the tasks has no row in any set."""
    present = sorted({task for table in tables for task in table.tasks()})
    absent = [task for task in split_names(tasks) if task not in present]
    if absent:
        raise UserError(f"no rows of task(s) {', '.join(absent)} in {where}, where there are {', '.join(present)}")


if __name__ == "__main__":
    run_main(main)
