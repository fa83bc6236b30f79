"""The model: what the loss is, what the LLM reads, and that frozen is frozen."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from slm_espnet.adapter.base import SpeechEmbeddings
from slm_espnet.adapter.build import build_adapter
from slm_espnet.adapter.input import valid_mask
from slm_espnet.assembly import join
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.llm.build import build_llm
from slm_espnet.prompt import Prompt, PromptTemplate
from slm_espnet.training.tokens import Shares, TokenCounts

SPEECH = 10  # width of an encoding
PROMPTS = [Prompt(((3, 4), (5, 1))), Prompt(((), (6, 7, 8, 1))), Prompt(((9,), ()))]


@pytest.fixture(scope="module")
def llm(tiny_t5):
    return build_llm("hf_seq2seq", {"model": str(tiny_t5), "dtype": "float32"})


def make_model(llm, output="embedding_mixture", **conf):
    torch.manual_seed(5)
    body = {"adapter": "mlp", "adapter_conf": {"size": 16, "dropout": 0.0, "input_dropout": 0.0}}
    adapter = build_adapter({"input_size": SPEECH, **body, "adapter_output": output}, llm.embedding_table())
    return ESPnetSLMModel(llm, adapter, PromptTemplate(), **conf)


def make_batch(rows=(0, 1, 2), transcripts=(True, False, True)):
    """Three fixed utterances of different lengths, or some of them."""
    generator = torch.Generator().manual_seed(7)
    lengths = {"speech": (9, 4, 6), "prefix": (2, 0, 1), "suffix": (2, 4, 3), "target": (5, 2, 7)}
    lengths["transcript"] = (3, 2, 2)
    batch, parts = {"seconds": torch.tensor([0.9, 0.4, 0.6])[list(rows)]}, {}
    for name, sizes in lengths.items():
        shape = (SPEECH,) if name == "speech" else ()
        values = [torch.randn(n, *shape, generator=generator) for n in sizes]
        if name != "speech":
            values = [(v.abs() * 1e4).long() % 50 + 3 for v in values]
        if name == "transcript":
            values = [v if known else v[:0] for v, known in zip(values, transcripts, strict=True)]
        parts[name] = values
    sides = zip(*(parts[name] for name in ("prefix", "transcript", "suffix")), strict=True)
    parts["read"] = [torch.cat(side) if len(side[1]) else side[1] for side in sides]
    for name, values in parts.items():
        chosen = [values[row] for row in rows]
        batch[name] = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
        batch[f"{name}_lengths"] = torch.tensor([len(v) for v in chosen])
    return batch


@pytest.mark.parametrize("kind", ["hf_seq2seq", "hf_causal"])
def test_loss_is_a_mean_over_tokens_however_the_data_is_cut_into_batches(kind, request):
    folder = request.getfixturevalue({"hf_seq2seq": "tiny_t5", "hf_causal": "tiny_llama"}[kind])
    model = make_model(build_llm(kind, {"model": str(folder)}), ctc_weight=0.0, diagnostic_batches=0).eval()
    loss, stats, weight = model(**make_batch())
    assert weight.item() == 14
    parts = [model(**make_batch((row,))) for row in range(3)]
    expected = sum(part * w for part, _, w in parts) / sum(w for *_, w in parts)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    assert "loss_ctc" not in stats


def test_rows_without_a_transcript_have_no_part_in_ctc(llm):
    model = make_model(llm, ctc_weight=0.5, ce_weight=2.0, diagnostic_batches=0).eval()
    loss, stats, _ = model(**make_batch())
    torch.testing.assert_close(loss, 2.0 * stats["loss_ce"] + 0.5 * stats["loss_ctc"])
    without = model(**make_batch((0, 2)))[1]["loss_ctc"]
    torch.testing.assert_close(stats["loss_ctc"], without, atol=1e-5, rtol=1e-5)
    assert "loss_ctc" not in model(**make_batch(transcripts=(False,) * 3))[1]


def test_ctc_is_the_sum_over_alignments(llm):
    """One frame can only be the one token, so the loss is that token's log-probability."""
    model = make_model(llm, diagnostic_batches=0).eval()
    batch = make_batch((1,), transcripts=(True,) * 3)
    batch["speech"], batch["speech_lengths"] = batch["speech"][:, :1], torch.tensor([1])
    batch["transcript"], batch["transcript_lengths"] = batch["transcript"][:, :1], torch.tensor([1])
    log_probs = model.adapter(batch["speech"], batch["speech_lengths"], llm.embedding_table()).ctc_log_probs
    expected = -log_probs[0, 0, 1 + batch["transcript"][0, 0]]
    torch.testing.assert_close(model(**batch)[1]["loss_ctc"], expected.detach())


