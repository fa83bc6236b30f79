"""safetensors writes files that only their owner can read; on a cluster the others of a group need the adapter too."""

import stat

import torch

from slm_espnet.checkpoint import save_adapter


def test_others_can_read_an_adapter(tmp_path):
    save_adapter({"adapter.scale": torch.ones(1)}, {}, tmp_path / "adapter.safetensors")
    mode = (tmp_path / "adapter.safetensors").stat().st_mode
    assert mode & stat.S_IRGRP and mode & stat.S_IROTH
