"""Stage 2: run the frozen speech encoder over every recording, once, and keep what the adapter needs.

    python -m slm_espnet.bin.encode --foundation conf/foundation/mini.yaml \
        --data_dir data/train data/dev --output_dir dump/encodings/mini/train dump/encodings/mini/dev

in one process, or as jobs 1 to N of `--job J --num_jobs N` and then `--merge true --num_jobs N`. Several sets share one
loaded encoder. A call that finds its work done returns at once; a killed one is made again and goes on where it was.
A recording that was replaced under its old name is encoded anew, one that was moved is not.
Recordings that cannot be encoded are listed with their reason in left_out.tsv. Exit status 1 when more than
--max_failed of them cannot, after all others are done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.errors import UserError, run_main

if TYPE_CHECKING:
    from slm_espnet.encodings.job import JobOptions, JobResult
    from slm_espnet.encodings.plan import Recording


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    truth = {"choices": ("true", "false"), "default": "false"}
    parser.add_argument("--foundation", type=Path, required=True, help="YAML of the frozen pair")
    parser.add_argument("--data_dir", type=Path, nargs="+", required=True, help="data directories")
    parser.add_argument("--output_dir", type=Path, nargs="+", required=True, help="one for each data directory")
    parser.add_argument("--job", type=int, help="number of this job, from 1; not given: do everything, and merge")
    parser.add_argument("--num_jobs", type=int, default=1, help="jobs that share the recordings (default 1)")
    parser.add_argument("--merge", **truth, help="put the parts of all jobs together")
    parser.add_argument("--verify", **truth, help="compare the checksums of complete sets, and encode nothing")
    parser.add_argument("--overwrite", **truth, help="begin anew, whatever is there")
    parser.add_argument("--ngpu", type=int, choices=(0, 1), default=0, help="1: on the GPU")
    parser.add_argument("--num_threads", type=int, default=1, help="CPU threads of this process (default 1)")
    parser.add_argument("--batch_seconds", type=float, default=60.0, help="audio in a batch, with padding (default 60)")
    parser.add_argument("--max_seconds", type=float, default=60.0, help="longer recordings are left out (default 60)")
    parser.add_argument("--storage_dtype", choices=("float16", "float32"), default="float16", help="of frames on disk")
    parser.add_argument("--max_failed", type=float, default=0.01, help="largest share left out (default 0.01)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when too much is left out, after everything else is done."""
    args = get_parser().parse_args(argv)
    check(args)
    if args.verify == "true":
        return verify(args.output_dir)
    from slm_espnet.encodings.plan import Request, read_recordings
    from slm_espnet.foundation import load_foundation

    request = Request(load_foundation(args.foundation), args.storage_dtype, args.max_seconds)
    described = request.describe()
    sets = [(read_recordings(data), output) for data, output in zip(args.data_dir, args.output_dir, strict=True)]
    failed = False
    if args.merge == "false":
        failed = encode_sets(args, request, described, sets)
    if args.merge == "true" or args.job is None:
        failed |= merge_sets(args, described, sets)
    return 1 if failed else 0


def check(args: argparse.Namespace) -> None:
    """Raises: UserError: options that do not go together."""
    if len(args.data_dir) != len(args.output_dir):
        raise UserError(f"{len(args.data_dir)} --data_dir and {len(args.output_dir)} --output_dir: give one for each")
    if len({path.resolve() for path in args.output_dir}) < len(args.output_dir):
        raise UserError("--output_dir names a directory twice; every set needs its own")
    if args.num_jobs < 1 or (args.job is not None and not 1 <= args.job <= args.num_jobs):
        raise UserError(f"--job {args.job} of --num_jobs {args.num_jobs}: jobs are numbered from 1 to their number")
    if args.merge == "true" and args.job is not None:
        raise UserError("--merge true belongs after all jobs; leave --job out")
    if args.merge == "false" and args.job is None and args.num_jobs > 1:
        raise UserError("--num_jobs needs --job, or --merge true when all jobs are done")
    if args.batch_seconds <= 0 or args.max_seconds <= 0:
        raise UserError("--batch_seconds and --max_seconds are lengths above 0")


def encode_sets(args: argparse.Namespace, request: Any, described: dict, sets: list[tuple[list, Path]]) -> bool:
    """Run this job's part of every set that is not done; whether too much was left out of one."""
    from slm_espnet.encodings.contents import with_contents
    from slm_espnet.encodings.layout import job_lock_path
    from slm_espnet.files import make_directory
    from slm_espnet.locks import Lock

    job = args.job or 1
    to_do = [
        (with_contents(recordings, output), output)
        for recordings, output in sets
        if args.overwrite == "true" or not nothing_to_do(recordings, output, job, args.num_jobs, described)
    ]
    if not to_do:
        return False
    pipeline = build_pipeline(args, request)
    from slm_espnet.encodings.job import JobOptions, run_job

    options = JobOptions(job, args.num_jobs, args.batch_seconds, args.overwrite == "true")
    failed = False
    for recordings, output in to_do:
        make_directory(output)
        with Lock(job_lock_path(output, job), f"part {job} of these encodings"):
            result = run_job(pipeline, recordings, output, described, options)
            failed |= conclude(result, args, pipeline.fingerprint, recordings, output, described, options)
    return failed


