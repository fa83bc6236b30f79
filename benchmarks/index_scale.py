"""How long stages 3 to 5 take to start, and in how much memory, with millions of utterances.

    python benchmarks/index_scale.py                           # ten million, made up; 8 GB in a temporary folder
    python benchmarks/index_scale.py --utterances 1000000 --before true   # also as lists and dictionaries would do it

Makes the tables of a data directory, the index of its encodings (shards are holes in a file) and the shape files of
stage 3. Each piece then runs in a process of its own; printed are its seconds (of one core, and on the clock) and its
highest resident memory; `nothing` is a process that has only loaded the same packages. Mapped files count as memory,
though the system can take them back.
Exit status 1 when a piece takes more than --most_seconds or --most_gib.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

CHUNK = 100_000  # utterances written at a time
FRAMES_PER_SECOND, DIM = 10, 1024
SENTENCES = [" ".join(f"word{(7 * n + m) % 90}" for m in range(6 + n % 9)) for n in range(64)]
JOBS = 512  # of a decoding array
ROWS = 5000  # whose statistics, examples or requests are made
PIECES = (
    "nothing", "index_tables", "open_tables", "open_encodings", "statistics", "training", "training_mixed", "decoding",
    "before_tables", "before_groups", "before_batches",
)  # fmt: skip


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=10_000_000, help="how many (default ten million)")
    parser.add_argument("--folder", type=Path, help="where they are made, and kept (default: a temporary folder)")
    parser.add_argument("--pieces", nargs="+", choices=PIECES, help="only these (default: all of today's)")
    parser.add_argument("--before", choices=("true", "false"), default="false", help="also as lists and dictionaries")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is printed")
    parser.add_argument("--most_seconds", type=float, default=60.0, help="of a core that a piece may take")
    parser.add_argument("--most_gib", type=float, default=2.0, help="of memory")
    parser.add_argument("--run", choices=PIECES, help=argparse.SUPPRESS)  # a piece, in this process
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = get_parser().parse_args(argv)
    if args.run is not None:
        print(json.dumps(measured(args.run, args.folder)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "complete").exists():
            began = time.monotonic()
            make(folder, args.utterances)
            print(f"made {args.utterances} utterances in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        pieces = args.pieces or [p for p in PIECES if args.before == "true" or not p.startswith("before")]
        return report([run(piece, folder) for piece in pieces], args)


def run(piece: str, folder: Path) -> dict:
    """A piece in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--run", piece, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"piece": piece, "failed": (done.stderr.strip().splitlines() or ["killed"])[-1][-200:]}
    return json.loads(done.stdout.splitlines()[-1])


def report(found: list[dict], args: argparse.Namespace) -> int:
    """Print what was measured; 1 when a piece needs too much."""
    status = 0
    for one in found:
        bad = "failed" in one or one["seconds"] > args.most_seconds or one["peak_mib"] > 1024 * args.most_gib
        status |= bad and not one["piece"].startswith("before")
        if args.format == "json":
            print(json.dumps(one), flush=True)
        elif "failed" in one:
            print(f"{one['piece']:<16} failed: {one['failed']}", flush=True)
        else:
            print(
                f"{one['piece']:<16} {one['seconds']:6.1f} s CPU, {one['wall_seconds']:6.1f} s, {one['peak_mib']:6.0f} "
                f"MiB, of them {one['private_mib']:.0f} of its own; {one['said']}",
                flush=True,
            )
    return int(status)


def measured(piece: str, folder: Path) -> dict:
    """Run a piece here."""
    import slm_espnet.task  # noqa: F401  loads what all pieces load

    work: Callable[[Path], str] = globals()[piece]
    began, used = time.monotonic(), time.process_time()
    said = work(folder)
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    status = Path("/proc/self/status").read_text()
    private, peak = (int(status.split(f"{name}:")[1].split()[0]) for name in ("RssAnon", "VmHWM"))
    memory = {"peak_mib": peak / 1024, "private_mib": private / 1024}
    return {"piece": piece, "seconds": cpu, "wall_seconds": seconds, **memory, "said": said}


