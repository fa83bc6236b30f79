"""From `llm` and `llm_conf` to a language model. Importing this loads neither torch nor transformers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from slm_espnet.errors import UserError
from slm_espnet.llm.source import find_model

if TYPE_CHECKING:
    from slm_espnet.llm.base import AbsLLM, AbsTokenizer

LLM_KINDS = ("hf_seq2seq", "hf_causal")
DTYPES = ("float32", "bfloat16", "float16")
QUANTIZATIONS = ("8bit", "4bit")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # the first two are the same


@dataclass(frozen=True)
class LLMConf:
    """The keys of llm_conf."""

    model: str  # directory, or Hub name
    revision: str | None = None  # of a Hub model
    trust_pickle: bool = False  # read pytorch_model.bin where there are no safetensors; such weights can run code
    dtype: str = "float32"  # of the parameters: float32 | bfloat16 | float16 (never float16 for T5)
    quantization: str | None = None  # 8bit | 4bit: of the weights of linear layers, by bitsandbytes on a CUDA GPU
    lora: dict[str, Any] | None = None  # settings of LoRA, see llm/lora.py; None: no LoRA
    device_map: str | None = None  # layers over the GPUs of the process, see llm/placement.py; None: all on the first
    max_memory: dict[int | str, int | str] | None = (
        None  # with device_map, of a GPU by its number: {0: 30GiB, 1: 70GiB}
    )
    packing: bool = True  # hf_causal: several sequences in a row of a training batch, where that saves a tenth of them


def read_conf(kind: str, conf: dict[str, Any]) -> LLMConf:
    """Check a kind and its settings; UserError names what is wrong and what is known."""
    if kind not in LLM_KINDS:
        raise UserError(f"llm: {kind!r} is unknown; choose {' or '.join(LLM_KINDS)}")
    known = [field.name for field in fields(LLMConf)]
    unknown = sorted(set(conf) - set(known))
    if unknown:
        raise UserError(f"llm_conf has unknown key(s) {', '.join(unknown)}; known: {', '.join(known)}")
    if not conf.get("model"):
        raise UserError("llm_conf: model is missing; give a directory or a Hub name")
    checked = LLMConf(**{**conf, "model": str(conf["model"])})
    if checked.dtype not in DTYPES:
        raise UserError(f"llm_conf: dtype must be one of {', '.join(DTYPES)}, not {checked.dtype!r}")
    if checked.quantization not in (None, *QUANTIZATIONS):
        choices = " or ".join(QUANTIZATIONS)
        raise UserError(f"llm_conf: quantization must be {choices} or left out, not {checked.quantization!r}")
    if checked.device_map not in (None, *DEVICE_MAPS):
        choices = ", ".join(DEVICE_MAPS)
        raise UserError(f"llm_conf: device_map must be one of {choices}, or left out, not {checked.device_map!r}")
    for name in ("packing", "trust_pickle"):
        if not isinstance(vars(checked)[name], bool):
            raise UserError(f"llm_conf: {name} must be true or false, not {vars(checked)[name]!r}")
    if checked.max_memory is not None and (checked.device_map is None or not isinstance(checked.max_memory, dict)):
        raise UserError("llm_conf: max_memory belongs to a device_map, and maps numbers of GPUs to sizes: {0: 30GiB}")
    return checked


def build_tokenizer(kind: str, conf: dict[str, Any]) -> AbsTokenizer:
    """The tokenizer alone; no weights are loaded or downloaded."""
    checked = read_conf(kind, conf)
    source = find_model(checked.model, checked.revision, weights=False)
    from slm_espnet.llm.tokenizer import HFTokenizer

    return HFTokenizer(source, ends_texts=kind != "hf_causal")


def build_llm(kind: str, conf: dict[str, Any]) -> AbsLLM:
    """A frozen LLM.

    Args:
        kind: one of LLM_KINDS.
        conf: the keys of LLMConf.

    Raises:
        UserError: unknown settings, missing files, a model of another family, or quantization without a GPU.
    """
    checked = read_conf(kind, conf)
    if checked.quantization is not None:
        from slm_espnet.llm.quantization import check_quantization

        check_quantization(checked.quantization)
    source = find_model(checked.model, checked.revision, trust_pickle=checked.trust_pickle)
    from slm_espnet.llm.hf_causal import HFCausal
    from slm_espnet.llm.hf_seq2seq import HFSeq2Seq
    from slm_espnet.llm.lora import LoraOptions

    lora = None if checked.lora is None else LoraOptions.from_dict(checked.lora)
    model_class = {"hf_seq2seq": HFSeq2Seq, "hf_causal": HFCausal}[kind]
    options = (source, checked.dtype, lora, checked.quantization, checked.device_map, checked.max_memory)
    return model_class(*options, **({"packing": checked.packing} if kind == "hf_causal" else {}))
