"""Stage 3: lengths for the batch sampler, from the encodings' index and the LLM's tokenizer; no model is loaded.

    python -m slm_espnet.bin.stats --data_dir data/train --encodings_dir dump/encodings/mini/train \
        --foundation conf/foundation/mini.yaml --output_dir exp/slm_stats/train --tasks asr

Writes speech_shape, target_shape, left_out.tsv (utterance, reason) and summary.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="Data directory")
    parser.add_argument("--encodings_dir", type=Path, required=True, help="Encodings of its recordings (stage 2)")
    parser.add_argument("--foundation", type=Path, required=True, help="YAML of the frozen pair (tokenizer and prompt)")
    parser.add_argument("--output_dir", type=Path, required=True, help="Where the shape files go")
    parser.add_argument("--tasks", default="", help="Only these tasks, separated by commas; empty: all")
    parser.add_argument("--max_failed", type=float, default=0.01, help="More than this share left out is an error")
    parser.add_argument("--max_frames", type=int, default=2000, help="Longest utterance, in kept frames")
    parser.add_argument("--min_frames", type=int, default=1, help="Shortest utterance, in kept frames")
    parser.add_argument("--max_target_tokens", type=int, default=500, help="Longest target, EOS included")
    parser.add_argument("--max_prompt_tokens", type=int, default=1000, help="Longest prompt, speech not counted")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when too much is left out, after everything is written."""
    args = get_parser().parse_args(argv)
    from slm_espnet.data.datadir import read_data_dir
    from slm_espnet.encodings.reader import EncodingReader
    from slm_espnet.llm.build import build_tokenizer
    from slm_espnet.training.build import apply_foundation, build_template
    from slm_espnet.training.preprocessor import SLMPreprocessor
    from slm_espnet.training.stats import Limits, collect_statistics

    config = {"foundation": str(args.foundation)}
    apply_foundation(config)
    preprocessor = SLMPreprocessor(
        build_template(config["prompt_conf"]), build_tokenizer(config["llm"], config["llm_conf"])
    )
    rows = select_tasks(read_data_dir(args.data_dir), args.tasks, args.data_dir)
    limits = Limits(args.max_frames, args.min_frames, args.max_target_tokens, args.max_prompt_tokens)
    reader = EncodingReader(args.encodings_dir)
    statistics = collect_statistics(rows, reader, preprocessor, limits, args.output_dir)
    print(
        f"{args.data_dir}: {statistics.kept} of {statistics.rows} rows kept ({statistics.by_task}), "
        f"{statistics.frames_per_second:.1f} frames/s, longest {statistics.longest_frames} frames and "
        f"{statistics.longest_target} target tokens"
    )
    for reason, count in sorted(statistics.left_out.items()):
        print(f"left out: {count} {reason}")
    if statistics.failed_share > args.max_failed:
        print(
            f"error: {100 * statistics.failed_share:.1f} % of the rows are left out, more than --max_failed "
            f"{args.max_failed}; see {args.output_dir / 'left_out.tsv'}",
            file=sys.stderr,
        )
        return 1
    return 0


def select_tasks(rows: list, tasks: str, data_dir: Path) -> list:
    """Rows of the chosen tasks; UserError when a task has none."""
    wanted = tasks.replace(",", " ").split()
    present = {row.task for row in rows}
    absent = [task for task in wanted if task not in present]
    if absent:
        raise UserError(f"{data_dir} has no rows of task(s) {', '.join(absent)}; it has {', '.join(sorted(present))}")
    return [row for row in rows if not wanted or row.task in wanted]


if __name__ == "__main__":
    run_main(main)