def nothing_to_do(recordings: list[Recording], output: Path, job: int, num_jobs: int, described: dict) -> bool:
    """Whether a job's part of a set, or the whole set, was encoded from what the recordings hold now.

    A job looks at its own recordings alone, unless it finds work, or the set was divided into another number of jobs.
    """
    from slm_espnet.encodings.contents import changed, contents_digest, with_contents
    from slm_espnet.encodings.plan import audio_digest, job_is_done, set_is_done, share

    audio = audio_digest(recordings)
    mine = with_contents(share(recordings, job, num_jobs), output)
    if job_is_done(output, job, num_jobs, described, audio, contents_digest(mine)) and not changed(mine, output):
        return True
    return set_is_done(output, described, audio) and not changed(with_contents(recordings, output), output)


def conclude(
    result: JobResult,
    args: argparse.Namespace,
    fingerprint: dict[str, Any],
    recordings: list[Recording],
    output: Path,
    described: dict[str, Any],
    options: JobOptions,
) -> bool:
    """Report a job and mark it done, unless too much was left out; whether it was."""
    from slm_espnet.encodings.job import mark_done

    kept = f", kept {result.kept / result.frames:.1%} of frames" if result.frames else ""
    print(
        f"{output} part {options.job} of {options.num_jobs}: {result.encoded} encoded, {result.present} were there, "
        f"{result.left_out} left out{kept}"
    )
    # one of few recordings may be bad where there are several jobs: merging judges the whole set
    allowed = args.max_failed * result.recordings + (1 if options.num_jobs > 1 else 0)
    if args.job is not None and result.left_out > allowed:
        say_failed(output / f"left_out.{options.job}.tsv", result.left_out, result.recordings, args.max_failed)
        return True
    mark_done(output, fingerprint, recordings, described, options)
    return False


def say_changed(changed: list[Recording], output: Path) -> None:
    """One line about recordings of a complete set that were replaced."""
    if changed:
        named = ", ".join(str(recording.source) for recording in changed[:3]) + (", …" if len(changed) > 3 else "")
        print(f"{output}: {len(changed)} recordings have changed since they were encoded: {named}")


def say_failed(listed: Path, left_out: int, recordings: int, max_failed: float) -> None:
    """One line about too many recordings left out."""
    print(
        f"error: {left_out} of {recordings} recordings cannot be encoded, more than --max_failed {max_failed:g}; see "
        f"{listed}, mend them and run it again, or allow more",
        file=sys.stderr,
    )


def merge_sets(args: argparse.Namespace, described: dict, sets: list[tuple[list, Path]]) -> bool:
    """Put parts together; whether too much was left out of a set."""
    from slm_espnet.encodings.contents import changed, with_contents, write_contents
    from slm_espnet.encodings.layout import CONTENTS, job_lock_path
    from slm_espnet.encodings.merge import merge
    from slm_espnet.encodings.plan import audio_digest, set_is_done
    from slm_espnet.files import make_directory
    from slm_espnet.locks import Lock

    failed = False
    for recordings, output in sets:
        recordings = with_contents(recordings, output)
        news = changed(recordings, output)
        if args.overwrite == "false" and not news and set_is_done(output, described, audio_digest(recordings)):
            print(f"{output}: done before")
            if not (output / CONTENTS).exists():  # encoded before contents were kept
                write_contents(recordings, output)
            continue
        say_changed(news, output)
        make_directory(output)
        with Lock(job_lock_path(output, "merge"), "the index of these encodings"):
            summary = merge(recordings, output, args.num_jobs, described, args.max_failed)
        print(f"{output}: {summary}")
        if summary.failed_share > args.max_failed:
            left_out = summary.recordings - summary.encoded
            say_failed(output / "left_out.tsv", left_out, summary.recordings, args.max_failed)
            failed = True
    return failed


def build_pipeline(args: argparse.Namespace, request: Any) -> Any:
    """Encoder and reduction, on the chosen device."""
    import torch

    from slm_espnet.encodings.pipeline import EncodingPipeline

    torch.set_num_threads(args.num_threads)
    if args.ngpu and not torch.cuda.is_available():
        raise UserError("--ngpu 1, but PyTorch finds no GPU; use --ngpu 0, or a machine and a PyTorch with CUDA")
    device = "cuda" if args.ngpu else "cpu"
    return EncodingPipeline.from_foundation(request.foundation, request.storage_dtype, device)


def verify(directories: list[Path]) -> int:
    """Compare checksums of sets; the other sets are looked at all the same where one is damaged."""
    from slm_espnet.encodings.verify import verify as verify_set

    damaged = []
    for directory in directories:
        try:
            print(f"{directory}: {verify_set(directory)} encodings are as they were written", flush=True)
        except UserError as error:
            damaged.append(str(error))
    if damaged:
        raise UserError("; ".join(damaged))
    return 0


if __name__ == "__main__":
    run_main(main)