def test_ctc_alone_first_without_running_the_llm_and_the_count_survives_a_checkpoint(llm, monkeypatch):
    model = make_model(llm, ctc_only_steps=2).train()

    def must_not_run(*_args):
        raise AssertionError("the LLM was run")

    with monkeypatch.context() as patch:
        patch.setattr(llm, "target_states", must_not_run)
        loss, stats, _ = model(**make_batch())
        loss.backward()
        assert "loss_ce" not in stats and model.adapter.output.logits.weight.grad.any()
    resumed = make_model(llm, ctc_only_steps=2).train()
    resumed.load_state_dict(model.state_dict())
    assert "loss_ce" not in resumed(**make_batch())[1]
    assert "loss_ce" in resumed(**make_batch())[1]
    assert "loss_ce" in make_model(llm, ctc_only_steps=2).eval()(**make_batch())[1], "validation always measures both"


@pytest.mark.parametrize("output", ["linear", "embedding_mixture"])
def test_frozen_is_frozen(llm, output):
    model = make_model(llm, output)
    before = copy.deepcopy(llm.state_dict())
    adapter_before = copy.deepcopy(model.adapter.state_dict())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model.train()
        optimizer.zero_grad()
        model(**make_batch())[0].backward()
        optimizer.step()
    assert not any(module.training for module in llm.modules())
    assert all(p.grad is None for p in llm.parameters())
    assert all(torch.equal(value, before[key]) for key, value in llm.state_dict().items())
    assert all(not torch.equal(value, adapter_before[key]) for key, value in model.adapter.state_dict().items())
    assert not [key for key in model.state_dict() if key.startswith("llm.")]


def test_the_llm_keeps_its_dtype(tiny_t5):
    llm = build_llm("hf_seq2seq", {"model": str(tiny_t5), "dtype": "bfloat16"})
    model = make_model(llm).to(dtype=torch.float32)
    assert {p.dtype for p in model.llm.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.adapter.parameters()} == {torch.float32}
    loss, *_ = model.train()(**make_batch())
    loss.backward()
    assert loss.isfinite() and model.adapter.output.logits.weight.grad.isfinite().all()


def test_lora_is_trained_and_saved_and_nothing_else_of_the_llm(tiny_t5):
    llm = build_llm("hf_seq2seq", {"model": str(tiny_t5), "lora": {"r": 2, "target_modules": ["q", "v"]}})
    model = make_model(llm).train()
    keys = [key for key in model.state_dict() if key.startswith("llm.")]
    assert keys and all("lora_" in key for key in keys)
    model(**make_batch())[0].backward()
    with_gradient = {f"llm.{name}" for name, p in llm.named_parameters() if p.grad is not None}
    assert with_gradient == set(keys)
    changed = {key: value + 1 for key, value in model.state_dict().items()}
    model.load_state_dict(changed)
    assert all(torch.equal(model.state_dict()[key], changed[key]) for key in keys)
    with pytest.raises(RuntimeError, match="missing keys"):
        model.load_state_dict({key: value for key, value in changed.items() if key not in keys[:1]})


def test_loading_is_strict_on_what_is_trained_and_deaf_to_the_llm(llm):
    model, other = make_model(llm), make_model(llm, "linear")
    state = model.state_dict()
    key = next(iter(state))
    for broken in ({k: v for k, v in state.items() if k != key}, {**state, "adapter.more": torch.zeros(1)}):
        for strict in (True, False):
            with pytest.raises(RuntimeError, match="missing keys|unknown keys"):
                model.load_state_dict(broken, strict=strict)
    with pytest.raises(RuntimeError, match="missing keys"):
        model.load_state_dict(other.state_dict())
    name, weight = next(iter(llm.named_parameters()))
    original = weight.clone()
    model.load_state_dict({**state, f"llm.{name}": torch.zeros_like(weight)})
    assert torch.equal(weight, original)


