import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

MINI = Path(__file__).parents[2] / "egs2" / "mini"
sys.path[:0] = [str(MINI), str(MINI / "asr1" / "local")]

pytest.importorskip("espeakng_loader", reason="speech synthesis needs espeakng-loader")

from mini_corpus import audio_data, noise, voices  # noqa: E402
from mini_corpus.audio_data import SpeechRow, random_rows, read_rows, synthesize_rows  # noqa: E402


def row(utt_id: str, words: str = "call me at nine", snr_db: float | None = None, seed: int = 1) -> SpeechRow:
    return SpeechRow(utt_id, words, "en", "gmw/en-US+f2", 170, 50, snr_db, 0.0, seed)


def audio_of(data_dir: Path) -> dict[str, np.ndarray]:
    lines = (data_dir / "wav.scp").read_text().splitlines()
    return {key: soundfile.read(path)[0] for key, path in (line.split(" ", 1) for line in lines)}


def test_splits_share_no_voice_and_every_variant_is_its_own():
    from multiprocessing import get_context

    from mini_corpus.synth import check_variants

    for language in voices.BASES:
        sets = [set(voices.voices(language, split)) for split in voices.VARIANTS]
        assert sum(map(len, sets)) == len(set.union(*sets))
    everyone = tuple(v for variants in voices.VARIANTS.values() for v in variants)
    with get_context("spawn").Pool(1) as pool:  # a fresh engine
        assert pool.apply(check_variants, ("gmw/en", (*everyone, "nosuchvariant"))) == ["nosuchvariant"]


def test_audio_is_the_same_for_any_number_of_jobs_and_repeats_are_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_data, "CHUNK", 3)
    rows = random_rows(
        ["call me", "the train is late", "yes", "no", "hello paul"], "en", "test", 3, "x", snr_range=(0, 20)
    )
    one = audio_of(synthesize_rows(rows, tmp_path / "a", tmp_path / "audio_a", nj=1))
    two = audio_of(synthesize_rows(rows, tmp_path / "b", tmp_path / "audio_b", nj=2))
    assert one.keys() == two.keys() and len(one) == 5
    assert all(np.array_equal(one[key], two[key]) for key in one)
    first = tmp_path / "audio_a" / "00000" / f"{rows[0].utt_id}.wav"
    first.write_bytes(b"kept")  # a finished chunk is left alone …
    synthesize_rows(rows, tmp_path / "a", tmp_path / "audio_a", nj=1)
    assert first.read_bytes() == b"kept"
    changed = [rows[0]._replace(words="call her"), *rows[1:]]  # … until its rows change
    synthesize_rows(changed, tmp_path / "a", tmp_path / "audio_a", nj=1)
    assert first.read_bytes() != b"kept"


def test_data_directory_is_sorted_and_tells_length_and_language(tmp_path):
    spanish = SpeechRow("b-1", "adiós y gracias", "es", "roa/es+f2", 170, 50, None, 0.0, 1)
    data_dir = synthesize_rows([spanish, row("a-2"), row("a-1")], tmp_path / "data", tmp_path / "audio")
    texts = (data_dir / "text").read_text().splitlines()
    assert texts == ["a-1 call me at nine", "a-2 call me at nine", "b-1 adiós y gracias"]
    assert (data_dir / "utt2lang").read_text().split() == ["a-1", "en", "a-2", "en", "b-1", "es"]
    assert (data_dir / "spk2utt").read_text() == "en-US.f2 a-1 a-2\nes.f2 b-1\n"
    lengths = dict(line.split() for line in (data_dir / "utt2num_samples").read_text().splitlines())
    for key, samples in audio_of(data_dir).items():
        assert int(lengths[key]) == len(samples) and 0.5 < len(samples) / 16000 < 3


def test_bad_rows_are_named(tmp_path):
    with pytest.raises(ValueError, match="a-1 occurs twice"):
        synthesize_rows([row("a-1"), row("a-1")], tmp_path / "d", tmp_path / "a")
    with pytest.raises(ValueError, match="row a-2.*gmw/xx"):
        synthesize_rows([row("a-1"), row("a-2")._replace(voice="gmw/xx+f2")], tmp_path / "d", tmp_path / "a")
    path = tmp_path / "rows.tsv"
    path.write_text("u1\thello\ten\tgmw/en+f2\t170\t50\t\t0\t1\nu2\thello\ten\tgmw/en+f2\tfast\t50\t\t0\t1\n")
    with pytest.raises(ValueError, match="rows.tsv:2: .*'fast'"):
        read_rows(path)


def test_spelled_letters_are_letters():
    from mini_corpus.synth import spell

    assert spell("enter m a a r") == "enter m eigh eigh r"
    assert spell("i bought a hat") == "i bought a hat"


@pytest.mark.parametrize("snr_db", [-3.0, 0.0, 12.0])
def test_mixture_has_the_asked_snr_even_where_it_would_clip(snr_db):
    rng = np.random.default_rng(0)
    speech = np.sin(np.arange(16000) / 5).astype(np.float32) * 0.1
    sound = noise.coloured_noise(rng, 16000, 0.5)
    loud = noise.mix(speech, sound, snr_db, 30.0).astype(np.float64)
    assert np.abs(loud).max() <= 0.99 * 32767
    part = loud @ speech / (speech @ speech) * speech
    measured = 10 * np.log10(np.sum(part**2) / np.sum((loud - part) ** 2))
    assert measured == pytest.approx(snr_db, abs=0.5)


