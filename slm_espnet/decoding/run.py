"""A decoding run: by which model, and for each data directory which rows and what the results depend on.

torch is imported when something has to be decoded, not before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slm_espnet.data.datadir import Row
from slm_espnet.data.row_table import ChosenRows, RowTable
from slm_espnet.decoding.biasing import RunBiasing
from slm_espnet.decoding.results import JobWriter
from slm_espnet.decoding.types import DecodingOptions, Hypothesis
from slm_espnet.encodings.fingerprint import check_fingerprint, digest, read_fingerprint
from slm_espnet.encodings.plan import Request as EncodingRequest
from slm_espnet.encodings.reader import encodings_digest
from slm_espnet.errors import UserError
from slm_espnet.foundation import PROMPT_FORMAT, Foundation, load_foundation
from slm_espnet.llm.build import read_conf
from slm_espnet.llm.source import find_model
from slm_espnet.options import split_names
from slm_espnet.progress import Progress
from slm_espnet.tasks.recognition import recognition_tasks_of
from slm_espnet.training.config import read_config
from slm_espnet.weights import file_sha256

if TYPE_CHECKING:
    from slm_espnet.decoding.requests import Encodings, Requests
    from slm_espnet.encodings.pipeline import EncodingPipeline
    from slm_espnet.inference import Biaser

WITHOUT_INFLUENCE = ("batch_tokens", "batch_size")  # on results
PORTION = 20_000  # rows of a job whose batches are formed together, the longest first
LIVE_ROWS = 1000  # rows whose audio is encoded, then decoded, where there are no encodings of stage 2


def decoding_options(args: argparse.Namespace) -> DecodingOptions:
    """The search's options from the command's; UserError when they are impossible."""
    try:
        return DecodingOptions(**{field.name: getattr(args, field.name) for field in fields(DecodingOptions)})
    except ValueError as error:
        raise UserError(str(error)) from error


def hash_of(value: Any) -> str:
    """A short name for plain values: 20 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def _given(rows: list[Row]) -> tuple[list[Row], str]:
    """Rows that are in memory, and what names them."""
    names = [[r.utt_id, r.audio.key, r.prompt, r.context, r.transcript, r.text] for r in rows]
    beside = [[repr(r.history), repr(r.further)] for r in rows if r.history or r.further]
    return rows, hash_of([*names, *beside])


