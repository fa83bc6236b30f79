"""Thin commands, one per stage: `python -m slm_espnet.bin.<name> --help`."""