def make(folder: Path, count: int) -> None:
    """The files."""
    data, encodings, stats = (folder / name for name in ("data", "encodings", "stats"))
    for directory in (data, encodings, stats):
        directory.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(0).integers(20, 300, count, dtype=np.int32)
    keys = np.zeros(count, "S20")
    tables = {
        "wav.scp": lambda n, u: f"{u} /corpora/big/audio/{n // 1000:06d}/{u}.flac\n",
        "text": lambda n, u: f"{u} {SENTENCES[n % 64]}\n",
        "prompt": lambda n, u: f"{u} {'recognize this speech' if n % 3 else 'translate this speech to Spanish'}\n",
        "utt2task": lambda n, u: f"{u} {'asr' if n % 3 else 'ast'}\n",
        "utt2lang": lambda n, u: f"{u} {('en', 'de', 'fr', 'es')[n // 7 % 4]}\n",
        "utt2spk": lambda n, u: f"{u} {u[:14]}\n",
        "speech_shape": lambda n, u: f"{u} {frames[n]},{DIM}\n",
        "target_shape": lambda n, u: f"{u} {8 + n % 30}\n",
    }
    for name, line in tables.items():
        with open((stats if name.endswith("shape") else data) / name, "w") as file:
            for begin in range(0, count, CHUNK):
                file.write("".join([line(n, utterance(n)) for n in range(begin, min(count, begin + CHUNK))]))
    for n in range(count):
        source = f"/corpora/big/audio/{n // 1000:06d}/{utterance(n)}.flac|None|None"
        keys[n] = hashlib.sha1(source.encode()).hexdigest()[:20]
    make_index(encodings, keys, frames)
    (stats / "summary.json").write_text(json.dumps({"kept": count}))
    (folder / "complete").touch()


def make_index(directory: Path, keys: np.ndarray, frames: np.ndarray) -> None:
    """What stage 2 leaves, with holes for encodings."""
    from slm_espnet.encodings import layout
    from slm_espnet.encodings.fingerprint import write_fingerprint

    order = np.argsort(keys)
    table = np.zeros(len(keys), layout.TABLE_DTYPE)
    table["shard"], table["kept"], table["frames"] = 1, frames[order], 2 * frames[order]
    table["bytes"] = 2 * DIM * table["kept"].astype(np.int64)
    table["offset"] = np.cumsum(table["bytes"]) - table["bytes"]
    table["seconds"] = table["kept"] / FRAMES_PER_SECOND
    np.save(directory / layout.KEYS, keys[order])
    np.save(directory / layout.TABLE, table)
    (directory / layout.INDEX).touch()
    with open(layout.shard_path(directory, 1), "wb") as file:
        file.truncate(min(int(table["bytes"].sum()), 1 << 42))
    fingerprint = {"format": layout.FORMAT, "encoder": {}, "reduction": {}, "storage_dtype": "float16", "dim": DIM}
    write_fingerprint(directory, {**fingerprint, "frame_shift": 0.04, "blank_id": None, "vocabulary": None})
    (directory / layout.DONE).write_text(json.dumps({"sizes": {layout.KEYS: 1, layout.TABLE: 1}}))


def utterance(number: int) -> str:
    """Its id."""
    return f"spk{number // 200:07d}-bk{number // 20 % 10:02d}-{number:09d}"


def nothing(folder: Path) -> str:
    """What loading costs."""
    return "a process with the packages alone"


def index_tables(folder: Path) -> str:
    """The first process that opens a data directory."""
    import shutil

    from slm_espnet.data.row_index import FOLDER

    shutil.rmtree(folder / "data" / FOLDER, ignore_errors=True)
    said = open_tables(folder)
    size = sum(path.stat().st_size for path in (folder / "data").glob(f"{FOLDER}/*"))
    return f"{said}; {size >> 20} MiB of index"


def open_tables(folder: Path) -> str:
    """Every later one."""
    from slm_espnet.data.row_table import RowTable

    table = RowTable(folder / "data")
    size = sum(path.stat().st_size for path in (folder / "data").iterdir() if path.is_file())
    return f"{len(table)} rows in {size >> 20} MiB of tables"


def open_encodings(folder: Path) -> str:
    """The index of the encodings, with some look-ups."""
    from slm_espnet.encodings.reader import EncodingReader

    reader = EncodingReader(folder / "encodings")
    keys = [reader._keys[n].decode() for n in random.Random(0).sample(range(len(reader)), min(len(reader), 10_000))]
    began = time.perf_counter()
    reader.lengths(keys)
    size = sum((folder / "encodings" / name).stat().st_size for name in ("keys.npy", "index.npy"))
    passed = (time.perf_counter() - began) / len(keys)
    return f"{size / len(reader):.0f} bytes an utterance, {passed * 1e6:.1f} us a look-up"


