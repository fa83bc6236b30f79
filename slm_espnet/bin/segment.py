"""Cut recordings of any length into pieces: a data directory that the stages of a recipe take like any other.

    python -m slm_espnet.bin.segment --data_dir data/talks --output_dir data/talks_pieces
    python -m slm_espnet.bin.segment … --pauses ctc --foundation conf/foundation/mini.yaml
    python -m slm_espnet.bin.segment … --pauses silero --silero_model silero_vad.onnx

Cuts lie in pauses; speech without a pause is cut with an overlap. Decoding a directory of pieces also writes the texts
of the whole recordings (`whole/` beside the hypotheses of the pieces), and scoring scores those. For tasks whose text
runs along the audio: recognition and translation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.errors import UserError, run_main
from slm_espnet.long_audio.cutting import CuttingOptions

if TYPE_CHECKING:
    from slm_espnet.long_audio.pauses import PauseFinder

PAUSES = ("energy", "ctc", "silero")
DEFAULT_RATE = 16000  # Hz
LENGTHS_HELP = {
    "max_seconds": "longest piece",
    "min_seconds": "no cut before this",
    "overlap_seconds": "shared where there is no pause",
    "padding_seconds": "kept at each side of a pause",
}


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="data directory to cut")
    parser.add_argument("--output_dir", type=Path, required=True, help="data directory of the pieces")
    group = parser.add_argument_group("pauses")
    group.add_argument(
        "--pauses",
        choices=PAUSES,
        default="energy",
        help="how they are found: by energy (default; quiet surroundings), by blanks of the foundation's CTC encoder "
        "(safest: it cuts where nothing is recognized), by a silero VAD model",
    )
    group.add_argument("--foundation", type=Path, help="YAML of the pair whose encoder --pauses ctc uses")
    group.add_argument("--silero_model", type=Path, help="silero_vad.onnx for --pauses silero (needs onnxruntime)")
    group = parser.add_argument_group("lengths in seconds")
    for option in fields(CuttingOptions):
        message = f"{LENGTHS_HELP[option.name]} (default {option.default:g})"
        group.add_argument(f"--{option.name}", type=float, default=option.default, help=message)
    group = parser.add_argument_group("running")
    group.add_argument("--max_failed", type=float, default=0.01, help="largest share left out (default 0.01)")
    group.add_argument("--ngpu", type=int, default=0, help="1: the encoder runs on a GPU")
    group.add_argument("--num_threads", type=int, default=1, help="CPU threads")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when too much is left out, after everything is written."""
    args = get_parser().parse_args(argv)
    check_arguments(args)
    from slm_espnet.long_audio.datadir import count_reasons, make_cutter, write_pieces

    try:
        options = CuttingOptions(**{option.name: vars(args)[option.name] for option in fields(CuttingOptions)})
    except ValueError as error:
        raise UserError(str(error)) from error
    find_pauses, rate = pause_finder(args)
    done = write_pieces(args.data_dir, args.output_dir, make_cutter(find_pauses, options), rate)
    kept = done.rows - len(done.left_out)
    print(f"{args.output_dir}: {kept} rows in {done.pieces} pieces, {done.without_pause} of them cut without a pause")
    for reason, count in count_reasons(done.left_out).items():
        print(f"left out: {count} {reason}")
    if len(done.left_out) > args.max_failed * done.rows:
        share = f"{100 * len(done.left_out) / done.rows:.1f} % of the rows are left out"
        listed = args.output_dir / "left_out.tsv"
        print(f"error: {share}, more than --max_failed {args.max_failed}; see {listed}", file=sys.stderr)
        return 1
    return 0


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse combinations that cannot work."""
    if args.pauses == "ctc" and args.foundation is None:
        raise UserError("--pauses ctc needs --foundation, whose speech encoder finds them")
    if args.pauses == "silero" and args.silero_model is None:
        raise UserError("--pauses silero needs --silero_model, the path of silero_vad.onnx")
    for option, wanted in (("foundation", "ctc"), ("silero_model", "silero")):
        if vars(args)[option] is not None and args.pauses != wanted:
            raise UserError(f"--{option} goes with --pauses {wanted}, not with {args.pauses}")


def pause_finder(args: argparse.Namespace) -> tuple[PauseFinder, int]:
    """The finder that the options name, and the sampling rate it hears."""
    if args.pauses == "energy":
        from slm_espnet.long_audio.pauses import energy_pauses

        return energy_pauses, DEFAULT_RATE
    if args.pauses == "silero":
        from slm_espnet.long_audio.pauses import SILERO_RATE, SileroPauses

        return SileroPauses(args.silero_model), SILERO_RATE
    import torch

    from slm_espnet.foundation import load_foundation
    from slm_espnet.long_audio.pauses import CTCPauses
    from slm_espnet.speech_encoder.build import build_speech_encoder

    torch.set_num_threads(args.num_threads)
    if args.ngpu and not torch.cuda.is_available():
        raise UserError("--ngpu 1: no GPU is available to torch; use --ngpu 0")
    foundation = load_foundation(args.foundation)
    encoder = build_speech_encoder(foundation.speech_encoder, foundation.speech_encoder_conf)
    if encoder.blank_id is None:
        model = foundation.speech_encoder_conf.get("model")
        raise UserError(f"{model} has no CTC, so it has no blanks; use --pauses energy or silero")
    return CTCPauses(encoder.to("cuda" if args.ngpu else "cpu")), encoder.sampling_rate


if __name__ == "__main__":
    run_main(main)
