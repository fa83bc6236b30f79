"""Self targets: the frozen LLM's own answers to transcript and instruction, as one more data directory to train on.

    # one job of four; `--merge true` writes the data directory afterwards (a single job does it by itself)
    python -m slm_espnet.bin.self_target --foundation conf/foundation/mini.yaml --data_dir data/train \
        --instructions conf/self_instructions.yaml --tasks_config conf/tasks.yaml --output_dir data/train_self \
        --job 1 --num_jobs 4

Writes a row for each recording of --data_dir and instruction that is drawn for it: `text` is the LLM's answer to the
true transcript, `utt2task` the instruction's task, the audio is that of the source, so that its encodings are used too
(same_audio_as names the set). Answers are searched for as in decoding, in batches; a killed job goes on where it was.
self_targets.json says what was asked of which LLM; left_out.tsv why some recordings have no answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.bin import decode
from slm_espnet.bin.config_file import add_config_option, parse_with_config
from slm_espnet.errors import UserError, run_main

if TYPE_CHECKING:
    from slm_espnet.data.datadir import Row
    from slm_espnet.decoding.run import DecodingRun

ANSWERS = "answers"  # folder of the decoding in the data directory


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_config_option(parser)
    group = parser.add_argument_group("what is asked")
    group.add_argument("--data_dir", type=Path, required=True, help="Data directory with transcripts")
    group.add_argument("--foundation", type=Path, required=True, help="YAML of the frozen pair: the LLM and the prompt")
    group.add_argument("--instructions", type=Path, required=True, help="YAML of instructions")
    group.add_argument("--tasks_config", type=Path, help="YAML of the recipe's tasks, where the instructions name some")
    group.add_argument("--output_dir", type=Path, required=True, help="Data directory to be written")
    group.add_argument("--seed", type=int, default=1, help="Seed of the draw")
    decode.add_search_options(parser)
    decode.add_running_options(parser)
    parser.set_defaults(max_failed=0.1)  # a language model that does not come to an end is no broken data
    return parser


def decoding_arguments(args: argparse.Namespace) -> argparse.Namespace:
    """The same call as a decoding of true transcripts."""
    paths = ["--data_dir", args.data_dir, "--output_dir", args.output_dir / ANSWERS, "--foundation", args.foundation]
    fixed = ["--input", "transcript", "--biasing", "none"]
    values = vars(decode.get_parser().parse_args([*map(str, paths), *fixed]))
    own = {name: value for name, value in vars(args).items() if name in values}
    return argparse.Namespace(**{**values, **own, "max_failed": 1.0, "data_dir": [args.data_dir]})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when too much is left out."""
    args = parse_with_config(get_parser(), argv)
    if not 1 <= args.job <= args.num_jobs:
        raise UserError(f"--job must be from 1 to --num_jobs {args.num_jobs}, not {args.job}")
    if args.output_dir.resolve() == args.data_dir.resolve():
        raise UserError("--output_dir must be another directory than --data_dir")
    from slm_espnet.data.datadir import read_data_dir
    from slm_espnet.decoding.merging import merge
    from slm_espnet.decoding.run import DecodingRun, SetDecoding
    from slm_espnet.training.self_targets import ask, load_instructions, read_marker

    instructions = load_instructions(args.instructions, args.tasks_config)
    questions, skipped = ask(read_data_dir(args.data_dir), instructions, args.seed)
    if not questions:
        raise UserError(f"{args.data_dir}: nothing can be asked: {_listed(skipped)}; self targets need transcripts")
    run = DecodingRun(decoding_arguments(args))
    answers = args.output_dir / ANSWERS
    decoding = SetDecoding(run, args.data_dir, None, answers, questions)
    if (not args.overwrite or args.merge) and decode.is_decoded(args, answers, decoding.settings):
        marker = read_marker(args.output_dir)
        if marker is not None and marker["settings"] == decoding.settings:
            print(f"{args.output_dir}: already made")
            return 0
        return write(args, run, questions, skipped, decoding.settings)
    if not args.merge:
        decoding.decode()
    if args.merge or args.num_jobs == 1:
        merge(answers, args.num_jobs, [question.utt_id for question in questions], decoding.settings)
        return write(args, run, questions, skipped, decoding.settings)
    return 0


def write(
    args: argparse.Namespace,
    run: DecodingRun,
    questions: Sequence[Row],
    skipped: Mapping[str, str],
    settings: Mapping[str, Any],
) -> int:
    """Write the data directory from the merged answers; 1 when too much is left out."""
    from slm_espnet.data.datadir import SAME_AUDIO
    from slm_espnet.data.writer import write_data_dir
    from slm_espnet.decoding.results import read_hypotheses, read_left_out
    from slm_espnet.files import write_atomically
    from slm_espnet.llm.build import build_tokenizer
    from slm_espnet.training.build import build_template
    from slm_espnet.training.self_targets import MARKER, describe_marker, take_answers

    answers = read_hypotheses(args.output_dir / ANSWERS / "hypotheses.jsonl")
    no_answer = read_left_out(args.output_dir / ANSWERS / "left_out.tsv")
    rows, left_out = take_answers(questions, answers, no_answer)
    (args.output_dir / MARKER).unlink(missing_ok=True)
    reasons = {**skipped, **left_out}
    lines = [f"{utt_id}\t{reason}\n" for utt_id, reason in sorted(reasons.items())]
    write_atomically(args.output_dir / "left_out.tsv", "".join(lines))
    print(f"{args.output_dir}: {len(rows)} answers to {len(questions)} questions")
    for reason, count in Counter(reasons.values()).most_common():
        print(f"left out: {count} {reason}")
    if not rows or len(left_out) > args.max_failed * len(questions):
        print(
            f"error: {len(left_out) / len(questions):.1%} of the questions have no usable answer, more than "
            f"--max_failed {args.max_failed}; see {args.output_dir / 'left_out.tsv'}",
            file=sys.stderr,
        )
        return 1
    tokenizer, template = build_tokenizer(run.llm_kind, run.llm_conf), build_template(run.prompt_conf)
    changed = sum(list(template.answer(tokenizer, row.text)) != answers[row.utt_id]["token_ids"] for row in rows)
    if changed:
        print(f"{changed} answers are cut into other tokens when they are read as text than the LLM wrote them in")
    write_data_dir(args.output_dir, rows)
    write_atomically(args.output_dir / SAME_AUDIO, f"{args.data_dir.absolute().name}\n")
    marker = {
        "source": args.data_dir.absolute().name,
        **describe_marker(rows, reasons.values()),
        "in_other_tokens": changed,
        "seed": args.seed,
        "instructions": args.instructions.read_text(encoding="utf-8"),
        "settings": dict(settings),
    }
    write_atomically(args.output_dir / MARKER, json.dumps(marker, indent=1, ensure_ascii=False) + "\n")
    return 0


def _listed(reasons: Mapping[str, str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in Counter(reasons.values()).most_common())


if __name__ == "__main__":
    run_main(main)