class DecodingRun:
    """What the data directories of one call have in common; models are loaded when they are first used."""

    def __init__(self, args: argparse.Namespace):
        """Find the models; nothing large is loaded yet."""
        self.args, self.options = args, decoding_options(args)
        self.biasing = RunBiasing(args)
        self.foundation: Foundation | None = None if args.foundation is None else load_foundation(args.foundation)
        self.llm_kind, self.llm_conf, self.prompt_conf = self._language_model()
        self.recognition = recognition_tasks_of(args.model_dir, args.tasks_config)
        self.settings = self._settings()

    def _language_model(self) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Kind, configuration and prompt of the LLM: the trained model's, else the foundation's."""
        kind, conf, prompt = (None, {}, {})
        if self.args.model_dir is not None:
            config = read_config(self.args.model_dir / "config.yaml")
            kind, conf, prompt = config["llm"], dict(config.get("llm_conf") or {}), config.get("prompt_conf") or {}
        if self.foundation is not None:
            if self.args.model_dir is None:
                kind, conf, prompt = self.foundation.llm, dict(self.foundation.llm_conf), self.foundation.prompt_conf
                prompt = {"format": PROMPT_FORMAT, **prompt}
            elif kind == self.foundation.llm:  # where the LLM is on this machine; its weights are checked on loading
                here = ("model", "revision", "trust_pickle")
                conf |= {k: v for k, v in self.foundation.llm_conf.items() if k in here}
        if self.args.dtype:
            conf["dtype"] = self.args.dtype
        if self.args.ngpu > 1 and not conf.get("device_map"):
            conf["device_map"] = "auto"
        elif self.args.ngpu == 0:  # a model that was trained over several GPUs, on the CPU
            conf |= {"device_map": None, "max_memory": None}
        if self.args.input != "speech":
            conf.pop("lora", None)  # the bounds are those of the untouched LLM
        return kind, conf, prompt

    def _settings(self) -> dict[str, Any]:
        """What the results of all sets depend on, as plain values."""
        args = self.args
        conf = read_conf(self.llm_kind, self.llm_conf)
        weights = find_model(conf.model, conf.revision, trust_pickle=conf.trust_pickle).weights_sha256()
        settings = {
            "input": args.input,
            "llm": {"kind": self.llm_kind, "weights_sha256": weights, "dtype": conf.dtype, "lora": conf.lora},
            "prompt": {k: v for k, v in self.prompt_conf.items() if (k, v) != ("format", 1)},  # results before had none
            "options": {k: v for k, v in asdict(self.options).items() if k not in WITHOUT_INFLUENCE},
            "biasing": self.biasing.settings(),
            "recognition": sorted(self.recognition),
        }
        if conf.quantization is not None:
            settings["llm"]["quantization"] = conf.quantization
        if args.input == "speech":
            adapter = args.adapter_file or args.model_dir / "adapter.safetensors"
            if not adapter.is_file():
                raise UserError(f"{adapter} does not exist; python -m slm_espnet.bin.average writes it after training")
            settings["adapter"] = file_sha256(adapter)
            settings["silence"] = args.silence
        return settings

    @property
    def _placed_conf(self) -> dict[str, Any]:
        """llm_conf with the LLM on the first --ngpu GPUs only; limits that name others were of another machine."""
        conf = dict(self.llm_conf)
        if conf.get("device_map"):
            given = conf.get("max_memory")
            if given is None or not set(given) <= set(range(self.args.ngpu)):
                from slm_espnet.llm.placement import room

                conf["max_memory"] = room(self.args.ngpu)
        return conf

    @cached_property
    def device(self) -> str:
        """Where to compute."""
        import torch

        torch.set_num_threads(self.args.num_threads)
        if self.args.ngpu < 0:
            raise UserError(f"--ngpu takes a number of GPUs, or 0 for the CPU, not {self.args.ngpu}")
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.args.ngpu > there:
            raise UserError(
                f"--ngpu {self.args.ngpu}: torch finds {there} GPU(s); use --ngpu {there}, or a machine (and a PyTorch "
                "with CUDA) that has them"
            )
        return "cuda" if self.args.ngpu else "cpu"

    @cached_property
    def model(self) -> Any:
        """ESPnetSLMModel for speech, TextModel for text."""
        device = self.device  # says what is missing before weights are read
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # it fills the logs of jobs
        if self.args.input == "speech":
            from slm_espnet.checkpoint import load_model

            return load_model(self.args.model_dir, self.args.adapter_file, device, self._placed_conf)
        from slm_espnet.inference import TextModel
        from slm_espnet.llm.build import build_llm
        from slm_espnet.training.build import build_template

        return TextModel(build_llm(self.llm_kind, self._placed_conf).to(device), build_template(self.prompt_conf))

    @cached_property
    def pipeline(self) -> EncodingPipeline:
        """The foundation's encoder and reduction, for decoding from audio."""
        from slm_espnet.encodings.pipeline import EncodingPipeline

        expected = self.expected_fingerprint
        storage_dtype = "float16" if expected is None else expected["storage_dtype"]
        pipeline = EncodingPipeline.from_foundation(self.foundation, storage_dtype, self.device)
        if expected is not None:
            cure = "give the foundation that the model was trained with"
            check_fingerprint(expected, pipeline.fingerprint, self.args.foundation, cure)
        return pipeline

    @property
    def expected_fingerprint(self) -> dict[str, Any] | None:
        """That of the encodings the adapter was trained on; None for text."""
        return self.model.encoding_fingerprint if self.args.input == "speech" else None


