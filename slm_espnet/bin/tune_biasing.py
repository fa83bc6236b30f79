"""Chooses the threshold of contextual biasing on development sets and writes the biasing options.

    python -m slm_espnet.bin.tune_biasing --datadir data --dev_sets "dev_names" --encodings_dir dump/encodings/mini \
        --output exp/biasing.yaml --criterion name_f1

Each row's `context` is its list of phrases; the reference is its `transcript`, or its `text` for recognition tasks.
Lists should hold phrases that are not spoken, or else false alarms cannot be seen. Where the sets have lists of several
lengths, each length gets a threshold. A recording with the same list in several rows is used once. Some recordings
become the background of the null model, in a file beside the output.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.errors import UserError, run_main
from slm_espnet.options import split_names

if TYPE_CHECKING:
    from slm_espnet.biasing.tuning import DevUtterance, OperatingPoint
    from slm_espnet.biasing.vocabulary import CTCVocabulary
    from slm_espnet.data.datadir import Row
    from slm_espnet.encodings.posteriors import FramePosteriors

CRITERIA = ("name_f1", "wer")


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--datadir", type=Path, default=Path("data"), help="Where the sets' data directories are")
    parser.add_argument("--dev_sets", required=True, help="Names of the sets, separated by spaces or commas")
    parser.add_argument("--encodings_dir", type=Path, required=True, help="Encodings by set")
    parser.add_argument("--output", type=Path, required=True, help="YAML file to write")
    parser.add_argument("--criterion", choices=CRITERIA, default="name_f1", help="F1 of names found, or WER with them")
    parser.add_argument("--max_phrases", type=int, default=3, help="Most phrases placed in an utterance")
    parser.add_argument("--null_weight", type=float, default=0.5, help="Share of a phrase's null score subtracted")
    parser.add_argument("--seed", type=int, default=0, help="Of the choice of background recordings")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    if args.max_phrases < 1:
        raise UserError("--max_phrases must be at least 1")
    from slm_espnet.biasing.keyword_spotting import KeywordSpotter
    from slm_espnet.biasing.null_model import NullModel, choose_background, save_background
    from slm_espnet.biasing.options import BiasingOptions, save_options
    from slm_espnet.biasing.retrieval import CTCRetriever
    from slm_espnet.biasing.tuning import by_list_size, choose, sweep

    vocabulary, utterances = read_sets(args)
    recordings = list({id(item.posteriors): item.posteriors for item in utterances}.values())
    background = choose_background(recordings, args.seed)
    retriever = CTCRetriever(KeywordSpotter(vocabulary), NullModel(background, args.null_weight))
    thresholds, lines = {}, [f"Tuned for {args.criterion} on {args.dev_sets}."]
    for size, group in by_list_size(utterances).items():
        points = sweep(retriever, group, args.max_phrases)
        best = choose(points, args.criterion)
        thresholds[size] = best.threshold
        lines.append(f"{len(group)} recordings with lists of {size}, threshold {best.threshold:.3f}: {describe(best)}.")
        lines.append(f"Nothing placed: {describe(points[0])}.")
    file = args.output.with_suffix(".background.npz")
    save_background(file, background)
    threshold = thresholds if len(thresholds) > 1 else next(iter(thresholds.values()))
    options = BiasingOptions(threshold, args.max_phrases, args.null_weight, file.name)
    save_options(args.output, options, "\n".join(lines))
    print(*lines[1:], f"written: {args.output}", sep="\n")
    return 0


def describe(point: OperatingPoint) -> str:
    """An operating point in words."""
    return (
        f"names found with precision {point.precision:.3f}, recall {point.recall:.3f}, F1 {point.f1:.3f}; "
        f"WER of CTC text {point.wer:.2f} %"
    )


def read_sets(args: argparse.Namespace) -> tuple[CTCVocabulary, list[DevUtterance]]:
    """The encoder's vocabulary, and every recording that has a list and an encoding."""
    from slm_espnet.biasing.tuning import DevUtterance
    from slm_espnet.biasing.vocabulary import CTCVocabulary
    from slm_espnet.encodings.reader import EncodingReader

    utterances: list[DevUtterance] = []
    heard: dict[str, FramePosteriors] = {}  # one for each recording, in whatever sets it is
    tokens: list[str] | None = None
    blank_id = 0
    for name in split_names(args.dev_sets):
        reader = EncodingReader(args.encodings_dir / name)
        if reader.fingerprint["vocabulary"] is None:
            raise UserError(f"{args.encodings_dir / name}: its encoder has no CTC, phrases cannot be spotted in it")
        found = (list(reader.fingerprint["vocabulary"]), int(reader.fingerprint["blank_id"]))
        if tokens is not None and found != (tokens, blank_id):
            raise UserError(f"{args.encodings_dir / name}: its encoder has another vocabulary than the first set's")
        tokens, blank_id = found
        for row, reference in rows_with_lists(args.datadir / name):
            if row.audio.key in reader:
                posteriors = heard.setdefault(row.audio.key, reader[row.audio.key].posteriors)
                utterances.append(DevUtterance(posteriors, reference, row.context))
    if tokens is None or not utterances:
        raise UserError(f"no recording of {args.dev_sets!r} has a context list, a transcript and an encoding")
    return CTCVocabulary(tokens, blank_id), utterances


def rows_with_lists(data_dir: Path) -> list[tuple[Row, str]]:
    """One row for each recording and list, with what was said in it."""
    from slm_espnet.data.datadir import read_data_dir
    from slm_espnet.training.preprocessor import spoken_text

    found = {}
    for row in read_data_dir(data_dir, require=("wav.scp", "text", "context")):
        reference = spoken_text(row)
        if row.context and reference:
            found[row.audio.key, row.context] = (row, reference)
    return list(found.values())


if __name__ == "__main__":
    run_main(main)
