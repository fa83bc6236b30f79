"""Workarounds for other packages: what is done, why, and the version at which it goes. Nothing here imports torch.

Importing slm_espnet changes nothing of the process, and no finder of modules is put anywhere.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

CUDA_LIBRARY = "libc10_cuda.so"  # part of torch's CUDA builds only; shared objects that are linked to it carry its name
ESPNET_VERSIONS = ("202511", "202611")  # the last for Python 3.11; the oldest that is known to work on later ones


def stand_in_for_torchaudio() -> None:
    """Let torchaudio import where its compiled part cannot load; nothing where it can, or where it was imported before.

    Why: torchaudio's wheels (2.11, the last) are linked to CUDA. Beside a CPU build of torch their import ends in
    OSError (libc10_cuda.so), and takes ESPnet, transformers and peft down with it, although only forced alignment and
    the RNN-T loss need the compiled part. Here the module that loads it says that there is none.
    Goes: when ESPnet needs no torchaudio, or torchaudio's wheels on PyPI load beside a CPU torch (not by 2.11.1).
    """
    name = "torchaudio._extension"
    if "torchaudio" in sys.modules or name in sys.modules or not _torchaudio_misses_cuda():
        return

    def no_alignment(*_args, **_kwargs):
        raise RuntimeError("torchaudio's compiled extension is not loaded: it is linked to CUDA, torch is not")

    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    module._IS_TORCHAUDIO_EXT_AVAILABLE = module._IS_ALIGN_AVAILABLE = False
    module._check_cuda_version = lambda: None
    module._load_lib = lambda _lib: False
    module.fail_if_no_align = lambda _function: no_alignment
    sys.modules[name] = module


def _torchaudio_misses_cuda() -> bool:
    torch, torchaudio = (importlib.util.find_spec(name) for name in ("torch", "torchaudio"))
    if torch is None or torch.origin is None or torchaudio is None or torchaudio.origin is None:
        return False
    if (Path(torch.origin).parent / "lib" / CUDA_LIBRARY).exists():
        return False
    libraries = sorted((Path(torchaudio.origin).parent / "lib").glob("*.so"))
    return any(CUDA_LIBRARY.encode() in file.read_bytes() for file in libraries)


@contextmanager
def espnet_tasks():
    """Inside of the context ESPnet's ASR and S2T tasks are imported without a download.

    Why: those of 202511 import g2p_en, which fetches two data sets of nltk when it is imported, without asking: slow or
    hanging offline, and nothing here uses them.
    Goes: with Python 3.11; ESPnet 202611 gets along without g2p_en.
    """
    if metadata.version("espnet") != ESPNET_VERSIONS[0] or "g2p_en" in sys.modules:
        yield
        return
    import nltk

    download, nltk.download = nltk.download, lambda *_args, **_kwargs: False
    try:
        yield
    finally:
        nltk.download = download


def hub_errors() -> tuple[type[Exception], ...]:
    """What a call of huggingface_hub raises when a transfer, or what was asked for, fails.

    Why: its errors belong to the HTTP library below it, and that changed twice (requests, httpx, httpx2); a lost
    connection is that library's own error. huggingface_hub.errors has the base class of each as HTTPError.
    Can go: when huggingface_hub raises errors of its own for lost connections.
    """
    from huggingface_hub import errors

    return (errors.HTTPError, errors.HFValidationError, OSError)


def check_espnet() -> None:
    """Refuse, with the cure, an environment without ESPnet or with one this toolkit does not run on.

    Raises:
        UserError: ESPnet is missing, or its version is another one.
    """
    from slm_espnet.errors import UserError

    cure = "run `make install`, or `pip install --upgrade slm-espnet`"
    try:
        found = metadata.version("espnet")
    except metadata.PackageNotFoundError:
        raise UserError(f"ESPnet is not installed; {cure}") from None
    only, oldest = ESPNET_VERSIONS
    if found != only and found < oldest:
        known = f"{only}, {oldest} and later ones"
        raise UserError(f"ESPnet {found} is installed, this toolkit runs on {known}; {cure}")


@contextmanager
def unfiltered_lhotse(recipe: types.ModuleType):
    """Inside of the context a recipe of lhotse neither drops supervisions nor stops at a recording it cannot open.

    Why: recipes pass their result through `fix_manifests`, which silently drops or cuts what does not fit, and
    `validate_recordings_and_supervisions`, which stops at one bad item; `Recording.from_file` raises for one bad file.
    Here such a recording comes without samples (num_samples 0), so that the caller can name and count it.
    Can go: when lhotse's recipes report what they leave out.

    Args:
        recipe: a module of lhotse.recipes.
    """
    from lhotse.audio import AudioSource, Recording

    from slm_espnet.data import audio, datadir

    whole_from_file = Recording.from_file

    def from_file(path, recording_id=None, *args, **kwargs):
        try:
            audio.audio_seconds(datadir.AudioSource(str(path)))
        except audio.AudioError:
            name = recording_id(path) if callable(recording_id) else recording_id or Path(path).stem
            source = AudioSource(type="file", channels=[0], source=str(path))
            return Recording(id=name, sources=[source], sampling_rate=16000, num_samples=0, duration=0.0)
        return whole_from_file(path, recording_id, *args, **kwargs)

    replaced = {"fix_manifests": lambda recordings, supervisions: (recordings, supervisions)}
    replaced["validate_recordings_and_supervisions"] = lambda *_args, **_kwargs: None
    before = {name: vars(recipe)[name] for name in replaced if name in vars(recipe)}
    try:
        Recording.from_file = staticmethod(from_file)
        for name in before:
            setattr(recipe, name, replaced[name])
        yield
    finally:
        Recording.from_file = whole_from_file
        for name, function in before.items():
            setattr(recipe, name, function)


@contextmanager
def known_packing(sequences):
    """Within it transformers is told which sequence each position of a row belongs to: (R, L) int64, None for one each.

    It finds out by the position ids otherwise, and asks the GPU whether there are several at all, for every kind of
    mask of every forward pass; the training step would wait there. Can go when transformers takes such a tensor.
    """
    from transformers import masking_utils

    original = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda position_ids: sequences
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = original
