"""Train an ESPnet ASR model, with the toolkit's encoder (`encoder: conv`) and augmentation (`specaug: vtlp_specaug`).

    python -m slm_espnet.bin.asr_train --config conf/train.yaml --output_dir exp/asr …

All options are those of `python -m espnet2.bin.asr_train`.
"""

from __future__ import annotations

from collections.abc import Sequence

from slm_espnet.errors import run_main


def main(cmd: Sequence[str] | None = None) -> None:
    from slm_espnet.asr.task import ASRTask

    ASRTask.main(cmd=cmd)


if __name__ == "__main__":
    run_main(main)
