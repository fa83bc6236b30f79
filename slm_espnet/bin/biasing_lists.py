"""Makes the sets of a contextual biasing benchmark from a data directory and two word lists (Le et al. 2021).

    python -m slm_espnet.bin.biasing_lists --data_dir data/test_clean --common_words words/common_words_5k.txt \
        --rare_words words/all_rare_words.txt --sizes "100 500 1000 2000" --seed 1

For each size N it writes data/test_clean_biasing<N>: the same utterances with a `context` of their rare words (those
that are not among the common words) and N distractors drawn from the rare words. Published lists are taken instead by
--published test-clean.biasing_100.tsv (id, text, rare words, all words), whose ids must be the set's. The sets share
their audio with the first, and say so in `same_audio_as`, so that nothing is encoded again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.errors import UserError, run_main
from slm_espnet.options import split_names

if TYPE_CHECKING:
    from slm_espnet.data.datadir import Row


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="Data directory of the set")
    parser.add_argument("--common_words", type=Path, help="Words that are not rare, one a line (plain or .gz)")
    parser.add_argument("--rare_words", type=Path, help="Words that distractors are drawn from, likewise")
    parser.add_argument("--sizes", default="100 500 1000 2000", help="Numbers of distractors")
    parser.add_argument("--seed", type=int, default=1, help="Seed of the draws")
    parser.add_argument("--published", type=Path, help="TSV of published lists, in place of all of the above")
    parser.add_argument("--suffix", default="", help="Ending of the set's name; default: _biasing<N>")
    parser.add_argument("--task", default="", help="Task of the new rows; default: as in the set")
    parser.add_argument("--tasks_config", type=Path, help="YAML of the tasks: gives the evaluation wording of --task")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    if args.published is None and (args.common_words is None or args.rare_words is None):
        raise UserError("give --common_words and --rare_words, or --published lists")
    if bool(args.task) != (args.tasks_config is not None):
        raise UserError("--task and --tasks_config belong together: the task's wording is taken from that file")
    from slm_espnet.data.datadir import read_data_dir
    from slm_espnet.training.preprocessor import spoken_text

    rows = [replace(row, transcript=spoken_text(row)) for row in read_data_dir(args.data_dir)]
    rows = [row for row in rows if row.transcript]
    if not rows:
        raise UserError(f"{args.data_dir}: no row says what was spoken (a transcript, or the text of recognition)")
    if args.published is not None:
        write_set(args, args.suffix or f"_{args.published.name.partition('.tsv')[0]}", rows, published(args, rows))
        return 0
    from slm_espnet.biasing.lists import build_lists, read_phrases

    common, pool = frozenset(read_phrases(args.common_words)), read_phrases(args.rare_words)
    lower = all(word == word.lower() for word in pool)  # then texts in capitals (LibriSpeech) are lowered, too
    references = {row.utt_id: row.transcript.lower() if lower else row.transcript for row in rows}
    try:
        sizes = [int(size) for size in split_names(args.sizes)]
        lists = build_lists(references, common, pool, sizes, args.seed)
    except ValueError as error:
        raise UserError(f"--sizes {args.sizes}: {error}") from error
    for size, of_size in lists.items():
        write_set(args, f"{args.suffix or '_biasing'}{size}", rows, of_size)
    return 0


def published(args: argparse.Namespace, rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """The published list of each row.

    Raises:
        UserError: a row has none, or the file has only the rare words.
    """
    from slm_espnet.scoring.biasing import read_references

    references = read_references(args.published)
    missing = [row.utt_id for row in rows if row.utt_id not in references]
    if missing:
        raise UserError(f"{args.published} has no list for {len(missing)} utterances, such as {missing[0]}")
    if not any(reference.listed for reference in references.values()):
        raise UserError(f"{args.published} has no fourth column, the words that are offered")
    return {row.utt_id: references[row.utt_id].listed for row in rows}


def write_set(args: argparse.Namespace, suffix: str, rows: Sequence[Row], lists: Mapping[str, tuple[str, ...]]) -> None:
    """Write one set beside the first."""
    from slm_espnet.data.datadir import SAME_AUDIO
    from slm_espnet.data.writer import write_data_dir
    from slm_espnet.files import write_atomically
    from slm_espnet.tasks import load_tasks

    changed = [replace(row, context=lists[row.utt_id]) for row in rows]
    if args.task:
        tasks = load_tasks(args.tasks_config)
        if args.task not in tasks:
            raise UserError(f"task {args.task!r} is not in {args.tasks_config}, which has {', '.join(tasks)}")
        task = tasks[args.task]
        changed = [replace(r, task=args.task, prompt=task.prompt(None, language=r.language)) for r in changed]
    directory = args.data_dir.with_name(args.data_dir.name + suffix)
    write_data_dir(directory, changed)
    write_atomically(directory / SAME_AUDIO, f"{args.data_dir.name}\n")
    words = sum(len(row.context) for row in changed) / len(changed)
    print(f"{directory}: {len(changed)} utterances, {words:.1f} words a list")


if __name__ == "__main__":
    run_main(main)
