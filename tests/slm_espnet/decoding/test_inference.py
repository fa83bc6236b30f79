"""The decoder: text in, text out as the untouched LLM; speech in batches as alone; nothing lost."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from slm_espnet.adapter.base import Placement
from slm_espnet.adapter.build import build_adapter
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.encodings.posteriors import FramePosteriors
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.inference import Decoder, Request, TextModel
from slm_espnet.prompt import PromptTemplate

WIDTH = 6
TEXTS = ("call james on monday", "book a table", "what will the weather be like in london tell mary", "")
INSTRUCTIONS = ("recognize this speech", "translate this speech from english to spanish")


@dataclass(frozen=True)
class FakeEncoding:
    """What the decoder reads of an encoding."""

    frames: np.ndarray
    posteriors: FramePosteriors | None = None


@pytest.fixture(scope="module")
def template(pair):
    return PromptTemplate(end="<eos>") if pair[0].is_encoder_decoder else PromptTemplate(begin="<bos>")


@pytest.fixture(scope="module")
def model(pair, template):
    torch.manual_seed(2)
    conf = {"size": 16, "dropout": 0.0, "input_dropout": 0.0}
    config = {"input_size": WIDTH, "adapter": "mlp", "adapter_conf": conf, "adapter_output": "embedding_mixture"}
    adapter = build_adapter(config, pair[0].embedding_table())
    return ESPnetSLMModel(pair[0], adapter, template).eval()


def text_requests():
    return [
        Request(f"u{i}{j}", instruction, ("robert", "mary") if i else (), text=text)
        for i, instruction in enumerate(INSTRUCTIONS)
        for j, text in enumerate(TEXTS)
    ]


def speech_requests(count=9):
    rng = np.random.default_rng(4)
    arrays = [rng.normal(size=(length, WIDTH)).astype(np.float16) for length in rng.integers(2, 30, count)]
    return [
        Request(f"s{i}", INSTRUCTIONS[i % 2], speech=lambda a=array: FakeEncoding(a), frames=len(array), spoken="call")
        for i, array in enumerate(arrays)
    ]


@torch.no_grad()
@pytest.mark.parametrize("beam_size", [1, 3])
def test_text_in_gives_what_the_untouched_llm_generates(pair, template, model, beam_size):
    """Contract 8: with text in place of speech it is the frozen LLM, token for token."""
    llm, plain = pair
    options = DecodingOptions(beam_size=beam_size, max_length=12, max_length_ratio=0, loop_repeats=0)
    found = dict(Decoder(model, options).decode(text_requests()))
    assert found == dict(Decoder(TextModel(llm, template), options).decode(text_requests()))
    for request in text_requests():
        read = template.with_text(llm.tokenizer, request.text, request.instruction, request.context)
        ids = list(read.ids)
        settings = dict(num_beams=beam_size, max_new_tokens=12, do_sample=False, length_penalty=0.0)
        output = plain.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), **settings)[0].tolist()
        output = output[1:] if llm.is_encoder_decoder else output[len(ids) :]
        expected = output[: output.index(llm.tokenizer.eos_id)] if llm.tokenizer.eos_id in output else output
        assert list(found[request.utt_id].token_ids) == expected
        assert found[request.utt_id].text == llm.tokenizer.decode(expected)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_speech_alone_in_a_batch_and_shuffled_are_the_same(model, beam_size):
    requests = speech_requests()
    options = DecodingOptions(beam_size=beam_size, max_length=15)
    together = dict(Decoder(model, options).decode(requests))
    alone = dict(Decoder(model, DecodingOptions(beam_size=beam_size, max_length=15, batch_size=1)).decode(requests))
    shuffled = dict(Decoder(model, options).decode(requests[::-1]))
    assert len(together) == len(requests)
    for utt_id, hypothesis in together.items():
        assert hypothesis.token_ids == alone[utt_id].token_ids == shuffled[utt_id].token_ids
        assert hypothesis.score == pytest.approx(alone[utt_id].score, abs=1e-4)
    assert len({hypothesis.token_ids for hypothesis in together.values()}) > 1


def test_batches_keep_to_their_limits_and_hold_similar_lengths(model):
    options = DecodingOptions(batch_tokens=80, batch_size=6, beam_size=2)
    decoder = Decoder(model, options)
    requests = [*speech_requests(20), *text_requests()]
    batches = list(decoder._batches(requests))
    assert sorted(r.utt_id for batch in batches for r in batch) == sorted(r.utt_id for r in requests)
    for batch in batches:
        sizes = [decoder._size(request) for request in batch]
        assert len(batch) <= 3 and (len(batch) == 1 or len(batch) * max(sizes) <= 80)
        assert len({request.text is None for request in batch}) == 1
    sizes = [decoder._size(r) for batch in batches for r in batch if r.text is None]
    assert sizes == sorted(sizes, reverse=True)


def test_bad_encodings_are_left_out_and_good_ones_beside_them_are_not(model):
    broken = np.full((5, WIDTH), np.nan, dtype=np.float32)
    bad = [
        Request("nan", INSTRUCTIONS[0], speech=lambda: FakeEncoding(broken), frames=5),
        Request("empty", INSTRUCTIONS[0], speech=lambda: FakeEncoding(broken[:0]), frames=0),
    ]
    decoder = Decoder(model, DecodingOptions(max_length=5))
    found = dict(decoder.decode([*bad, *speech_requests(3)]))
    assert sorted(found) == ["s0", "s1", "s2"]
    assert decoder.left_out == {"nan": "encoding is not finite", "empty": "no frames"}
    alone = Decoder(model)
    assert list(alone.decode(bad)) == [] and len(alone.left_out) == 2


def test_too_long_for_the_llm_is_left_out(pair, model):
    llm = pair[0]
    most, llm.max_positions = llm.max_positions, 40
    try:
        decoder = Decoder(model, DecodingOptions(max_length_ratio=0, loop_repeats=0))
        long = Request("long", "call " * 60, text="")
        found = dict(decoder.decode([long, Request("short", "a", text="")]))
    finally:
        llm.max_positions = most
    assert decoder.left_out == {"long": "input longer than the language model reads"}
    assert len(found["short"].token_ids) < 40


def test_biaser_chooses_what_is_placed_and_what_the_prompt_says(model):
    tokens = tuple(model.llm.tokenizer.encode("robert"))
    calls = []

    def biaser(encoding, context):
        calls.append(tuple(context))
        return ([Placement(0, 2, tokens)], ("robert",)) if context else ([], ())

    seen = []
    original = model.prompt_embeddings

    def spy(frames, lengths, prompts, placements=None):
        seen.append((prompts, placements))
        return original(frames, lengths, prompts, placements)

    model.prompt_embeddings = spy
    try:
        request = speech_requests(1)[0]
        listed = replace(request, utt_id="listed", context=("mary", "robert"))
        options = DecodingOptions(max_length=4)
        list(Decoder(model, options, biaser).decode([listed, request]))
        list(Decoder(model, options).decode([listed]))
    finally:
        del model.prompt_embeddings
    build = model.template.build
    tokenizer = model.llm.tokenizer
    (prompts, placements), (plain_prompts, plain_placements) = seen
    assert sorted(calls) == [(), ("mary", "robert")]
    assert [Placement(0, 2, tokens)] in placements and [] in placements
    assert build(tokenizer, request.instruction, ("robert",)) in prompts
    assert plain_placements is None and plain_prompts == [build(tokenizer, request.instruction, ("mary", "robert"))]


def test_request_is_speech_or_text():
    with pytest.raises(ValueError, match="either speech or text"):
        Request("u", "recognize")


def repeating(requests, **changes):
    return [replace(request, repeats=True, **changes) for request in requests]


@pytest.mark.parametrize("source", ["encoder", "adapter"])
def test_drafts_of_either_ctc_leave_every_answer_as_it_is(model, source):
    """The task that is not marked has none; text in place of speech is a draft, too."""
    plain = DecodingOptions(max_length=15, ctc_draft="none")
    expected = dict(Decoder(model, plain).decode([*speech_requests(), *text_requests()]))
    # what the encoder would have to hear to be right, but for one word
    spoken = {f"s{i}": model.llm.tokenizer.decode([*expected[f"s{i}"].token_ids][:6]) + " on" for i in range(9)}
    requests = [replace(request, repeats=True, spoken=spoken[request.utt_id]) for request in speech_requests()]
    requests = [*requests[:-1], speech_requests()[-1], *repeating(text_requests())]
    options = replace(plain, ctc_draft="exact", ctc_draft_source=source, max_length_ratio=0)
    expected = dict(Decoder(model, replace(plain, max_length_ratio=0)).decode(requests))
    found = dict(Decoder(model, options).decode(requests))
    assert {u: h.token_ids for u, h in found.items()} == {u: h.token_ids for u, h in expected.items()}
    assert all(h.draft_tokens == 0 and h.passes for h in expected.values())
    assert found["s8"].draft_tokens == 0 and sum(h.draft_tokens > 0 for h in found.values()) >= 12
    assert not any(h.from_ctc for h in found.values())
    if source == "encoder":
        fewer = [u for u, h in found.items() if h.passes < expected[u].passes]
        assert fewer and all(found[u].draft_accepted for u in fewer)


@pytest.mark.parametrize("source", ["encoder", "adapter"])
def test_a_stream_with_drafts_grows_into_the_same_answer(model, source):
    plain = DecodingOptions(max_length=15, max_length_ratio=0, ctc_draft="none")
    expected = dict(Decoder(model, plain).decode(speech_requests(3)))
    drafted = replace(plain, ctc_draft="exact", ctc_draft_source=source)
    for request in repeating(speech_requests(3)):
        answer = expected[request.utt_id]
        request = replace(request, spoken=model.llm.tokenizer.decode(answer.token_ids[:8]) or "on")
        texts, steps = [], Decoder(model, drafted).stream(request)
        with pytest.raises(StopIteration) as end:
            while True:
                texts.append(next(steps))
        found = end.value.value
        assert found.token_ids == answer.token_ids and (found.draft_tokens > 0 or source == "adapter")
        assert len(texts) == found.passes and answer.text.startswith(texts[-1])
        assert not answer.text[len(texts[-1]) :].strip("\ufffd "), "random bytes at the end may be half a character"


def test_the_adapters_draft_is_its_best_path_with_the_placed_phrase(model):
    seen = []
    original = model.llm.begin
    tokens = tuple(model.llm.tokenizer.encode("robert"))

    class Biaser:
        def __call__(self, encoding, context):
            return [Placement(1, len(encoding.frames), tokens)], ("robert",)

        def with_text(self, encoding, context):
            return *self(encoding, context), "call robert"

    def spy(inputs, lengths, proposed):
        seen.append(proposed[0].tolist())
        return original(inputs, lengths, proposed)

    (request,) = repeating(speech_requests(1))
    model.llm.begin = spy
    try:
        for source in ("adapter", "encoder"):
            options = DecodingOptions(max_length=30, ctc_draft="exact", ctc_draft_source=source)
            list(Decoder(model, options, Biaser()).decode([request]))
    finally:
        del model.llm.begin
    frames = torch.from_numpy(np.asarray(request.speech().frames, dtype=np.float32))[None]
    with torch.no_grad():
        speech = model.speech_embeddings(frames, torch.tensor([frames.size(1)]))
    best = int(speech.ctc_log_probs[0, 0].argmax())
    assert seen[0] == [*([best - 1] if best else []), *tokens]  # the first frame, then the phrase
    assert seen[1] == model.llm.tokenizer.encode("call robert")


def test_a_hypothesis_that_ctc_is_sure_of_is_taken_without_the_llm(model, monkeypatch):
    def encoding(array, probability):
        dense = np.full((4, 5), np.log((1 - probability) / 4), dtype=np.float32)
        dense[:, 2] = np.log(probability)
        return FakeEncoding(array, FramePosteriors.from_dense(dense, 0))

    requests = repeating(speech_requests(4), spoken="CALL MARY")
    arrays = [request.speech().frames for request in requests]
    given = [
        replace(request, speech=lambda a=array, p=0.5 + 0.49 * (i % 2): encoding(a, p))
        for i, (request, array) in enumerate(zip(requests, arrays, strict=True))
    ]
    options = DecodingOptions(
        max_length=15, ctc_draft="accept", ctc_draft_source="encoder", ctc_draft_case="lower", ctc_draft_entropy=0.3
    )
    found = dict(Decoder(model, options).decode(given))
    assert {utt_id for utt_id, h in found.items() if h.from_ctc} == {"s1", "s3"}
    assert found["s1"].text == "call mary" and found["s1"].passes == 0 and found["s0"].passes > 0
    assert found["s1"].token_ids == tuple(model.llm.tokenizer.encode("call mary"))
    assert found["s1"].score == pytest.approx(4 * np.log(0.99), abs=1e-2)
    assert not any(h.from_ctc for _, h in Decoder(model, replace(options, ctc_draft_entropy=0)).decode(given))
    assert not any(h.from_ctc for _, h in Decoder(model, replace(options, max_length=2)).decode(given))
    # the adapter's own
    sure = DecodingOptions(max_length=60, ctc_draft="accept", ctc_draft_source="adapter", ctc_draft_entropy=99)
    taken = dict(Decoder(model, sure).decode([*requests, replace(requests[0], utt_id="other", repeats=False)]))
    assert {utt_id for utt_id, h in taken.items() if h.from_ctc} == {"s0", "s1", "s2", "s3"}
    frames = torch.from_numpy(np.asarray(arrays[0], dtype=np.float32))[None]
    with torch.no_grad():
        speech = model.speech_embeddings(frames, torch.tensor([frames.size(1)]))
    assert taken["s0"].token_ids == tuple(speech.heard[0].tolist())
    assert taken["s0"].score == pytest.approx(float(speech.ctc_log_probs.amax(-1).sum()), abs=1e-3)
