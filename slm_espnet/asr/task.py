"""ESPnet's ASR task with the toolkit's own encoder and augmentation among its choices.

Use `ASRTask` from here wherever ESPnet's own would be used: training, inference, reading a checkpoint back.
"""

from __future__ import annotations

from slm_espnet.compat import espnet_tasks

with espnet_tasks():
    from espnet2.tasks.asr import ASRTask, encoder_choices, specaug_choices

    from slm_espnet.asr.conv_encoder import ConvEncoder
    from slm_espnet.asr.spec_augment import VtlpSpecAug

__all__ = ["ASRTask"]

# ClassChoices looks names up in lower case.
encoder_choices.classes["conv"] = ConvEncoder
specaug_choices.classes["vtlp_specaug"] = VtlpSpecAug
