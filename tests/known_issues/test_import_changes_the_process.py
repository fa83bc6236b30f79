"""Importing the toolkit in another program put finders of modules into the process, for all that it imported later."""

import subprocess
import sys

import pytest

CODE = """
import logging, os, random, signal, sys, warnings

def state():
    values = dict(
        environment=dict(os.environ), filters=list(warnings.filters), showwarning=warnings.showwarning,
        handlers=list(logging.root.handlers), level=logging.root.level, disabled=logging.root.manager.disable,
        finders=[type(f).__name__ for f in sys.meta_path], path=list(sys.path), hook=sys.excepthook,
        signals=[signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)],
        recursion=sys.getrecursionlimit(), random=random.getstate(), directory=os.getcwd())
    torch = sys.modules.get("torch")
    if torch is not None:
        cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        values.update(
            threads=torch.get_num_threads(), dtype=torch.get_default_dtype(), grad=torch.is_grad_enabled(),
            deterministic=torch.are_deterministic_algorithms_enabled(), precision=torch.get_float32_matmul_precision(),
            cudnn=(cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, cuda.allow_tf32),
            generator=torch.get_rng_state().tolist(), sharing=torch.multiprocessing.get_sharing_strategy())
    return values

def changed(before):
    return [name for name, value in state().items() if before[name] != value]
"""


def changes(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", CODE + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def test_the_package_changes_nothing():
    code = "before = state(); import slm_espnet, slm_espnet.foundation, slm_espnet.files; print(changed(before))"
    assert changes(code) == "[]"


@pytest.mark.parametrize("what", ["slm_espnet.api.model import SLMInference", "slm_espnet import SLMInference"])
def test_the_model_changes_nothing_beyond_what_its_packages_do(what):
    code = "from slm_espnet.compat import stand_in_for_torchaudio; stand_in_for_torchaudio()\n"
    code += "import torch, numpy, transformers, espnet2.train.abs_espnet_model\n"
    assert changes(code + f"before = state(); from {what}; print(changed(before))") == "[]"


def test_neither_does_building_an_encoder_leave_finders_behind(top):
    code = "import torch; before = state(); from slm_espnet.speech_encoder.build import build_speech_encoder\n"
    code += f"build_speech_encoder('espnet_ctc', dict(model={str(top / 'egs2/mini/foundations/encoder')!r}))\n"
    assert changes(code + "print([name for name in ('finders', 'signals', 'path') if name in changed(before)])") == "[]"


def test_a_command_puts_no_finder_into_its_process_either():
    code = "from slm_espnet.errors import run_main\nbefore = state()\n"
    assert changes(code + "try: run_main(lambda: print(changed(before)))\nexcept SystemExit: pass") == "[]"
