"""How fast speech is encoded: a plain loop over the encoder, padded batches in corpus order, and stage 2 itself.

    python benchmarks/encoding.py --pair base_t5 --utterances 32                       # random weights, noise
    python benchmarks/encoding.py --pair parakeet_gemma_2b --device cuda --utterances 1000 --batch_seconds 600
    python benchmarks/encoding.py --foundation conf/foundation/mini.yaml --data_dir egs2/mini/slm1/data/test_clean

The baselines call a Hugging Face model and its feature extractor as their documentation does (of ESPnet: the model's
`encode`), keep the frames in memory and write nothing. Stage 2 reads ahead, sorts, computes, reduces, collects
posteriors and text, and writes a set of encodings. All read the same audio files, in turns, in one process; loading
the model belongs to none. Printed: median time (CPU time; on a GPU wall time) and spread, times real time, speed
against the first way, share of padding among the samples, most memory of the process (on a GPU: of the GPU),
operations, how near the time comes to that of the fewest operations as bare matrix products, and the largest
difference of a frame from the first way's, as a share of the largest value; the share of padding in stage 2's batches
of larger sets; and what storage and reading cost (`storage.py`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "benchmarks")]

import floors  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import storage  # noqa: E402
import torch  # noqa: E402
from common import add_device_options, clock_of, hardware, in_turns  # noqa: E402
from memory import Peak  # noqa: E402
from speech import DISTRIBUTION, drawn_seconds, write_noise  # noqa: E402

from slm_espnet.data.datadir import AudioSource  # noqa: E402
from slm_espnet.encodings.job import JobOptions, mark_done, run_job  # noqa: E402
from slm_espnet.encodings.merge import merge  # noqa: E402
from slm_espnet.encodings.pipeline import EncodingPipeline  # noqa: E402
from slm_espnet.encodings.plan import Recording, batches, look_at_headers, read_recordings, share  # noqa: E402
from slm_espnet.encodings.reader import EncodingReader  # noqa: E402
from slm_espnet.errors import run_main  # noqa: E402
from slm_espnet.foundation import load_foundation  # noqa: E402
from slm_espnet.length_reduction.build import build_static_reduction  # noqa: E402
from slm_espnet.speech_encoder.huggingface_ctc import HuggingFaceCTCEncoder  # noqa: E402

MAX_SECONDS = 60.0  # longer recordings are left out
SET_SIZES = (250, 2620, 28000)  # utterances of drawn lengths, of which the padding is told


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", help="Foundation file, or name in benchmarks/pairs: random weights of that size")
    parser.add_argument("--foundation", type=Path, help="In place of --pair: foundation of a trained encoder")
    parser.add_argument("--data_dir", type=Path, help="Real audio; else noise of drawn lengths")
    parser.add_argument("--utterances", type=int, default=32, help="How many are encoded (default 32)")
    parser.add_argument("--batch_size", type=int, default=16, help="Utterances in a padded batch (default 16)")
    parser.add_argument("--batch_seconds", type=float, default=60.0, help="As of stage 2 (default 60)")
    add_device_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = get_parser().parse_args(argv)
    if (args.pair is None) == (args.foundation is None):
        raise SystemExit("give --pair, or --foundation")
    torch.set_num_threads(args.threads)
    print(hardware())
    with tempfile.TemporaryDirectory() as folder:
        pipeline = build_pipeline(args)
        recordings = find_recordings(args, Path(folder), pipeline.sampling_rate)
        ways = Ways(pipeline, recordings, Path(folder), args)
        dtype = str(pipeline.encoder.compute_dtype).removeprefix("torch.")
        print_padding(args)
        print_ways(ways, args, floors.measure(args.device, dtype))
        storage.print_tables(ways.job_directory, "random weights" if args.pair else "trained weights", args.repeats)
    return 0


def build_pipeline(args: argparse.Namespace) -> EncodingPipeline:
    """Encoder and reduction, on the device."""
    if args.foundation is None:
        from models import random_encoder, read_pair

        pair = read_pair(args.pair)
        reduction = build_static_reduction(pair.length_reduction, pair.length_reduction_conf)
        return EncodingPipeline(random_encoder(pair, args.device, args.dtype), reduction)
    foundation = load_foundation(args.foundation)
    if args.dtype:
        foundation.speech_encoder_conf["dtype"] = args.dtype
    return EncodingPipeline.from_foundation(foundation, device=args.device)


def find_recordings(args: argparse.Namespace, folder: Path, rate: int) -> list[Recording]:
    """What is encoded: the first recordings of the data directory, or noise."""
    if args.data_dir is None:
        print(f"noise; lengths {DISTRIBUTION}")
    data_dir = args.data_dir or write_noise(folder / "data", drawn_seconds(args.utterances), rate)
    found = read_recordings(data_dir)
    # keys are hashes, their order is none
    return sorted(found, key=lambda recording: str(recording.source))[: args.utterances]


class Ways:
    """The ways of encoding, the frames that each gave last, and how many samples it padded."""

    def __init__(
        self, pipeline: EncodingPipeline, recordings: list[Recording], folder: Path, args: argparse.Namespace
    ) -> None:
        self.pipeline, self.recordings, self.args = pipeline, recordings, args
        self.job_directory = folder / "encodings"
        # what an encoder finds out about itself by being tried, it finds once: that belongs to loading
        pipeline.encode([np.zeros(length, np.float32) for length in (16000, 15000)])
        # as the job sees them: lengths from the headers, longest first
        self.sorted, left_out = look_at_headers(recordings, MAX_SECONDS)
        if left_out:
            raise SystemExit(f"{len(left_out)} recordings cannot be encoded, for one: {left_out[0].message}")
        self.seconds = sum(recording.seconds for recording in self.sorted)
        self.frames: dict[str, dict[str, np.ndarray]] = {}  # (T, D), by way and key
        sizes = args.batch_size
        self.batches = {
            "plain loop": [[recording] for recording in recordings],
            "padded batches": [recordings[first : first + sizes] for first in range(0, len(recordings), sizes)],
        }
        self.run: dict[str, Callable[[], object]] = {
            name: lambda name=name, groups=groups: self._plain(name, groups) for name, groups in self.batches.items()
        }
        self.run["stage 2"] = self._job
        self.batches["stage 2"] = batches(share(self.sorted, 1, 1), args.batch_seconds)

    def padding(self, name: str) -> float:
        """Share of a way's samples that are padding."""
        seconds = {recording.key: recording.seconds for recording in self.sorted}
        return padding_share([[seconds[recording.key] for recording in batch] for batch in self.batches[name]])

    def difference(self, name: str) -> float:
        """Largest difference of a frame from the plain loop's, as a share of the largest value there."""
        plain = self.frames["plain loop"]
        largest = max(float(np.abs(frames).max()) for frames in plain.values())
        if name != "stage 2":
            pairs = [(plain[key], frames) for key, frames in self.frames[name].items()]
        else:
            reader = EncodingReader(self.job_directory)
            encodings = {key: reader[key] for key in plain}
            pairs = [(spans(plain[key], found), found.frames) for key, found in encodings.items()]
        if any(one.shape != other.shape for one, other in pairs):
            return float("inf")
        return max(float(np.abs(one - other).max()) for one, other in pairs) / largest

    @torch.no_grad()
    def _plain(self, name: str, groups: list[list[Recording]]) -> None:
        """Batch after batch through the model itself."""
        encoder, found = self.pipeline.encoder, {}
        dtype = encoder.compute_dtype
        encode = self._hugging_face if isinstance(encoder, HuggingFaceCTCEncoder) else self._own
        with torch.autocast(torch.device(self.args.device).type, dtype, enabled=dtype != torch.float32):
            for recordings in groups:
                speech = [soundfile.read(r.source.path, dtype="float32")[0] for r in recordings]
                frames, lengths = encode(encoder, speech)
                rows = frames.float().cpu().numpy()
                for recording, row, length in zip(recordings, rows, lengths.tolist(), strict=True):
                    found[recording.key] = row[:length]
        self.frames[name] = found

    def _hugging_face(self, encoder: Any, speech: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames before the CTC layer, by feature extractor and model."""
        inputs = encoder.input.extractor(
            speech, sampling_rate=encoder.sampling_rate, padding=True, return_tensors="pt"
        ).to(self.args.device)
        seen: list[torch.Tensor] = []
        handle = encoder.head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        encoder.model(**inputs).logits.float().log_softmax(-1)
        handle.remove()
        samples = torch.tensor([len(row) for row in speech], device=self.args.device)
        return seen[0], encoder.input.frame_lengths(encoder.model, inputs, samples)

    def _own(self, encoder: Any, speech: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of an encoder of another kind, in its model's own way."""
        lengths = torch.tensor([len(row) for row in speech])
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in speech], batch_first=True)
        output = encoder.encode(padded.to(self.args.device), lengths.to(self.args.device))
        return output.frames, output.lengths

    def _job(self) -> None:
        """Stage 2, anew."""
        directory, options = self.job_directory, JobOptions(batch_seconds=self.args.batch_seconds, overwrite=True)
        request, recordings = {"max_seconds": MAX_SECONDS}, sorted(self.recordings)
        run_job(self.pipeline, recordings, directory, request, options)
        mark_done(directory, self.pipeline.fingerprint, recordings, request, options)
        merge(recordings, directory, 1, request, 0.0)


