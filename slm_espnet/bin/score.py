"""Stage 6: scores of an experiment, between its two bounds.

    python -m slm_espnet.bin.score --exp_dir exp/slm_asr --inference_tag greedy --datadir data \
        --test_sets "test_clean test_snr5" --cascade_dir exp/baseline_ctc --bound_dir exp/baseline_transcript \
        --encodings_dir dump/encodings/mini --tasks_config conf/tasks.yaml --seed 1

Reads <exp_dir>/decode_<inference_tag>/<set> and, where given, <cascade_dir>/<set>, <bound_dir>/<set> and the encoder's
own CTC greedy text in <encodings_dir>/<set>. Writes RESULTS.md and results.json (one row per set, task, language and
metric) into <exp_dir>; results_by_speaker.json and report.html, the same as a page with training curves and the worst
utterances, beside the hypotheses. An utterance without a hypothesis is scored
as an empty one, and counted. Which tasks the adapter was trained on stands in <model_dir>/config.yaml; all others are
marked as unseen, or as self where it was trained on the LLM's own answers to their instructions.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.bin.config_file import str2bool
from slm_espnet.errors import UserError, run_main
from slm_espnet.files import read_yaml
from slm_espnet.options import split_names
from slm_espnet.report.options import add_page_options, page_options

if TYPE_CHECKING:
    from slm_espnet.scoring.evaluate import SetScores


def get_parser() -> argparse.ArgumentParser:
    """Options; lists of names are separated by spaces or commas."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--exp_dir", type=Path, required=True, help="Experiment; results are written here")
    parser.add_argument("--inference_tag", required=True, help="Which decoding: <exp_dir>/decode_<inference_tag>")
    parser.add_argument("--datadir", type=Path, default=Path("data"), help="Where the sets' data directories are")
    parser.add_argument("--test_sets", required=True, help="Names of the sets")
    parser.add_argument("--cascade_dir", type=Path, help="Decodings of the CTC transcripts by the LLM, by set")
    parser.add_argument("--bound_dir", type=Path, help="Decodings of the true transcripts by the LLM, by set")
    parser.add_argument("--encodings_dir", type=Path, help="Encodings by set; adds the encoder's own CTC greedy text")
    parser.add_argument("--tasks_config", type=Path, required=True, help="YAML of the tasks")
    parser.add_argument("--model_dir", type=Path, help="Where the adapter's config.yaml is; default: <exp_dir>")
    parser.add_argument("--train_tasks", help="Tasks the adapter was trained on; default: those in config.yaml")
    parser.add_argument("--eval_tasks", default="", help="Score only these tasks; empty: all")
    parser.add_argument("--seed", type=int, help="Seed of the training; default: that in config.yaml")
    parser.add_argument("--bleu_tokenize", help="sacrebleu's tokenizer for all tasks; default: the tasks file's")
    parser.add_argument("--command", help="Command to state in RESULTS.md; default: this one")
    parser.add_argument("--report", type=str2bool, default=True, help="Write report.html, too (default true)")
    add_page_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    from slm_espnet.scoring.environment import facts
    from slm_espnet.scoring.evaluate import Run, evaluate_set
    from slm_espnet.scoring.inputs import Sources, read_set
    from slm_espnet.scoring.record import Record, write_record
    from slm_espnet.scoring.report import PAGE, RESULTS, task_table, write_results
    from slm_espnet.tasks import load_tasks

    tasks = load_tasks(args.tasks_config)
    config = read_training(args.model_dir or args.exp_dir)
    train_tasks, eval_tasks = trained_tasks(args, config), split_names(args.eval_tasks)
    for name in (*split_names(args.train_tasks or ""), *eval_tasks):
        if name not in tasks:
            raise UserError(f"task {name!r} is not in {args.tasks_config}, which has {', '.join(tasks)}")
    test_sets = split_names(args.test_sets)
    if not test_sets:
        raise UserError("--test_sets names no set")
    if args.bleu_tokenize is not None:
        check_tokenizer(args.bleu_tokenize)
    seed = args.seed if args.seed is not None else config.get("seed")
    self_tasks = frozenset(config.get("self_tasks") or ())
    run = Run(tasks, frozenset(train_tasks), args.inference_tag, seed, args.bleu_tokenize, self_tasks)
    decoding = args.exp_dir / f"decode_{args.inference_tag}"
    sources = Sources(args.datadir, decoding, args.cascade_dir, args.bound_dir, args.encodings_dir)
    inputs = []
    for name in test_sets:
        one = read_set(name, sources, eval_tasks)
        if one is None:
            print(f"{args.datadir / name}: no rows of the chosen task(s), nothing to score")
        else:
            inputs.append(one)
    if not inputs:
        raise UserError(f"--eval_tasks {args.eval_tasks}: no rows of them in {', '.join(test_sets)}")
    scores = [evaluate_set(one.name, one.rows, one.systems, run, one.ctc) for one in inputs]
    command = tidy(args.command or shlex.join(["python", "-m", "slm_espnet.bin.score", *(argv or sys.argv[1:])]))
    environment = facts(command, seed)
    write_results(args.exp_dir, args.inference_tag, scores, environment)
    model_dir = args.model_dir or args.exp_dir
    rates = [rates for one in scores for rates in one.rates]
    record = Record(sources, args.tasks_config, model_dir, tuple(test_sets), tuple(eval_tasks), environment, rates)
    write_record(decoding, record)
    for one in scores:
        print(f"{one.name}:", *task_table(one.results), sep="\n")
        report_losses(one)
    print(f"written: {args.exp_dir / PAGE}, {args.exp_dir / RESULTS}")
    if args.report:
        from slm_espnet.report.build import write_report

        print(f"written: {write_report(decoding, record, tasks, inputs, page_options(args))}")
    return 0


def tidy(command: str) -> str:
    """A command as one would type it: blanks inside of arguments once, quotes where they are needed."""
    try:
        return shlex.join(" ".join(word.split()) for word in shlex.split(command))
    except ValueError:  # free text with a single quote in it
        return command


def report_losses(scores: SetScores) -> None:
    """Say what was scored as empty."""
    for rates in scores.rates:
        if rates["missing"]:
            print(
                f"warning: {scores.name}: {rates['system']} has no hypothesis for {rates['missing']} of "
                f"{rates['utterances']} utterances, they are scored as empty",
                file=sys.stderr,
            )


def check_tokenizer(name: str) -> None:
    """Refuse a tokenizer that sacrebleu does not have."""
    from sacrebleu.metrics import BLEU

    if name not in BLEU.TOKENIZERS:
        raise UserError(f"--bleu_tokenize {name} is unknown; sacrebleu has {', '.join(sorted(BLEU.TOKENIZERS))}")


def read_training(model_dir: Path) -> dict[str, Any]:
    """The configuration that a training left beside its adapter; empty where there is none."""
    path = model_dir / "config.yaml"
    if not path.is_file():
        return {}
    values = read_yaml(path, "the training's configuration")
    return values if isinstance(values, dict) else {}


def trained_tasks(args: argparse.Namespace, config: dict[str, Any]) -> list[str]:
    """Tasks that the adapter was trained on; UserError where neither option nor configuration says."""
    if args.train_tasks is not None:
        return split_names(args.train_tasks)
    if "trained_tasks" not in config:
        path = (args.model_dir or args.exp_dir) / "config.yaml"
        raise UserError(
            f"{path} does not say which tasks the adapter was trained on (trained_tasks): give --train_tasks"
        )
    return list(config["trained_tasks"])


if __name__ == "__main__":
    run_main(main)
