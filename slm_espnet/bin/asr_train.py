"""Train an ESPnet ASR model, with the toolkit's encoder (`encoder: conv`) and augmentation (`specaug: vtlp_specaug`).

    python -m slm_espnet.bin.asr_train --config conf/train.yaml --output_dir exp/asr …

All options are those of `python -m espnet2.bin.asr_train`; --help_all explains them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slm_espnet.errors import run_main


def main(cmd: Sequence[str] | None = None) -> None:
    """Parse and train."""
    arguments = list(sys.argv[1:] if cmd is None else cmd)
    if {"-h", "--help"} & set(arguments):  # ESPnet's own list of options takes seconds to import
        print(__doc__)
        return
    from slm_espnet.asr.task import ASRTask

    ASRTask.main(cmd=["--help" if argument == "--help_all" else argument for argument in arguments])


if __name__ == "__main__":
    run_main(main)
