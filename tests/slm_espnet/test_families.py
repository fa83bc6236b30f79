"""Every pair of model families of conf/foundation, tiny and random, from audio to text.

Encode, train two steps, save, go on with the training, decode in batches: by the commands that recipes run.
"""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
import yaml

from slm_espnet.bin import average, decode, encode, stats
from slm_espnet.checkpoint import load_model
from slm_espnet.data.audio import AudioSource, read_audio
from slm_espnet.encodings.pipeline import EncodingPipeline
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.foundation import load_foundation
from slm_espnet.llm.build import build_llm, build_tokenizer
from slm_espnet.speech_encoder.batching import TOLERANCE
from slm_espnet.task import SLMTask

ROLES = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
# as Qwen's: no BOS, and without thinking the answer begins with an empty thought
THINKING = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
    "{% if enable_thinking is defined and enable_thinking is false %}(no thought){% endif %}"
)
# as Gemma's
NO_SYSTEM = "{{ raise_exception('no system role') if messages[0].role == 'system' }}" + ROLES
CHAT = {"chat": True, "speech_begin": 'Speech: "', "speech_end": '" '}
T5 = {"speech_begin": "speech", "end": "<eos>"}
STACK = {"length_reduction": "stack", "length_reduction_conf": {"factor": 4}}
# encoder, static reduction, LLM's family, tokens that its tokenizer lacks, chat template, prompt
PAIRS = {
    "owsm_ctc_mt0": ("owsm_ctc", {}, "mt5", (), None, T5),
    "parakeet_mt0": ("parakeet", {}, "mt5", (), None, T5),
    "mms_mt0": ("mms", {}, "mt5", (), None, T5),
    "w2v_bert_mt0": ("w2v_bert", STACK, "mt5", (), None, T5),
    "hubert_llama": ("hubert", {}, "llama", ("pad_token",), ROLES, CHAT),
    "wavlm_vicuna": ("wavlm", STACK, "llama", ("pad_token",), None, {"begin": "<bos>", "end": " ASSISTANT:"}),
    "whisper_flan_t5": ("whisper", STACK, "t5_gated", (), None, T5),
    "whisper_qwen3": ("whisper", STACK, "qwen3", ("bos_token",), THINKING, CHAT),
    "whisper_gemma3": ("whisper", STACK, "gemma3_images", (), NO_SYSTEM, CHAT),
}
TRAINING = {
    "batch_type": "sorted", "batch_size": 3, "optim": "adamw", "optim_conf": {"lr": 0.01}, "keep_nbest_models": 1,
    "adapter_conf": {"size": 16, "heads": 2, "layers": 1}, "adapter_output": "linear", "num_threads": 1,
    "model_conf": {"ctc_weight": 0.0, "diagnostic_batches": 0},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data directory of six utterances of noise, between 0.5 and 1.3 s."""
    folder = tmp_path_factory.mktemp("families") / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    for n in range(6):
        soundfile.write(folder / f"{n}.wav", 0.1 * random.standard_normal(8000 + 2500 * n), 16000)
    columns = {"wav.scp": f"{folder}/{{}}.wav", "text": "call mary", "prompt": "recognize this", "utt2task": "asr"}
    for name, value in columns.items():
        (folder / name).write_text("".join(f"utt{n} {value.format(n)}\n" for n in range(6)), encoding="utf-8")
    return folder


def call(main, **options):
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert not main(words)


def train(work, data, max_epoch):
    rows = f"{data}::{work / 'enc'},speech,slm_rows"
    arguments = ["--config", work / "train.yaml", "--foundation", work / "pair.yaml", "--resume", "true"]
    for part in ("train", "valid"):
        arguments += [f"--{part}_data_path_and_name_and_type", rows]
        arguments += [f"--{part}_shape_file", work / "stats" / "speech_shape"]
    arguments += ["--output_dir", work / "exp", "--max_epoch", max_epoch]
    SLMTask.main(cmd=[str(argument) for argument in arguments])
    return torch.load(work / "exp" / "checkpoint.pth", weights_only=False)["model"]


def check_live_encodings(data, foundation, encodings):
    """Encodings made from the audio alone are those of the cache, which were made in batches.

    Sums in another order differ by far less than the cache's float16 resolves (what an encoder lets through is bounded
    by `speech_encoder.batching.TOLERANCE` of the largest value); rounding may turn that into one step of float16.
    Answers of random weights are no measure of it: two tokens may be nearly equally likely.
    """
    pipeline = EncodingPipeline.from_foundation(load_foundation(foundation))
    cached = EncodingReader(encodings, pipeline.fingerprint)
    for n in range(6):
        source = AudioSource(f"{data}/{n}.wav")
        (live,) = pipeline.encode_as_stored([read_audio(source, pipeline.sampling_rate)])
        stored = cached[source.key]
        assert np.array_equal(live.positions, stored.positions) and np.array_equal(live.stops, stored.stops)
        assert live.ctc_hypothesis == stored.ctc_hypothesis
        largest = np.abs(stored.frames).max()
        np.testing.assert_allclose(live.frames, stored.frames, rtol=2**-10, atol=TOLERANCE * largest)


@pytest.mark.parametrize("name", PAIRS)
def test_from_audio_to_text(name, data, tmp_path, speech_model, language_model, model_directory):
    encoder, reduction, family, without, template, prompt = PAIRS[name]
    causal = family not in ("mt5", "t5_gated")
    llm = language_model(family, without, template) if causal else model_directory(family)
    kind, conf = speech_model(encoder)
    pair = {
        "speech_encoder": kind, "speech_encoder_conf": conf, **reduction, "prompt_conf": prompt,
        "llm": "hf_causal" if causal else "hf_seq2seq", "llm_conf": {"model": str(llm)},
    }  # fmt: skip
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(pair), encoding="utf-8")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(TRAINING), encoding="utf-8")
    foundation, encodings = tmp_path / "pair.yaml", tmp_path / "enc"
    call(encode.main, foundation=foundation, data_dir=data, output_dir=encodings)
    call(stats.main, foundation=foundation, data_dir=data, encodings_dir=encodings, output_dir=tmp_path / "stats")

    first = train(tmp_path, data, 1)
    assert first["training_forwards"] == 2
    second = train(tmp_path, data, 2)
    assert second["training_forwards"] == 4
    moved = [key for key in first if key.startswith("adapter.") and not torch.equal(first[key], second[key])]
    assert len(moved) == len(first) - 1, "every trained parameter goes on from where it was"

    call(average.main, exp_dir=tmp_path / "exp")
    model = load_model(tmp_path / "exp")
    fresh = build_llm(load_foundation(foundation).llm, {"model": str(llm)}).state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in model.llm.state_dict().items())
    check_live_encodings(data, foundation, encodings)
    for kind, source in (("cached", {"encodings_dir": encodings}), ("live", {"foundation": foundation})):
        texts = []
        for batch_size in (4, 1):
            output = tmp_path / f"{kind}{batch_size}"
            call(decode.main, data_dir=data, model_dir=tmp_path / "exp", output_dir=output, batch_size=batch_size,
                 max_length=8, **source)  # fmt: skip
            texts.append((output / "text").read_text(encoding="utf-8"))
        assert texts[0] == texts[1], f"{kind}: in batches as one by one"
        assert len(texts[0].splitlines()) == 6


def test_a_tokenizer_without_an_end_is_refused_and_without_padding_pads_with_the_end(language_model):
    from slm_espnet.errors import UserError

    with pytest.raises(UserError, match="no end-of-sentence token"):
        build_tokenizer("hf_causal", {"model": str(language_model("llama", ("eos_token",)))})
    tokenizer = build_tokenizer("hf_causal", {"model": str(language_model("llama", ("pad_token", "bos_token")))})
    assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.bos_id) == (2, 2, None)


def test_models_that_think_aloud_are_told_not_to(language_model):
    tokenizer = build_tokenizer("hf_causal", {"model": str(language_model("qwen3", ("bos_token",), THINKING))})
    assert tokenizer.chat_frame(("user",), "2026-01-01")[1].endswith("(no thought)")