def padding_share(lengths: Sequence[Sequence[float]]) -> float:
    """Share of batches that is padding, for the lengths in each."""
    return 1 - sum(map(sum, lengths)) / sum(len(batch) * max(batch) for batch in lengths)


def print_padding(args: argparse.Namespace) -> None:
    """Share of padding in the batches of whole sets: the data directory, and sets of drawn lengths."""
    sets = {f"{size} of drawn lengths": drawn_seconds(size).tolist() for size in SET_SIZES}
    if args.data_dir is not None:
        recordings, _ = look_at_headers(read_recordings(args.data_dir), MAX_SECONDS)
        sets[f"{args.data_dir.name}, {len(recordings)}"] = [recording.seconds for recording in recordings]
    print("|set|batches|padding|", "|---" * 3 + "|", sep="\n")
    for name, seconds in sets.items():
        planned = [Recording("", AudioSource(""), length) for length in sorted(seconds, reverse=True)]
        lengths = [[recording.seconds for recording in batch] for batch in batches(planned, args.batch_seconds)]
        print(f"|{name}|{len(lengths)}|{100 * padding_share(lengths):.1f} %|")


def spans(frames: np.ndarray, encoding: Any) -> np.ndarray:
    """Means of the frames (T, D) that each frame of an encoding stands for: what ctc_blank and ctc_merge keep."""
    zips = zip(encoding.positions.tolist(), encoding.stops.tolist(), strict=True)
    return np.stack([frames[start:stop].mean(0) for start, stop in zips])