def test_prompt_embeddings_are_prefix_speech_suffix(llm):
    model = make_model(llm, "linear").eval()
    batch = make_batch()
    frames, lengths = batch["speech"], batch["speech_lengths"]
    inputs, input_lengths = model.prompt_embeddings(frames, lengths, PROMPTS)
    speech = model.adapter(frames, lengths, llm.embedding_table()).embeddings
    for row, prompt in enumerate(PROMPTS):
        ids = (torch.tensor(side, dtype=torch.int64) for side in (prompt.prefix, prompt.suffix))
        before, after = (llm.embed(side) for side in ids)
        expected = torch.cat((before, speech[row, : lengths[row]], after))
        assert input_lengths[row] == len(expected)
        torch.testing.assert_close(inputs[row, : len(expected)], expected)
        assert not inputs[row, len(expected) :].any()


def test_text_embeddings_are_what_the_untouched_llm_reads(llm):
    model = make_model(llm)
    texts = ["call mary", "", "tell james on monday"]
    read = [model.template.with_text(llm.tokenizer, text, "recognize this", ["james"]) for text in texts]
    inputs, lengths = model.text_embeddings(read)
    for row, text in enumerate(texts):
        whole = f"{text}\npossible phrases: james\nrecognize this"
        ids = torch.tensor(llm.tokenizer.tokenizer(whole)["input_ids"])
        assert lengths[row] == len(ids)
        assert torch.equal(inputs[row, : len(ids)], llm.embed(ids))


def test_listening_is_measured_with_the_speech_of_another_utterance(llm):
    model = make_model(llm, ctc_weight=0.0).eval()
    batch = make_batch((0, 1))
    stats = model(**batch)[1]
    swapped = {**batch, "speech": batch["speech"].flip(0), "speech_lengths": batch["speech_lengths"].flip(0)}
    torch.testing.assert_close(stats["loss_ce_shuffled"], model(**swapped)[1]["loss_ce"], atol=1e-5, rtol=1e-5)
    assert stats["loss_ce_empty"] != stats["loss_ce"] and stats["norm_ratio"] > 0


def test_join_is_differentiable_and_orders_parts():
    first, second = torch.ones(2, 3, 1, requires_grad=True), 2 * torch.ones(2, 2, 1)
    parts = {"prefix": first, "speech": second, "suffix": torch.zeros(2, 0, 1)}
    joined, lengths, totals = join(parts, {"prefix": [0, 3], "speech": [2, 1], "suffix": [0, 0]})
    assert joined[..., 0].tolist() == [[2, 2, 0, 0], [1, 1, 1, 2]] and lengths.tolist() == totals == [2, 4]
    joined.sum().backward()
    assert torch.equal(first.grad[..., 0], valid_mask(torch.tensor([0, 3]), 3).float())


class Reader(torch.nn.Module):
    """Stands for an adapter: its speech embeddings are what it is given, and require a gradient."""

    def __init__(self, embeddings, lengths):
        super().__init__()
        self.embeddings, self.lengths = torch.nn.Parameter(embeddings), lengths

    def forward(self, frames, lengths, table, placements=None):
        return SpeechEmbeddings(self.embeddings, self.lengths, sizes=tuple(self.lengths.tolist()))


@pytest.mark.parametrize("kind", ["hf_seq2seq", "hf_causal"])
def test_kl_and_its_gradient_vanish_where_speech_is_read_as_the_transcript(kind, request):
    folder = request.getfixturevalue({"hf_seq2seq": "tiny_t5", "hf_causal": "tiny_llama"}[kind])
    llm = build_llm(kind, {"model": str(folder)})
    batch = make_batch(transcripts=(True,) * 3)
    words, lengths = llm.embed(batch["transcript"]).detach(), batch["transcript_lengths"]
    losses, gradients = [], []
    for embeddings in (words, words.roll(1, 1)):
        model = ESPnetSLMModel(llm, Reader(embeddings, lengths), PromptTemplate(), ce_weight=0.0, kl_weight=1.0).train()
        loss, stats, _ = model(**batch)
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.adapter.embeddings.grad.abs().max().item())
        assert torch.isclose(stats["loss_kl"], loss) and not {"loss_ce", "loss_ctc"} & stats.keys()
    assert losses[0] < 1e-8 and losses[1] > 1e-5
    assert gradients[0] < 1e-3 * gradients[1]


