"""Ask a trained model about recordings: files, or folders of them.

    python -m slm_espnet.bin.transcribe talk.mp3 --model user/name                      # prints the text
    python -m slm_espnet.bin.transcribe recordings/ --model exp/slm_mini --output_dir out --output_format srt,json
    python -m slm_espnet.bin.transcribe a.wav --model user/name --instruction "Translate this speech to Spanish"
    python -m slm_espnet.bin.transcribe a.wav --model user/name --instruction ast --language de --target en

Without --instruction speech is recognized. Long recordings are cut at pauses; tsv has the times of the pieces, srt and
vtt have cues of few lines within them, timed by their letters. What is in --output_dir already is not done again. A
recording that cannot be used is named and left out, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.api.recordings import RecordingFile, find_recordings
from slm_espnet.api.writers import SUBTITLES, WRITERS
from slm_espnet.bin.config_file import str2bool
from slm_espnet.data.audio import AudioError, audio_seconds
from slm_espnet.data.spoken import AudioSource
from slm_espnet.errors import UserError, run_main
from slm_espnet.files import content_key, read_yaml, write_atomically
from slm_espnet.long_audio.subtitles import Layout
from slm_espnet.options import chosen

if TYPE_CHECKING:
    from slm_espnet.api.model import SLMInference
    from slm_espnet.api.results import Answer

SETTINGS, FAILED = "transcribe.json", "failed.tsv"
CONTENTS = ".transcribed.tsv"  # of recordings that were answered: name, and what the file held
MOST_SECONDS = 1800.0  # of audio that is read and answered together: half an hour at 16 kHz is 115 MB
UNKNOWN_SECONDS = 300.0  # of a recording whose header is not looked at
ASKED = ("model", "instruction", "language", "target", "question", "context", "beam_size")  # what answers depend on


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("recordings", nargs="+", help="Audio files (any rate, wav, flac, mp3, ogg, …), or folders")
    group = parser.add_argument_group("what is asked")
    group.add_argument("--model", required=True, help="user/name, user/name@revision, a folder, or an experiment")
    group.add_argument("--instruction", help="Words, or the name of a task of the model; without it: recognition")
    group.add_argument("--language", help="Code of the language spoken, for a task's wording")
    group.add_argument("--target", help="Code of the language to translate into, for a task's wording")
    group.add_argument("--question", help="For the wording of question answering")
    group.add_argument("--context", type=Path, help="File of phrases that may occur, one a line")
    group.add_argument("--beam_size", type=int, help="Beams; 1 is greedy; without it as the model says")
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--output_format", default="txt", help=f"One or more of {', '.join(WRITERS)}, by commas, or all"
    )
    usual = Layout()
    group.add_argument(
        "--max_line_width", type=int, default=usual.max_line_width,
        help="srt, vtt: most letters in a line; Chinese, Japanese and Korean ones count as two",
    )  # fmt: skip
    group.add_argument("--max_line_count", type=int, default=usual.max_line_count, help="srt, vtt: most lines in a cue")
    group.add_argument("--output_dir", type=Path, help="Where the files go; without it the answers are printed")
    group.add_argument("--overwrite", type=str2bool, nargs="?", const=True, default=False, help="Do all of them again")
    group = parser.add_argument_group("running")
    group.add_argument("--batch_size", type=int, default=16, help="Most recordings that are read and answered together")
    group.add_argument("--max_seconds", type=float, default=25.0, help="Longest piece of a long recording")
    group.add_argument("--device", help="cpu, cuda, …; auto: the LLM over all GPUs; without it a GPU if there is one")
    group.add_argument("--num_threads", type=int, help="CPU threads; PyTorch's choice without it")
    group.add_argument("--speech_encoder", type=Path, help="Directory of the speech encoder, where it is not fetched")
    group.add_argument("--llm", type=Path, help="Directory of the language model, likewise")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when a recording could not be used."""
    args = get_parser().parse_args(argv)
    formats = chosen(args.output_format, WRITERS, "--output_format")
    if args.output_dir is None and len(formats) > 1:
        raise UserError("several formats need --output_dir")
    if args.batch_size < 1 or not args.max_seconds > 8:
        raise UserError("--batch_size must be at least 1 and --max_seconds above 8")
    layout = layout_of(args)
    recordings = find_recordings(args.recordings)
    todo = recordings
    if args.output_dir is not None:
        check_settings(args)
        contents = read_contents(args.output_dir)
        todo = [r for r in recordings if args.overwrite or not r.is_done(args.output_dir, formats, contents)]
        if len(todo) < len(recordings):
            say(f"{len(recordings) - len(todo)} of {len(recordings)} recordings are done already (--overwrite redoes)")
    failed = transcribe(args, todo, formats, layout) if todo else {}
    if args.output_dir is not None:
        lines = [f"{path}\t{' '.join(reason.split())}\n" for path, reason in failed.items()]
        write_atomically(args.output_dir / FAILED, "".join(lines))
    if failed:
        say(f"error: {len(failed)} of {len(recordings)} recordings could not be used:")
        for path, reason in failed.items():
            say(reason if str(path) in reason else f"{path}: {reason}")
    return int(bool(failed))


