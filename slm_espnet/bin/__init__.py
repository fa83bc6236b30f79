"""Thin commands, one per stage: `python -m slm_espnet.bin.<name> --help`.

A command owns its process, so workarounds for other packages hold in all of it (see compat).
"""

from slm_espnet.compat import prepare_imports

prepare_imports()