@pytest.mark.parametrize("kind", ["hf_seq2seq", "hf_causal"])
def test_kl_is_that_of_transformers_own_outputs_over_the_target(kind, request):
    """One utterance at a time, no padding: the teacher reads prompt and transcript, the student prompt and speech."""
    folder = request.getfixturevalue({"hf_seq2seq": "tiny_t5", "hf_causal": "tiny_llama"}[kind])
    llm = build_llm(kind, {"model": str(folder)})
    model = make_model(llm, "linear", kl_weight=1.0, kl_temperature=2.0, ctc_weight=0.0).eval()
    found = model(**make_batch())[1]["loss_kl"]  # the second utterance has no transcript
    total, count = 0.0, 0
    for row in (0, 2):
        batch = make_batch((row,), transcripts=(True,) * 3)
        prefix, suffix, target = (batch[name] for name in ("prefix", "suffix", "target"))
        speech = model.adapter(batch["speech"], batch["speech_lengths"], llm.embedding_table()).embeddings
        logits = []
        for middle in (llm.embed(batch["transcript"]), speech):
            inputs = torch.cat([llm.embed(prefix), middle, llm.embed(suffix)], 1)
            if kind == "hf_seq2seq":
                logits.append(llm.model(inputs_embeds=inputs, labels=target).logits[0])
            else:
                whole = llm.model(inputs_embeds=torch.cat([inputs, llm.embed(target)], 1)).logits[0]
                logits.append(whole[inputs.size(1) - 1 : -1])
        p, q = ((values / 2.0).softmax(-1) for values in logits)
        total, count = total + 4.0 * (p * (p / q).log()).sum(), count + target.size(1)
    torch.testing.assert_close(found, (total / count).detach(), atol=1e-5, rtol=1e-4)


def test_kl_moves_the_adapter_only(llm):
    model = make_model(llm, ce_weight=0.0, ctc_weight=0.0, kl_weight=1.0).train()
    before = copy.deepcopy(llm.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss, *_ = model(**make_batch(transcripts=(True,) * 3))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None and p.grad.any() for p in model.adapter.body.parameters())
    assert all(p.grad is None for p in llm.parameters())
    assert all(torch.equal(value, before[key]) for key, value in llm.state_dict().items())


def test_the_teacher_is_the_llm_without_lora(tiny_t5):
    conf = {"model": str(tiny_t5), "lora": {"r": 2, "target_modules": ["q", "v"]}}
    plain, tuned = build_llm("hf_seq2seq", {"model": str(tiny_t5)}), build_llm("hf_seq2seq", conf)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    batch = make_batch(transcripts=(True,) * 3)
    words, lengths = plain.embed(batch["transcript"]).detach(), batch["transcript_lengths"]
    model = ESPnetSLMModel(tuned, Reader(words, lengths), PromptTemplate(), ce_weight=0.0, kl_weight=1.0).train()
    loss, *_ = model(**batch)
    loss.backward()
    assert loss > 1e-3, "with LoRA the student is not the teacher, whatever it reads"
    assert all(p.requires_grad and p.grad.any() for name, p in tuned.named_parameters() if "lora_" in name)
    inputs = words, lengths
    with tuned.without_lora():
        within = tuned.loss_logits(*inputs, batch["target"], batch["target_lengths"])
    assert torch.equal(within, plain.loss_logits(*inputs, batch["target"], batch["target_lengths"]))


