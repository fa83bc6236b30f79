"""Workarounds for other packages: what is done, why, and when it can go. Nothing here imports torch.

Importing slm_espnet changes nothing of the process. `prepare_imports()` runs where the process is the toolkit's own, in
its commands (errors.run_main). `install()`, which the installer calls, copies this file into site-packages and adds a
`.pth` line, so that plain `python -m espnet2.bin.asr_train` works too. In other programs `prepared_imports()` makes the
needed ones hold while the toolkit imports something, and no longer.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import secrets
import sys
import types
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

STARTUP_MODULE = "_slm_espnet_compat"  # name of the copy in site-packages
CUDA_LIBRARY = "libc10_cuda.so"  # part of torch's CUDA builds only; shared objects that are linked to it carry its name
ESPNET_VERSIONS = ("202511", "202611")  # the last for Python 3.11; the oldest that is known to work on later ones


class TorchaudioStandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Replaces `torchaudio._extension` where the compiled part of torchaudio cannot load.

    Why: torchaudio's wheels (2.11) are linked to CUDA. Beside a CPU build of torch their import ends in OSError
    (libc10_cuda.so), and takes ESPnet, transformers and peft down with it, although only forced alignment and the
    RNN-T loss need the compiled part. With the stand-in the rest (transforms, fbank, resampling) works and those two
    raise.
    Can go: when torchaudio's wheels load beside a CPU torch, or ESPnet no longer imports torchaudio unconditionally.
    """

    name = "torchaudio._extension"

    def find_spec(self, fullname, path=None, target=None):
        """A package spec for the extension module, where it could not load; None leaves it to the other finders."""
        if fullname != self.name or not torchaudio_needs_stand_in(path):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: types.ModuleType) -> None:
        """What torchaudio reads from its extension when that is absent."""

        def no_alignment(*_args, **_kwargs):
            raise RuntimeError("torchaudio's compiled extension is not loaded: it is linked to CUDA, torch is not")

        module._IS_TORCHAUDIO_EXT_AVAILABLE = False
        module._IS_ALIGN_AVAILABLE = False
        module._check_cuda_version = lambda: None
        module._load_lib = lambda _lib: False
        module.fail_if_no_align = lambda _function: no_alignment


def torchaudio_needs_stand_in(torchaudio_path=None) -> bool:
    """Whether torchaudio is linked to CUDA and torch is not.

    Args:
        torchaudio_path: folders of the torchaudio package (its `__path__`); found when not given.
    """
    if os.name != "posix":
        return False
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None or (Path(torch.origin).parent / "lib" / CUDA_LIBRARY).exists():
        return False
    if torchaudio_path is None:
        spec = importlib.util.find_spec("torchaudio")
        torchaudio_path = spec.submodule_search_locations if spec else None
    libraries = [file for folder in torchaudio_path or () for file in sorted((Path(folder) / "lib").glob("*.so"))]
    return any(CUDA_LIBRARY.encode() in file.read_bytes() for file in libraries)


class ChangedImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module as usual and executes it in its own way; subclasses say which and how."""

    name: str

    def find_spec(self, fullname, path=None, target=None):
        """The module's own spec, executed by this loader."""
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        self._loader = spec.loader
        spec.loader = self
        return spec

    def create_module(self, spec):
        """The module as usual."""
        return self._loader.create_module(spec)


class WithoutNltkDownload(ChangedImport):
    """Keeps g2p_en from downloading nltk data when it is imported.

    Why: ESPnet's tasks import g2p_en whether or not they turn text into phonemes, and g2p_en then fetches two data sets
    from the network without asking: slow or hanging offline, and nothing here uses them. Who does gets g2p_en's own
    error, which names the data set, and can fetch it with `python -m nltk.downloader`.
    Can go: when g2p_en downloads at first use instead of at import.
    """

    name = "g2p_en.g2p"

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module with a download function that downloads nothing."""
        import nltk

        download = nltk.download
        nltk.download = lambda *_args, **_kwargs: False
        try:
            self._loader.exec_module(module)
        finally:
            nltk.download = download


class WithoutScipy(ChangedImport):
    """Keeps transformers from importing scipy.optimize for the losses of object detection before one is computed.

    Why: transformers (5.23) imports those losses with every model, and scipy.optimize for the one function that matches
    objects; a decoding job of one utterance spends 7 % of its CPU time on it.
    Can go: when transformers imports scipy where it is used.
    """

    name = "transformers.loss.loss_utils"

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module with a scipy.optimize that has that function alone and loads the real one when called."""

        def linear_sum_assignment(*args, **kwargs):
            from scipy import optimize

            return optimize.linear_sum_assignment(*args, **kwargs)

        scipy_optimize = "scipy.optimize"
        is_there = scipy_optimize in sys.modules
        if not is_there:
            sys.modules[scipy_optimize] = types.ModuleType(scipy_optimize)
            sys.modules[scipy_optimize].linear_sum_assignment = linear_sum_assignment
        try:
            self._loader.exec_module(module)
        finally:
            if not is_there:
                del sys.modules[scipy_optimize]