def print_ways(ways: Ways, args: argparse.Namespace, floor: floors.Floor) -> None:
    """Time the ways and print a line for each."""
    operations, peaks = {}, {}
    for name, run in ways.run.items():  # memory and operations apart from the times
        with Peak(args.device) as peak:
            operations[name] = floors.operations(run)
        peaks[name] = peak.mebibytes
    timings = in_turns(ways.run, args.repeats, clock_of(args.device))
    need = min(operations.values())
    print(f"{len(ways.recordings)} utterances, {ways.seconds:.0f} s of audio; {floor}")
    print(f"{need / 1e9:.0f} G operations, the fewest of a way, take {floor.seconds(need):.2f} s as bare products")
    print("|way|seconds|spread|times real time|speed|padding|peak MiB|G operations|of the bare rate|difference|")
    print("|---" * 10 + "|")
    first = timings["plain loop"].median
    for name, timing in timings.items():
        print(
            f"|{name}|{timing.median:.2f}|{100 * timing.spread:.0f} %|{ways.seconds / timing.median:.1f}|"
            f"{first / timing.median:.2f}|{100 * ways.padding(name):.1f} %|{peaks[name]:.0f}|"
            f"{operations[name] / 1e9:.0f}|{100 * floor.seconds(need) / timing.median:.0f} %|"
            f"{ways.difference(name):.1e}|",
            flush=True,
        )


if __name__ == "__main__":
    run_main(main)