def test_tilt_moves_noise_to_low_frequencies():
    def low_share(tilt: float) -> float:
        power = np.abs(np.fft.rfft(noise.coloured_noise(np.random.default_rng(1), 16000, tilt))) ** 2
        return power[:1000].sum() / power.sum()

    assert low_share(0) == pytest.approx(0.125, abs=0.02)
    assert low_share(0) < low_share(0.5) < low_share(1.0)


def test_training_text_keeps_held_out_sentences_and_rare_names_away():
    from mini_corpus.grammar import RARE_NAMES, held_out
    from sentences import evaluation_sentences, training_sentences

    training = training_sentences("en", 600, 1)
    assert len(set(training)) == 600 and training == training_sentences("en", 600, 1)
    assert not any(held_out(s) for s in training)
    assert not {w for s in training for w in s.split()} & set(RARE_NAMES)
    rare = evaluation_sentences("en", 20, "test", rare_names=True)
    assert all(held_out(s) and set(s.split()) & set(RARE_NAMES) for s in rare)


def test_real_corpus_is_normalized_varied_and_limited_to_speakers(tmp_path):
    from real_speech import normalize, read_corpus, write_varied

    assert normalize("Author -- of the TRAIL, Philip’s ‘etc.") == "author of the trail philip's etc"
    assert normalize("in 1865 it was") is None
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16000) / 7) * 0.3, 16000)
    rows = ["id audio split speaker text", "1 a.wav train ann YES", "2 a.wav train bob NO", "3 a.wav test ann GO"]
    (tmp_path / "manifest.tsv").write_text("\n".join(rows).replace(" ", "\t"))
    recordings = read_corpus(tmp_path, "an4", "train", {"ann"})
    assert [(r.utt_id, r.words) for r in recordings] == [("an4_ann-1", "yes")]
    write_varied(recordings, tmp_path / "data", tmp_path / "out", copies=3, seed=1)
    lengths = [len(x) for x in audio_of(tmp_path / "data").values()]
    assert len(set(lengths)) == 3 and max(lengths) == pytest.approx(16000 / 0.9, rel=0.01)
    with pytest.raises(ValueError, match="manifest.tsv: no usable utterance"):
        read_corpus(tmp_path, "an4", "train", {"eve"})


def test_scores_count_words_and_voices():
    from evaluate import score

    result = score({"a": "one two", "b": "three"}, {"a": "one too", "b": "three"}, {"a": "en.m4", "b": "en-US.f3"})
    assert result["wer"] == pytest.approx(1 / 3) and result["sentence_errors"] == 0.5
    assert result["wer_by_voice"] == {"m4": 0.5, "f3": 0.0}
    assert result["examples"] == [["one two", "one too"]]


def test_training_time_counts_every_epoch_once():
    from card import training_time

    log = """
[h] 2024-01-01 10:00:00,100 (trainer:1) INFO: 1/2epoch started
[h] 2024-01-01 10:01:00,100 (trainer:1) INFO: 1epoch results: x
[h] 2024-01-01 10:01:01,100 (trainer:1) INFO: 2/2epoch started. Estimated time to finish: 1 minute
[h] 2024-01-01 12:00:00,100 (trainer:1) INFO: 2/2epoch started. Estimated time to finish: 1 minute
[h] 2024-01-01 12:01:30,100 (trainer:1) INFO: 2epoch results: x
"""
    assert training_time(log) == (2, 150.0)


def test_exported_encoder_loads_strictly_and_hears_the_same_in_any_batch(tmp_path):
    import argparse

    import torch
    import yaml
    from evaluate import load_model
    from export import export

    from slm_espnet.asr.task import ASRTask

    config = yaml.safe_load((MINI / "asr1" / "conf" / "train.yaml").read_text())
    config["encoder_conf"] |= {"output_size": 16, "hidden_size": 16}
    config |= {"token_list": ["<blank>", "<unk>", "<space>", "a", "b", "<sos/eos>"], "input_size": None, "init": None}
    config |= {"ctc_conf": {}, "model": "espnet", "decoder": None}
    torch.manual_seed(0)
    trained = ASRTask.build_model(argparse.Namespace(**config))
    for context in trained.encoder.contexts.values():
        torch.nn.init.normal_(context.weight, 0, 0.3)
    torch.save(trained.state_dict(), tmp_path / "best.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | {"output_dir": "/somewhere"}))
    export(tmp_path, "best.pth", tmp_path / "out")
    assert "/somewhere" not in (tmp_path / "out" / "config.yaml").read_text()
    model = load_model(tmp_path / "out")
    speech = [torch.randn(16000) * 0.1, torch.randn(9001) * 0.1]
    batch = torch.nn.utils.rnn.pad_sequence(speech, batch_first=True)
    with torch.inference_mode():
        (together, _), lengths = model.encode(batch, torch.tensor([16000, 9001]))
        (alone, _), _ = model.encode(speech[1][None], torch.tensor([9001]))
    assert torch.allclose(together[1, : lengths[1]], alone[0], atol=1e-4)
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert all(value.dtype == torch.float16 for value in weights.values() if value.is_floating_point())
    save_file({k: v for k, v in weights.items() if k != "ctc.ctc_lo.bias"}, tmp_path / "out" / "model.safetensors")
    with pytest.raises(RuntimeError, match="ctc.ctc_lo.bias"):
        load_model(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="none.pth is missing: finish the training"):
        export(tmp_path, "none.pth", tmp_path / "out")
