"""Stage 4: train the adapter with ESPnet's trainer.

    python -m slm_espnet.bin.train --config conf/train_asr.yaml --foundation conf/foundation/mini.yaml \
        --train_data_path_and_name_and_type data/train::dump/encodings/mini/train,speech,slm_rows \
        --valid_data_path_and_name_and_type data/dev::dump/encodings/mini/dev,speech,slm_rows \
        --train_shape_file exp/slm_stats/train/speech_shape --valid_shape_file exp/slm_stats/dev/speech_shape \
        --output_dir exp/slm_mini --resume true

Options are those of every ESPnet task; --print_config shows them with their values.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slm_espnet.errors import run_main


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and train."""
    from slm_espnet.task import SLMTask  # imports torch and ESPnet

    SLMTask.main(cmd=list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    run_main(main)
