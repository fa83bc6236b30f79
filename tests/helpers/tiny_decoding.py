"""A tiny corpus with encodings and a trained model, and the decoding command on it."""

import json

import numpy as np
import pytest
import soundfile
import torch
import yaml

from slm_espnet.bin import decode, encode
from slm_espnet.checkpoint import save_adapter
from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.data.writer import write_data_dir
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.training.build import apply_foundation, build_model

RATE = 16000
SHORT = ["--max_length", "12"]


def make_encoder(folder):
    """A random wav2vec2 CTC model with six characters."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder.mkdir()
    tokens = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdef"])}
    (folder / "vocab.json").write_text(json.dumps(tokens))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    torch.manual_seed(4)
    config = Wav2Vec2Config(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_kernel=(80, 8), conv_stride=(80, 4), num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, feat_extract_norm="layer", do_stable_layer_norm=True, pad_token_id=0,
        ctc_loss_reduction="mean",
    )  # fmt: skip
    model = Wav2Vec2ForCTC(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(60.0)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, sharp_t5):
    """Foundation, a data directory of 11 rows over 8 recordings of which one is broken, encodings, a trained model."""
    top = tmp_path_factory.mktemp("corpus")
    make_encoder(top / "encoder")
    foundation = {
        "speech_encoder": "hf_ctc", "speech_encoder_conf": {"model": "./encoder"}, "length_reduction": "none",
        "llm": "hf_seq2seq", "llm_conf": {"model": str(sharp_t5)}, "prompt_conf": {"end": "<eos>"},
    }  # fmt: skip
    (top / "pair.yaml").write_text(yaml.safe_dump(foundation))
    rng = np.random.default_rng(0)
    rows = []
    for i in range(8):
        path = top / f"{i}.wav"
        soundfile.write(path, (0.3 * rng.normal(size=RATE // 4 * (1 + i % 3) + 100 * i)).astype(np.float32), RATE)
        common = dict(audio=AudioSource(str(path)), language="en", speaker="s", context=("james", "mary"))
        rows.append(Row(f"a{i}", text=f"call {i}", prompt="recognize", task="asr", **common))
        if i % 3 == 0:
            transcript = None if i == 3 else "call mary"
            common["transcript"] = transcript
            rows.append(Row(f"q{i}", text="yes", prompt="translate this speech", task="ast", **common))
    write_data_dir(top / "data", rows)
    (top / "7.wav").write_bytes(b"")
    paths = ["--data_dir", str(top / "data"), "--output_dir", str(top / "encodings")]
    assert encode.main(["--foundation", str(top / "pair.yaml"), *paths, "--max_failed", "0.5"]) == 0

    reader = EncodingReader(top / "encodings")
    config = {
        "foundation": str(top / "pair.yaml"), "input_size": reader.dim, "encoding_fingerprint": reader.fingerprint,
        "adapter": "mlp", "adapter_conf": {"size": 16}, "adapter_output": "linear",
    }  # fmt: skip
    apply_foundation(config)
    torch.manual_seed(6)
    model = build_model(config)
    config["llm_identity"] = model.llm.identity()
    (top / "exp").mkdir()
    (top / "exp" / "config.yaml").write_text(yaml.safe_dump(config))
    save_adapter(model.state_dict(), config, top / "exp" / "adapter.safetensors")
    return top


def run(corpus, output, *options, encodings=True, status=0):
    arguments = ["--data_dir", str(corpus / "data"), "--output_dir", str(output), *SHORT, *options]
    if encodings:
        arguments += ["--encodings_dir", str(corpus / "encodings")]
    if "--input" not in options:
        arguments += ["--model_dir", str(corpus / "exp")]
    if "--silence" not in options:
        arguments += ["--silence", "ask"]  # the recordings are noise
    if "--max_failed" not in options:
        arguments += ["--max_failed", "0.5"]
    assert decode.main(arguments) == status
    return output


def lines(path):
    return {line.split()[0]: line for line in path.read_text(encoding="utf-8").splitlines()}


def hypotheses(directory):
    found = [json.loads(line) for line in (directory / "hypotheses.jsonl").read_bytes().splitlines()]
    assert [h["utt_id"] for h in found] == sorted(h["utt_id"] for h in found)
    return {h["utt_id"]: h for h in found}


@pytest.fixture(scope="module")
def decoded(corpus, tmp_path_factory):
    """Everything decoded by one job."""
    return run(corpus, tmp_path_factory.mktemp("decoded") / "greedy")


def same(one, other):
    assert one.keys() == other.keys()
    for utt_id in one:
        assert one[utt_id]["token_ids"] == other[utt_id]["token_ids"] and one[utt_id]["text"] == other[utt_id]["text"]
        assert one[utt_id]["score"] == pytest.approx(other[utt_id]["score"], abs=1e-2)
