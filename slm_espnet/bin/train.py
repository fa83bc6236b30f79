"""Stage 4: train the adapter with ESPnet's trainer.

    python -m slm_espnet.bin.train --config conf/train_asr.yaml --foundation conf/foundation/mini.yaml \
        --train_data_path_and_name_and_type data/train::dump/encodings/mini/train,speech,slm_rows \
        --valid_data_path_and_name_and_type data/dev::dump/encodings/mini/dev,speech,slm_rows \
        --train_shape_file exp/slm_stats/train/speech_shape --valid_shape_file exp/slm_stats/dev/speech_shape \
        --output_dir exp/slm_mini --resume true

Options are those of every ESPnet task; --print_config shows them with their values. `--ngpu 4` trains on four GPUs,
and with `--num_nodes 2` on those of two nodes, on each of which the same command runs. At SIGTERM or SIGUSR1 a
checkpoint is written, and the exit status is 85: the same command goes on at that step.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from slm_espnet.errors import run_main
from slm_espnet.training.launch import read_launch, run
from slm_espnet.training.signals import leaving


def main(argv: Sequence[str] | None = None) -> int:
    """Train, in this process or in several that are started here; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    launch = read_launch(argv, os.environ)
    if launch is not None:
        return run(launch, argv)
    with leaving():
        from slm_espnet.task import SLMTask  # imports torch and ESPnet

        SLMTask.main(cmd=argv)
    return 0


if __name__ == "__main__":
    run_main(main)