def test_the_loss_is_the_weighted_sum_and_what_has_no_weight_is_not_run(llm, monkeypatch):
    model = make_model(llm, ce_weight=0.5, ctc_weight=2.0, kl_weight=3.0, diagnostic_batches=0).eval()
    loss, stats, _ = model(**make_batch())
    expected = 0.5 * stats["loss_ce"] + 2.0 * stats["loss_ctc"] + 3.0 * stats["loss_kl"]
    torch.testing.assert_close(loss, expected)

    passes = []
    run = llm.target_states
    monkeypatch.setattr(llm, "target_states", lambda *arguments: passes.append(0) or run(*arguments))
    expected_passes = {"ce_weight": 1, "kl_weight": 2, "ctc_weight": 0}
    for only, count in expected_passes.items():
        weights = {name: float(name == only) for name in expected_passes}
        passes.clear()
        stats = make_model(llm, diagnostic_batches=0, **weights).train()(**make_batch())[1]
        assert len(passes) == count
        assert {name for name in stats if name.startswith("loss_")} == {f"loss_{only.removesuffix('_weight')}"}
    passes.clear()
    model = make_model(llm, kl_weight=1.0, ctc_weight=0.0, diagnostic_batches=0).train()
    assert "loss_kl" not in model(**make_batch(transcripts=(False,) * 3))[1] and len(passes) == 1


def test_listening_is_measured_without_a_weight_on_cross_entropy(llm):
    with_kl = make_model(llm, ce_weight=0.0, ctc_weight=0.0, kl_weight=1.0).eval()(**make_batch())[1]
    with_ce = make_model(llm, ctc_weight=0.0).eval()(**make_batch())[1]
    for name in ("loss_ce", "loss_ce_shuffled", "loss_ce_empty"):
        torch.testing.assert_close(with_kl[name], with_ce[name])


def test_wrong_settings_are_refused(llm):
    without_weight = {"ce_weight": 0.0, "ctc_weight": 0.0}
    for conf in (
        {"autocast_dtype": "float16"},
        {"ctc_only_steps": 5, "ctc_weight": 0.0},
        {"ce_weight": -1},
        {"kl_weight": -0.5},
        {"kl_temperature": 0.0},
        without_weight,
    ):
        with pytest.raises(ValueError):
            make_model(llm, **conf)
    with pytest.raises(ValueError, match="adapter_output with CTC"):
        make_model(llm, "linear", ctc_only_steps=5)


class Asking(TorchDispatchMode):
    """Collects operations whose result a CPU must have before it goes on: each lets it wait for a GPU."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "equal", "repeat_interleave.T")

    def __init__(self):
        super().__init__()
        self.asked = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        masks = [index for index in args[1] if index is not None] if name == "index.Tensor" else []
        if name.startswith(self.WAITS) or any(index.dtype == torch.bool for index in masks):
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


def shares_of(batch):
    counts = TokenCounts.of_batch(batch)
    return Shares.of_batch(batch, counts, counts)


@pytest.mark.parametrize("output", ["linear", "embedding_mixture"])
@pytest.mark.parametrize("kind", ["hf_seq2seq", "hf_causal"])
def test_a_step_asks_no_gpu_for_anything(kind, output, request, monkeypatch):
    """But for the collapsing of the mixture, once, and what CTC's own implementation looks at on a CPU."""
    folder = request.getfixturevalue({"hf_seq2seq": "tiny_t5", "hf_causal": "tiny_llama"}[kind])
    model = make_model(build_llm(kind, {"model": str(folder)}), output, kl_weight=0.5).train()
    fetched = []
    run = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: fetched.append(tensor) or run(tensor))
    batch = make_batch()
    model(**batch)  # what is asked for once in a training
    shares = shares_of(batch)
    fetched.clear()
    with Asking() as mode:
        loss, *_ = model(**batch, shares=shares)
        loss.backward()
    assert mode.asked == []
    assert len(fetched) == (output == "embedding_mixture")


@pytest.mark.parametrize("kind", ["hf_seq2seq", "hf_causal"])
def test_a_step_runs_without_any_data_to_ask_for(kind, request):
    """On `meta`, where whatever asks for a value is an error."""
    folder = request.getfixturevalue({"hf_seq2seq": "tiny_t5", "hf_causal": "tiny_llama"}[kind])
    model = make_model(build_llm(kind, {"model": str(folder)}), "linear").train()
    batch = make_batch()
    shares = shares_of(batch)
    model(**batch, shares=shares)
    model.to("meta")
    loss, *_ = model(**{name: tensor.to("meta") for name, tensor in batch.items()}, shares=shares)
    loss.backward()
    assert loss.device.type == "meta" and all(p.grad is not None for p in model.adapter.body.parameters())