class QuickModelList(ChangedImport):
    """Lets transformers list its models without splitting all of their source files into lines.

    Why: transformers (5.23) reads 3,300 files when it is imported, to find what each exports, and looks at every line.
    That is 7 % of the CPU time of a decoding job of one utterance.
    Can go: when transformers looks for the last line that begins with __all__, or stores the list.
    """

    name = "transformers.utils.import_utils"

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module, and give its function the end of a file alone."""
        self._loader.exec_module(module)
        if "fetch__all__" not in vars(module):  # other versions of transformers
            return
        of_lines = module.fetch__all__

        def fetch__all__(file_content: str) -> list[str]:
            begin = file_content.rfind("\n__all__") + 1
            return of_lines(file_content[begin:]) if begin or file_content.startswith("__all__") else []

        module.fetch__all__ = fetch__all__


class WithoutJets(ChangedImport):
    """Keeps ESPnet's trainer from importing a speech synthesizer, and with it numba and scipy.stats.

    Why: ESPnet's function that collects attention weights asks of each module whether it is JETS' alignment; a quarter
    of what a training imports is imported for that question.
    Can go: when ESPnet asks it without importing JETS.
    """

    name = "espnet2.main_funcs.calculate_all_attentions"
    package = "espnet2.gan_tts.jets"

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module with a class in place of JETS' own; instances of the real one, if it is there, are its."""
        alignments = f"{self.package}.alignments"

        class Alignment(type):
            def __instancecheck__(cls, instance):
                real = sys.modules.get(alignments)
                return real is not None and isinstance(instance, real.AlignmentModule)

        stand_ins = {} if alignments in sys.modules else {n: types.ModuleType(n) for n in (self.package, alignments)}
        for stand_in in stand_ins.values():
            stand_in.AlignmentModule = Alignment("AlignmentModule", (), {})
        sys.modules.update(stand_ins)
        try:
            self._loader.exec_module(module)
        finally:
            for name in stand_ins:
                del sys.modules[name]


NEEDED = (TorchaudioStandIn, WithoutNltkDownload)  # without these imports fail, or ask the network
WORKAROUNDS = (*NEEDED, WithoutScipy, QuickModelList, WithoutJets)


def prepare_imports(workarounds: Sequence[type[importlib.abc.MetaPathFinder]] = WORKAROUNDS) -> None:
    """Make the workarounds hold for imports from now on; cheap, and does nothing the second time."""
    # by name, because the copy in site-packages may have been first
    present = {type(finder).__name__ for finder in sys.meta_path}
    for workaround in workarounds:
        if workaround.__name__ not in present:
            sys.meta_path.insert(0, workaround())


@contextmanager
def prepared_imports():
    """Inside of the context the workarounds in NEEDED hold for imports; afterwards modules are found as before."""
    before = list(sys.meta_path)
    prepare_imports(NEEDED)
    try:
        yield
    finally:
        sys.meta_path[:] = [f for f in sys.meta_path if f in before or type(f) not in NEEDED]


def install(site_packages: Path) -> None:
    """Let every Python of an environment start with `prepare_imports()`: a copy of this file and a `.pth` line."""
    code = Path(__file__).read_text(encoding="utf-8")
    for name, text in (
        (f"{STARTUP_MODULE}.py", code),
        (f"{STARTUP_MODULE}.pth", f"import {STARTUP_MODULE}; {STARTUP_MODULE}.prepare_imports()\n"),
    ):
        temporary = site_packages / f".{name}.tmp{secrets.token_hex(8)}"  # several may install at once
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, site_packages / name)


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
    from importlib.metadata import PackageNotFoundError, version

    from slm_espnet.errors import UserError

    try:
        found = version("espnet")
    except PackageNotFoundError:
        raise UserError(f"ESPnet is not installed; {_espnet_cure()}") from None
    only, oldest = ESPNET_VERSIONS
    if found != only and int(found) < int(oldest):
        known = f"{only}, {oldest} and later ones"
        raise UserError(f"ESPnet {found} is installed, this toolkit runs on {known}; {_espnet_cure()}")


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
def weights_only_loads():
    """Inside of the context torch.load takes tensors and plain values only, whatever its caller says.

    Why: ESPnet's average_nbest_models loads the epochs' weights with weights_only=False, which runs whatever code a
    changed file holds.
    Can go: when it loads them with weights_only=True.
    """
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def mel_matrix_from_weights():
    """Inside of the context ESPnet's LogMel is made without librosa, its matrix all zeros until weights are loaded.

    Why: librosa.filters imports scipy.signal and scipy.stats, two seconds of CPU time, for a matrix that every ESPnet
    checkpoint holds (frontend.logmel.melmat), so that loading overwrites it; strict loading misses it where it is not.
    Can go: when librosa.filters no longer imports scipy.signal, or LogMel computes its matrix by itself.
    """
    import numpy as np
    from espnet2.layers import log_mel

    def mel(n_fft, n_mels, **_options):
        return np.zeros((n_mels, 1 + n_fft // 2), np.float32)

    before = log_mel.librosa
    log_mel.librosa = types.SimpleNamespace(filters=types.SimpleNamespace(mel=mel))
    try:
        yield
    finally:
        log_mel.librosa = before


def _espnet_cure() -> str:
    return "run `make install`, or `pip install --upgrade slm-espnet`"


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