def read_contents(folder: Path) -> dict[str, str]:
    """What each recording held whose answers are in a folder, by its name; the last line of a name counts."""
    try:
        lines = (folder / CONTENTS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    contents = {}
    for line in lines:
        name, _, content = line.partition("\t")
        try:
            contents[json.loads(name)] = content
        except ValueError:  # the command was killed in the midst of this line
            continue
    return contents


def layout_of(args: argparse.Namespace) -> Layout:
    """What a cue of subtitles may be; UserError for impossible values."""
    try:
        return Layout(args.max_line_width, args.max_line_count)
    except ValueError as error:
        raise UserError(str(error)) from error


def say(text: str) -> None:
    """What is not an answer goes to standard error."""
    print(text, file=sys.stderr, flush=True)


def check_settings(args: argparse.Namespace) -> None:
    """Refuse a folder of answers to something else; note what these are answers to."""
    path = args.output_dir / SETTINGS
    args.output_dir.mkdir(parents=True, exist_ok=True)
    asked = {name: None if vars(args)[name] is None else str(vars(args)[name]) for name in ASKED}
    before = (read_yaml(path, "the settings") or {}) if path.is_file() and not args.overwrite else asked
    if before != asked:
        sides = "; ".join(f"{n}: {before.get(n)}, now {asked[n]}" for n in asked if before.get(n) != asked[n])
        raise UserError(f"{args.output_dir} was begun with other settings ({sides}); give another, or --overwrite true")
    write_atomically(path, json.dumps(asked, ensure_ascii=False, indent=1) + "\n")


def transcribe(
    args: argparse.Namespace, todo: list[RecordingFile], formats: list[str], layout: Layout
) -> dict[Path, str]:
    """Answer and write; recordings that could not be used, with the reason."""
    import torch

    from slm_espnet.api.model import SLMInference
    from slm_espnet.biasing.lists import read_phrases
    from slm_espnet.long_audio.cutting import CuttingOptions

    if args.num_threads is not None:
        torch.set_num_threads(args.num_threads)
    values = {"language": args.language, "target": args.target, "question": args.question}
    asked = {name: value for name, value in values.items() if value is not None}
    context = () if args.context is None else read_phrases(args.context)
    options = {} if args.beam_size is None else {"beam_size": args.beam_size}
    slm = SLMInference.from_pretrained(
        args.model, speech_encoder=args.speech_encoder, llm=args.llm, device=args.device,
        cutting=CuttingOptions(max_seconds=args.max_seconds), **options,
    )  # fmt: skip
    say(f"instruction: {slm.instructions.resolve(args.instruction, **asked)}")
    failed: dict[Path, str] = {}
    began, done = time.monotonic(), 0
    for batch in batches_of(todo, args.batch_size):
        for recording, answer in answers(slm, batch, args.instruction, context, asked):
            if isinstance(answer, UserError):
                failed[recording.path] = str(answer)
            else:
                write(recording, answer, args.output_dir, formats, layout)
        done += len(batch)
        rate = done / max(1e-9, time.monotonic() - began)
        say(f"{done}/{len(todo)} recordings, {rate:.2f}/s, {(len(todo) - done) / rate:.0f} s left")
    return failed


def batches_of(todo: Sequence[RecordingFile], most: int) -> Iterator[list[RecordingFile]]:
    """Neighbours, at most so many and MOST_SECONDS of audio, as far as headers tell; a longer recording is alone."""
    batch: list[RecordingFile] = []
    filled = 0.0
    for recording in todo:
        try:
            seconds = audio_seconds(AudioSource(str(recording.path)))
        except AudioError:  # which is said where it is read
            seconds = 0.0
        seconds = UNKNOWN_SECONDS if seconds is None else seconds
        if batch and (len(batch) == most or filled + seconds > MOST_SECONDS):
            yield batch
            batch, filled = [], 0.0
        batch.append(recording)
        filled += seconds
    if batch:
        yield batch


def answers(
    slm: SLMInference,
    batch: list[RecordingFile],
    instruction: str | None,
    context: Sequence[str],
    asked: Mapping[str, str],
) -> Iterator[tuple[RecordingFile, Answer | UserError]]:
    """Recordings and answers; where one of a batch cannot be used, all are asked one by one."""
    try:
        found = slm([recording.path for recording in batch], instruction, context=context, **asked)
    except (UserError, MemoryError) as error:
        if len(batch) == 1:
            too_long = f"{batch[0].path}: does not fit into memory ({error}); cut it into shorter files"
            yield batch[0], error if isinstance(error, UserError) else UserError(too_long)
            return
        for recording in batch:
            yield from answers(slm, [recording], instruction, context, asked)
        return
    yield from zip(batch, found, strict=True)


def write(recording: RecordingFile, answer: Answer, folder: Path | None, formats: list[str], layout: Layout) -> None:
    """Write the files of one recording, or print its answer."""
    texts = [WRITERS[name](answer, *([layout] if name in SUBTITLES else [])) for name in formats]
    if folder is None:
        print(texts[0], end="", flush=True)
        return
    content = content_key(recording.path)
    for path, text in zip(recording.outputs(folder, formats), texts, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    with open(folder / CONTENTS, "a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(recording.name)}\t{content}")  # a line that was broken off stays one of its own


if __name__ == "__main__":
    run_main(main)
