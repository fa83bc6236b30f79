"""Subsets and unions of data directories.

    python -m slm_espnet.data.tools subset --random 100 --seed 1 data/train data/train_100
    python -m slm_espnet.data.tools subset --tasks asr,ast data/train data/train_asr_ast
    python -m slm_espnet.data.tools combine data/train data/train_a data/train_b
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from slm_espnet.data.datadir import PARTIAL_TABLES, ROW_TABLES, Row, iter_data_dir, present_tables
from slm_espnet.data.table import Line, read_lines, sorted_lines, write_table
from slm_espnet.data.validate import COPIED_TABLES, write_speakers, write_subset
from slm_espnet.errors import UserError, run_main
from slm_espnet.options import split_names


def subset(source: Path, target: Path, options: argparse.Namespace) -> int:
    """Write the rows that the options choose; returns their number.

    Raises:
        UserError: the directory is not right (`iter_data_dir`), or nothing would be left.
    """
    if source.resolve() == target.resolve():
        raise UserError(f"{target}: the subset needs a directory of its own")
    rows: Iterator[Row] = iter_data_dir(source, ("wav.scp",))
    if options.tasks:
        tasks = set(split_names(options.tasks))
        rows = (row for row in rows if row.task in tasks)
    if options.utt_list:
        listed = {line.key for line in read_lines(Path(options.utt_list))}
        rows = (row for row in rows if row.utt_id in listed)
    ids = [row.utt_id for row in rows]
    if options.first is not None:
        ids = ids[: options.first]
    if options.last is not None:
        ids = ids[max(0, len(ids) - options.last) :]
    if options.random is not None:
        ids = random.Random(options.seed).sample(ids, min(options.random, len(ids)))
    if not ids:
        raise UserError(f"{source}: no utterance is chosen; tasks there: {', '.join(_tasks(source)) or 'none'}")
    write_subset(source, set(ids), target)
    return len(ids)


def combine(target: Path, sources: Sequence[Path]) -> int:
    """Write the union of data directories, streaming; returns its number of rows.

    Raises:
        UserError: an id occurs in two directories, some but not all directories have segments, or a table that must
            be complete (text, prompt, …) is missing in some of them.
    """
    if target.resolve() in [source.resolve() for source in sources]:
        raise UserError(f"{target}: the combination needs a directory of its own")
    tables = [set(present_tables(source)) for source in sources]
    segmented = ["segments" in names for names in tables]
    if any(segmented) != all(segmented):
        raise UserError(f"{sources[segmented.index(False)]}: has no segments while others have; make them alike")
    names = set.union(*tables) | ({"wav.scp"} if all(segmented) else set())
    for name in sorted(names.intersection(ROW_TABLES).difference(PARTIAL_TABLES)):
        for source, present in zip(sources, tables, strict=True):
            if name not in present:
                raise UserError(f"{source}: file {name} is missing while others have it; add it")
    copied = [name for name in COPIED_TABLES if all((source / name).is_file() for source in sources)]
    target.mkdir(parents=True, exist_ok=True)
    counts = {name: _merge(name, sources, target) for name in [*sorted(names), *copied]}
    write_speakers(target)
    return counts["segments" if all(segmented) else "wav.scp"]


def _merge(name: str, sources: Sequence[Path], target: Path) -> int:
    tables = [sorted_lines(source / name) for source in sources if (source / name).is_file()]
    return write_table(target / name, _distinct(heapq.merge(*tables, key=lambda line: line.key)))


def _distinct(lines: Iterator[Line]) -> Iterator[tuple[str, str]]:
    for _, group in itertools.groupby(lines, key=lambda line: line.key):
        first, *others = group
        if first.problem is not None:
            raise first.problem.error()
        if any(line.value != first.value for line in others):
            raise UserError(f"{first.where}: id {first.key!r} is also at {others[0].where}; rename one of the two")
        yield first.key, first.value


def _tasks(source: Path) -> list[str]:
    path = source / "utt2task"
    return sorted({line.value for line in read_lines(path)}) if path.is_file() else []


def get_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    choose = commands.add_parser("subset", help="some rows of a directory; several options narrow it one after another")
    choose.add_argument("--tasks", help="only rows of these tasks (separated by commas or blanks)")
    choose.add_argument("--utt_list", help="only the ids that begin the lines of this file")
    choose.add_argument("--first", type=int, help="the first N rows")
    choose.add_argument("--last", type=int, help="the last N rows")
    choose.add_argument("--random", type=int, help="N rows drawn at random")
    choose.add_argument("--seed", type=int, default=0, help="seed of --random (default 0)")
    choose.add_argument("source", type=Path)
    choose.add_argument("target", type=Path)
    union = commands.add_parser("combine", help="the union of directories")
    union.add_argument("target", type=Path)
    union.add_argument("sources", type=Path, nargs="+")
    return parser


def main() -> int:
    """Run the command line."""
    options = get_parser().parse_args()
    if options.command == "subset":
        count = subset(options.source, options.target, options)
    else:
        count = combine(options.target, options.sources)
    print(f"{os.fspath(options.target)}: {count} utterances")
    return 0


if __name__ == "__main__":
    run_main(main)
