"""A trained model in two lines.

    from slm_espnet import SLMInference
    slm = SLMInference.from_pretrained("user/name")       # also user/name@revision, a folder, an experiment's directory
    slm("a.wav", "Translate this speech from German to English").text

    slm("a.wav")                                          # recognition
    slm("a.wav", "asr", language="es")                    # a task that travels with the model, by name
    slm(samples, rate=44100)                              # an array (N,) or (N, channels)
    slm(["a.wav", "b.flac"])                              # a batch: a list of answers
    slm("talk.mp3").segments                              # any length; the times of its pieces
    slm("a.wav", context=["Ng", "Okafor"])                # phrases that may occur
    slm("a.wav", "Reply to the speaker", history=[("User", "hello"), ("Assistant", "hi")])
    slm(("a.wav", "b.wav"), "Do <speech> and <speech> say the same?")    # several recordings in one prompt: a tuple
    slm("c.wav", "Reply", history=[("User", Path("a.wav")), ("Assistant", "hi")])    # an earlier turn that was spoken
    slm(text="good morning", instruction="Translate this to Spanish")    # the untouched language model
    for text in slm.stream("a.wav"):                      # the answer while it is generated, see api/stream.py
        print(text)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slm_espnet.api.audio import check_length, read_speech, recordings_of
from slm_espnet.api.files import find_files, usual_request
from slm_espnet.api.foundations import build_pipeline, llm_location, place_on, with_models
from slm_espnet.api.instructions import Instructions, Turns
from slm_espnet.api.questions import Question, Work, each, name_of, names_beside
from slm_espnet.api.results import Answer, Timings
from slm_espnet.api.settings import read_settings
from slm_espnet.api.stream import AnswerStream
from slm_espnet.checkpoint import load_model
from slm_espnet.decoding.biasing import RunBiasing
from slm_espnet.decoding.live import encode_waveforms
from slm_espnet.errors import UserError
from slm_espnet.foundation import load_foundation
from slm_espnet.hub.download import locate
from slm_espnet.hub.manifest import MANIFEST, check_foundations, check_package
from slm_espnet.inference import Decoder
from slm_espnet.long_audio.cutting import CuttingOptions
from slm_espnet.options import split_names
from slm_espnet.tasks import load_tasks
from slm_espnet.tasks.recognition import recognition_tasks
from slm_espnet.training.config import read_config


class SLMInference:
    """A frozen speech encoder, a trained adapter and a frozen language model, ready to be asked."""

    def __init__(
        self,
        slm_train_config: str | Path,
        slm_model_file: str | Path | None = None,
        foundation: str | Path | None = None,
        tasks_config: str | Path | None = None,
        inference_config: str | Path | None = None,
        *,
        speech_encoder: str | Path | None = None,
        llm: str | Path | None = None,
        device: str | None = None,
        dtype: str | None = None,
        cutting: CuttingOptions | None = None,
        **options: Any,
    ):
        """Load a model from its files; the first five names are what ESPnet's ModelDownloader gives.

        Args:
            slm_train_config: config.yaml of the training.
            slm_model_file: adapter.safetensors; the one beside the configuration when not given.
            foundation: YAML of the frozen pair; foundation.yaml beside the configuration when not given.
            tasks_config: YAML of the tasks; without it every call needs an instruction in words.
            inference_config: YAML of the decoding, see api/settings.py.
            speech_encoder, llm: directories of the frozen models, where they are not to be fetched.
            device: such as cuda or cpu; auto: the LLM's layers over all visible GPUs; a GPU where there is one when not
                given.
            dtype: of the language model, in place of the configured one.
            cutting: lengths of the pieces of long audio.
            options: of the decoding, such as beam_size=4 or biasing="none"; they go before inference_config.

        Raises:
            UserError: a file is missing or damaged, or a foundation is not the one that the adapter was trained on.
        """
        config = Path(slm_train_config)
        if foundation is None:
            foundation = config.parent / "foundation.yaml"
        if (config.parent / MANIFEST).is_file():
            check_package(config.parent)
            if Path(foundation).parent == config.parent:
                given = {"speech_encoder": speech_encoder is not None, "llm": llm is not None}
                check_foundations(config.parent, given)
        trained = read_config(config)
        pair = with_models(load_foundation(foundation), speech_encoder, llm)
        self.settings = read_settings(None if inference_config is None else Path(inference_config)).changed(options)
        tasks = {} if tasks_config is None else load_tasks(tasks_config)
        task, language = self.settings.task, self.settings.language
        if not task or not language:
            usual = usual_request(config.parent, tasks)
            task, language = task or usual[0], language or usual[1]
        self.instructions = Instructions(tasks, task, language, chat=bool(trained["prompt_conf"].get("chat")))
        self.cutting = cutting or CuttingOptions()
        self.device, placed = place_on(device)
        llm_conf = {**llm_location(pair, trained, dtype), **placed}
        self.model = load_model(config, slm_model_file, self.device, llm_conf)
        self.pipeline = build_pipeline(pair, trained, config, self.device)
        self._biasing = RunBiasing(self.settings.as_options())

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        foundation: str | Path | None = None,
        tasks_config: str | Path | None = None,
        **options: Any,
    ) -> SLMInference:
        """Find a model, download what is not here yet, and load it.

        Args:
            model: `user/name` or `user/name@revision` on the Hub, the folder of a package, or an experiment's directory
                (exp/slm_…) in its recipe.
            revision: branch, tag or commit, where the name has none.
            token: for a private repository; the one of `hf auth login` or HF_TOKEN when not given.
            cache_dir: where downloads are kept; the Hub client's usual place when not given.
            local_files_only: use what is here, ask no server.
            foundation, tasks_config: YAML files in place of the model's own.
            options: as of the class.

        Raises:
            UserError: there is no such model, or it is damaged or unsafe; as the class.
        """
        directory = locate(str(model), revision, token, cache_dir, local_files_only)
        files = find_files(directory, None if foundation is None else Path(foundation))
        settings = files.read_settings()
        options = {"biasing_config": settings.biasing_config, **options}
        return cls(
            files.config, files.adapter, files.foundation, tasks_config or files.tasks, files.settings, **options
        )

    # Asking

    def __call__(
        self,
        speech: Any = None,
        instruction: str | Sequence[str] | None = None,
        *,
        rate: int | None = None,
        text: str | Sequence[str] | None = None,
        language: str | None = None,
        context: Sequence[Any] = (),
        history: Sequence[Any] = (),
        **fields: str,
    ) -> Answer | list[Answer]:
        """Answer about speech, or about text in its place.

        Args:
            speech: a path, an array, a pair (array, rate), or a list of those. A tuple of recordings is one prompt with
                several: `<speech>` in the instruction is the place of each; without it they stand one after another.
            instruction: words, the name of a task, or a list of such; None: recognition.
            rate: Hz of arrays that come without their own.
            text: in place of speech; the language model then reads what it would have read without an adapter. A tuple
                where it stands in place of several recordings.
            language: code of the language spoken, for a task's wording.
            context: phrases that may occur, or a list of such lists.
            history: earlier turns of the dialog. With a chat template and an instruction in words they are its turns,
                else they stand in the instruction. A turn that was spoken has a recording (`Path`, array or pair) in
                place of its words.
            fields: others of a task's wording, such as target="en" or question="…".

        Returns:
            An answer, or a list of answers where speech or text is a list.

        Raises:
            UserError: audio that cannot be used, or an instruction that cannot be made.
        """
        given = self._only_one(speech, text)
        several = isinstance(given, list)
        sources = given if several else [given]
        said = self._instructions(instruction, len(sources), language=language, history=history, **fields)
        lists = context if context and not isinstance(context[0], str) else [context] * len(sources)
        contexts = each(list(lists), len(sources), "context")
        questions = [self._question(a, *b, c) for a, b, c in zip(sources, said, contexts, strict=True)]
        answers = self._answer(questions, rate, is_text=text is not None)
        return answers if several else answers[0]

    def stream(
        self,
        speech: Any = None,
        instruction: str | None = None,
        *,
        rate: int | None = None,
        text: str | None = None,
        language: str | None = None,
        context: Sequence[str] = (),
        history: Sequence[Any] = (),
        **fields: str,
    ) -> AnswerStream:
        """The same for one recording or text, as an iterator of the text so far.

        The recording is encoded before this returns: `.hearing` of the result has the waveform, which frames were kept,
        and the CTC hypothesis. After the last text `.answer` has the answer. Arguments as for a call.
        """
        given = self._only_one(speech, text)
        if isinstance(given, list):
            raise UserError("stream takes one recording or text; call the model itself for a list")
        (said,) = self._instructions(instruction, 1, language=language, history=history, **fields)
        work = self._work([self._question(given, *said, context)], rate, is_text=text is not None)
        return AnswerStream(work, self._decoder(work))

    def _only_one(self, speech: Any, text: Any) -> Any:
        if (speech is None) == (text is None):
            raise UserError("give either speech or text=")
        return speech if text is None else text

    def _instructions(self, instruction: Any, count: int, **values: Any) -> list[tuple[str, Turns, tuple[Any, ...]]]:
        """Texts, each with the earlier turns that are not in it, and the recordings of those turns."""
        wanted = instruction if isinstance(instruction, list | tuple) else [instruction] * count
        return [self.instructions.in_turns(one, **values) for one in each(list(wanted), count, "instruction")]

    def _question(
        self, source: Any, said: str, history: Turns, before: tuple[Any, ...], context: Sequence[str]
    ) -> Question:
        recognition = recognition_tasks(self.instructions.tasks)
        drafted = split_names(self.settings.search.ctc_draft_tasks) or recognition
        repeats, recognizes = (self.instructions.is_of(said, names) for names in (drafted, recognition))
        if isinstance(source, tuple) and not source:
            raise UserError("an empty tuple was given in place of recordings")
        own, *after = recordings_of(source)
        return Question(own, said, tuple(context), repeats, recognizes, history, before, tuple(after))

    def _answer(self, questions: list[Question], rate: int | None, is_text: bool) -> list[Answer]:
        if not questions:
            return []
        work = self._work(questions, rate, is_text)
        decoder = self._decoder(work)
        began = time.perf_counter()
        with work.llm_as_it_is(self.model.llm):
            found = dict(decoder.decode(work.requests()))
        timings = Timings(work.seconds, work.reading, work.encoding, time.perf_counter() - began)
        return work.answers(found, decoder.left_out, self.model.llm.tokenizer, timings)

    def _work(self, questions: list[Question], rate: int | None, is_text: bool) -> Work:
        """What is to be decoded: texts, or recordings read, cut and encoded."""
        if is_text:
            return Work.of_texts(questions)
        began = time.perf_counter()
        samples = [read_speech(question.source, rate, self.sampling_rate) for question in questions]
        for question, one in zip(questions, samples, strict=True):
            check_length(one, self.pipeline.encoder, question.name)
        beside = self._beside(questions, rate)
        work = Work.of_speech(questions, samples, self.pipeline.encoder, self.cutting, beside)
        if self.settings.silence == "ask":
            work.silent = frozenset()
        read = time.perf_counter()
        work.encodings = encode_waveforms(self.pipeline, work.waveforms())
        work.reading, work.encoding = read - began, time.perf_counter() - read
        return work

    def _beside(self, questions: list[Question], rate: int | None) -> dict[str, np.ndarray]:
        """Samples of the recordings beside the questions' own, by name; they are not cut."""
        beside: dict[str, np.ndarray] = {}
        for number, question in enumerate(questions):
            before, after = names_beside(number, question)
            named = zip([*before, *after], [*question.before, *question.after], strict=True)
            for name, source in named:
                beside[name] = read_speech(source, rate, self.sampling_rate)
                check_length(beside[name], self.pipeline.encoder, name_of(source), self.cutting.max_seconds)
        return beside

    def _decoder(self, work: Work) -> Decoder:
        biaser = None
        if not work.is_text and any(question.context for question in work.questions):
            biaser = self._biasing.biaser(self.pipeline.fingerprint, self.model)
        if self.settings.biasing == "none":
            work.without_context()
        return Decoder(self.model, self.settings.search, biaser)

    @property
    def sampling_rate(self) -> int:
        """Hz of the speech encoder; audio of any other rate is resampled."""
        return self.pipeline.sampling_rate

    @property
    def tasks(self) -> list[str]:
        """Names that an instruction may be."""
        return list(self.instructions.tasks)