def statistics(folder: Path) -> str:
    """Stage 3 up to its first rows."""
    from slm_espnet.data.row_table import ChosenRows, RowTable
    from slm_espnet.encodings.reader import EncodingReader
    from slm_espnet.prompt import PromptTemplate
    from slm_espnet.training.preprocessor import SLMPreprocessor
    from slm_espnet.training.stats import Limits, collect_statistics

    table, reader = RowTable(folder / "data"), EncodingReader(folder / "encodings")
    rows = ChosenRows(table, table.with_tasks(["asr"])[:ROWS])
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        template = PromptTemplate(speech_end="<sp>", end="<eos>")
        preprocessor = SLMPreprocessor(template, make_tokenizer())
        collect_statistics([(rows, reader)], preprocessor, Limits(), Path(output))
    return f"then {len(rows) / (time.perf_counter() - began):.0f} rows/s, tokenizer not counted"


def make_tokenizer():
    """One token a word."""
    from slm_espnet.llm.base import AbsTokenizer, Tokens

    class Words(AbsTokenizer):
        eos_id, pad_id, bos_id, end_of_turn, answer_lead, closes_text = 1, 0, None, None, "", True

        def tokenize(self, pieces, add_special_tokens):
            spans = [match.span() for match in re.finditer(r"\S+", "".join(piece.text for piece in pieces))]
            return Tokens(tuple(10 + stop - start for start, stop in spans), tuple(spans))

        def decode(self, ids):
            return ""

        def special_id(self, piece):
            return 2

        def chat_frame(self, roles, date):
            raise ValueError

    return Words()


def training(folder: Path, mixing: dict | None = None) -> str:
    """Stage 4 up to its first examples: lengths, groups, batches of an epoch, look-up of all rows and encodings."""
    from slm_espnet.task import SLMTask
    from slm_espnet.training.dataset import RowsWithEncodings

    path = f"{folder / 'data'}::{folder / 'encodings'}"
    args = argparse.Namespace(
        train_shape_file=[str(folder / "stats" / name) for name in ("speech_shape", "target_shape")],
        train_data_path_and_name_and_type=[(path, "speech", "slm_rows")], mixing_conf=mixing or {}, seed=1,
        fold_length=[], sort_in_batch="descending", sort_batch="descending", drop_last_iter=False, min_batch_size=1,
    )  # fmt: skip
    options = argparse.Namespace(
        batch_type="numel", batch_size=16, batch_bins=4_000_000, distributed=False, num_iters_per_epoch=None
    )
    batches = SLMTask.training_batches(args, options)
    epoch = batches.generate(1)
    SLMTask.training_groups(args)
    rows = RowsWithEncodings(path)
    rows.check(SLMTask.training_shapes(args).ids)
    began, count = time.perf_counter(), 0
    for batch in epoch[: ROWS // 100]:
        for utt_id in batch:
            table, reader = rows.tables[0], rows.readers[0]
            reader.lengths([table[int(table.find([utt_id])[0])].audio.key])
            count += 1
    return f"{len(epoch)} batches an epoch; then {(time.perf_counter() - began) / count * 1e6:.0f} us an example"


def training_mixed(folder: Path) -> str:
    """The same, drawn by mixing_conf."""
    return training(folder, {"temperature": 3.0})


def decoding(folder: Path) -> str:
    """One job of an array up to its first requests."""
    from slm_espnet.data.row_table import RowTable  # noqa: F401
    from slm_espnet.decoding.requests import speech_requests
    from slm_espnet.decoding.run import SetDecoding
    from slm_espnet.encodings.reader import EncodingReader

    run = argparse.Namespace(args=argparse.Namespace(tasks="", input="transcript"), settings={})
    plan = SetDecoding(run, folder / "data", None, folder / "out")
    share = list(plan.rows[3::JOBS])
    requests, _ = speech_requests(share, EncodingReader(folder / "encodings"), True)
    return f"{len(requests)} requests, job 4 of {JOBS}"


def before_tables(folder: Path) -> str:
    """A list of rows."""
    from slm_espnet.data.datadir import read_data_dir

    return f"{len(read_data_dir(folder / 'data'))} rows"


def before_groups(folder: Path) -> str:
    """A dictionary of groups."""
    from slm_espnet.data.datadir import iter_data_dir

    groups = {row.utt_id: ("data", row.task, row.languages) for row in iter_data_dir(folder / "data")}
    return f"{len(groups)} utterances"


def before_batches(folder: Path) -> str:
    """ESPnet's sampler, and the set of ids that its dataset is given."""
    from espnet2.samplers.build_batch_sampler import build_batch_sampler

    files = [str(folder / "stats" / name) for name in ("speech_shape", "target_shape")]
    batches = list(build_batch_sampler(type="numel", batch_size=16, batch_bins=4_000_000, shape_files=files))
    return f"{len(batches)} batches, {len({utt_id for batch in batches for utt_id in batch})} utterances"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
