"""Commands say what they do without loading what they work with."""

import subprocess
import sys

from slm_espnet.bin import train
from slm_espnet.training.launch import LAUNCH_OPTIONS

HEAVY = ("torch", "gradio", "espnet2", "transformers", "lhotse", "sacrebleu", "scipy")
HELP = """
import contextlib, importlib, io, sys
from pathlib import Path
for path in sorted(Path(sys.argv.pop()).glob("*.py")):
    if path.stem in ("__init__", "config_file"):
        continue
    command, output = importlib.import_module("slm_espnet.bin." + path.stem), io.StringIO()
    sys.argv = [path.stem, "--help"]
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        command.main()
    assert output.getvalue().strip(), path
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & set(%r))
    assert not loaded, f"{path}: --help loads {loaded}"
    print(path.stem)
"""


def test_help_of_every_command_loads_nothing_large(top):
    folder = top / "slm_espnet/bin"
    output = subprocess.run([sys.executable, "-c", HELP % (HEAVY,), str(folder)], text=True, capture_output=True)
    assert output.returncode == 0, output.stderr
    assert {"train", "decode", "encode", "asr_train"} <= set(output.stdout.split())


def test_help_of_the_training_names_every_option_of_a_launch(capsys):
    assert train.main(["--help"]) == 0
    described = capsys.readouterr().out
    names = ["ngpu", *(option.name for option in LAUNCH_OPTIONS), "save_every_seconds", "save_every_steps"]
    assert all(f"    --{name} " in described for name in names)


def test_an_encoder_of_the_usual_parts_is_loaded_without_espnets_task(top):
    code = """
import sys
from slm_espnet.foundation import load_foundation
from slm_espnet.encodings.pipeline import EncodingPipeline
EncodingPipeline.from_foundation(load_foundation(sys.argv[1]))
heavy = {"espnet2.tasks.asr", "espnet2.train.preprocessor", "inflect", "transformers"}
loaded = heavy & set(sys.modules)
assert not loaded, loaded
"""
    arguments = [sys.executable, "-c", code, str(top / "conf/foundation/mini.yaml")]
    output = subprocess.run(arguments, text=True, capture_output=True)
    assert output.returncode == 0, output.stderr
