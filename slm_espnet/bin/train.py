"""Stage 4: train the adapter with ESPnet's trainer.

    python -m slm_espnet.bin.train --config conf/train_asr.yaml --foundation conf/foundation/mini.yaml \
        --train_data_path_and_name_and_type data/train::dump/encodings/mini/train,speech,slm_rows \
        --valid_data_path_and_name_and_type data/dev::dump/encodings/mini/dev,speech,slm_rows \
        --train_shape_file exp/slm_stats/train/speech_shape --valid_shape_file exp/slm_stats/dev/speech_shape \
        --output_dir exp/slm_mini --resume true

`--ngpu 4` trains on four GPUs, and with `--num_nodes 2` on those of two nodes, on each of which the same command runs.
At SIGTERM or SIGUSR1 a checkpoint is written, and the exit status is 85: the same command goes on at that step.

Options are those of every ESPnet task: --help_all explains them, --print_config shows their values. This task's own:

    --foundation YAML          the frozen pair; fills llm, llm_conf and prompt_conf
    --llm, --llm_conf          kind of language model; model, revision, dtype, quantization, lora
    --prompt_conf              order of speech, context and instruction, chat
    --adapter, --adapter_conf  transformer, mlp or conv, and its sizes
    --adapter_output           embedding_mixture or linear; --adapter_output_conf
    --length_reduction         conv: trained reduction before the adapter; --length_reduction_conf
    --model_conf               weights of the losses, ctc_only_steps, autocast_dtype, diagnostic_batches
    --mixing_conf              temperature and weights by which sets, tasks and languages are mixed
    --ngpu N                   GPUs of this node, one process for each
    --gpus_per_process N       more than 1 where llm_conf.device_map splits the LLM
    --num_nodes N              nodes; needs MASTER_ADDR, MASTER_PORT and NODE_RANK in the environment
    --num_procs N              processes on each node without GPUs
    --save_every_seconds S     time between checkpoints within an epoch (600); 0: none
    --save_every_steps N       likewise in steps of the optimizer (0: none)
    --num_threads N            CPU threads
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
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):  # ESPnet's own list of options takes seconds to import
        print(__doc__)
        return 0
    arguments = ["--help" if argument == "--help_all" else argument for argument in arguments]
    launch = None if "--help" in arguments else read_launch(arguments, os.environ)
    if launch is not None:
        return run(launch, arguments)
    with leaving():
        from slm_espnet.task import SLMTask  # imports torch and ESPnet

        SLMTask.main(cmd=arguments)
    return 0


if __name__ == "__main__":
    run_main(main)