class SetDecoding:
    """One data directory of a run."""

    def __init__(
        self,
        run: DecodingRun,
        data_dir: Path,
        encodings_dir: Path | None,
        output_dir: Path,
        rows: list[Row] | None = None,
    ):
        """Find the rows of the chosen tasks, perhaps none; other rows may be given in their place."""
        self.run, self.args = run, run.args
        self.data_dir, self.encodings_dir, self.output_dir = data_dir, encodings_dir, output_dir
        self.rows, identity = self._rows() if rows is None else _given(rows)
        self.settings = {**run.settings, "rows": identity}
        if self.args.input != "transcript":
            self.settings["encodings"] = self._encodings_identity()
            if encodings_dir is not None and (audio := encodings_digest(encodings_dir)):
                self.settings["audio"] = audio  # a recording that was replaced has another encoding

    def _rows(self) -> tuple[ChosenRows, str]:
        """The rows, none of which is read yet, and what names them: the tables that results depend on."""
        table = RowTable(self.data_dir)
        wanted = sorted(split_names(self.args.tasks))
        tables = ["wav.scp", "segments", "text", "prompt", "context", "transcript", "further_audio", "history"]
        tables += ["utt2task"] if wanted else []
        return ChosenRows(table, table.with_tasks(wanted)), hash_of([table.digest(tables), wanted])

    def _encodings_identity(self) -> str:
        if self.encodings_dir is not None:
            return digest(read_fingerprint(self.encodings_dir))
        return hash_of(EncodingRequest(self.run.foundation).describe())

    def decode(self) -> None:
        """Decode this job's share of the rows, except what an earlier call has finished."""
        args = self.args
        settings = {**self.settings, "num_jobs": args.num_jobs}
        remake = args.when_changed == "remake"
        with JobWriter(self.output_dir, args.job, settings, args.overwrite, remake) as writer:
            share = self.rows[args.job - 1 :: args.num_jobs]
            if writer.done:
                print(f"{self.output_dir}: job {args.job} is done", flush=True)
                return
            before = f", {len(writer.finished)} of them decoded before" if writer.finished else ""
            print(f"{self.output_dir}: job {args.job} has {len(share)} utterances{before}", flush=True)
            writer.finish(self._decode(share, writer) if len(writer.finished) < len(share) else {})

    def ids(self) -> np.ndarray:
        """(N,) bytes: utterance ids of all rows."""
        if isinstance(self.rows, ChosenRows):
            return self.rows.ids
        return np.array([row.utt_id.encode() for row in self.rows], "S")

    def _decode(self, rows: Sequence[Row], writer: JobWriter) -> dict[str, str]:
        """Write hypotheses as they come; what was left out, with the reason. PORTION rows at most are in memory."""
        from slm_espnet.decoding.requests import with_repeats, without_silence
        from slm_espnet.inference import Decoder

        all_left_out: dict[str, str] = {}
        to_do = len(rows) - len(writer.finished)
        progress = Progress(f"{self.output_dir} job {self.args.job}", to_do, self.args.log_interval)
        drafted = split_names(self.run.options.ctc_draft_tasks)
        for begin in range(0, len(rows), PORTION):
            part = list(rows[begin : begin + PORTION])
            if all(row.utt_id in writer.finished for row in part):
                continue
            for (requests, left_out), biaser, encodings in self._requests(part):
                requests = with_repeats(requests, part, self.run.recognition, drafted)
                if encodings is not None and self.args.silence == "empty":
                    requests, silent = without_silence(requests, part, encodings)
                    if news := [utt_id for utt_id in silent if utt_id not in writer.finished]:
                        writer.add([(utt_id, Hypothesis("", (), (), 0.0, silent=True)) for utt_id in news])
                        progress.advance(len(news))
                decoder = Decoder(self.run.model, self.run.options, biaser)
                for batch in self._guarded(decoder.decode_batches(requests, writer.finished)):
                    writer.add(batch)
                    progress.advance(len(batch))
                all_left_out |= left_out | decoder.left_out
        progress.end()
        return all_left_out

    def _guarded(self, batches: Iterator[list[tuple[str, Hypothesis]]]) -> Iterator[list[tuple[str, Hypothesis]]]:
        """Batches; too little memory becomes one clear message."""
        import torch

        try:
            yield from batches
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the device has too little memory for batches of {self.args.batch_tokens} positions; lower "
                "--batch_tokens or --batch_size and run it again, it goes on from here"
            ) from error

    def _requests(self, rows: list[Row]) -> Iterator[tuple[Requests, Biaser | None, Encodings | None]]:
        """Requests, what chooses their phrases, and the encodings where speech is decoded."""
        from slm_espnet.decoding.requests import (
            biased_text,
            ctc_requests,
            only_spoken_phrases,
            speech_requests,
            transcript_requests,
        )

        biasing = self.run.biasing
        with_context = self.args.biasing != "none"
        rows = biasing.with_lists(rows)
        if self.args.input == "transcript":
            requests, left_out = transcript_requests(rows, with_context)
            yield (only_spoken_phrases(requests) if biasing.is_selective else requests, left_out), None, None
            return
        for part, encodings, reasons in self._encodings(rows):
            biaser = biasing.biaser(encodings.fingerprint, self.run.model)
            if self.args.input == "speech":
                requests, left_out = speech_requests(part, encodings, with_context)
            else:
                requests, left_out = ctc_requests(part, encodings, with_context)
                if biaser is not None:
                    requests, biaser = biased_text(requests, part, encodings, biaser), None
            keys = {row.utt_id: [source.key for source in row.recordings] for row in part}
            left_out = {
                utt_id: next((reasons[key] for key in keys[utt_id] if key in reasons), reason)
                for utt_id, reason in left_out.items()
            }
            yield (requests, left_out), biaser, encodings if self.args.input == "speech" else None

    def _encodings(self, rows: list[Row]) -> Iterator[tuple[list[Row], Encodings, dict[str, str]]]:
        """Rows, their encodings, and by key why some have none: from stage 2, or made here in portions."""
        if self.encodings_dir is not None:
            from slm_espnet.encodings.reader import EncodingReader

            yield rows, EncodingReader(self.encodings_dir, self.run.expected_fingerprint), {}
            return
        from slm_espnet.decoding.live import LiveEncodings

        for begin in range(0, len(rows), LIVE_ROWS):
            part = rows[begin : begin + LIVE_ROWS]
            encodings = LiveEncodings(self.run.pipeline, part)
            yield part, encodings, encodings.reasons
