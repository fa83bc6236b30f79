"""slm_espnet: a frozen speech encoder and a frozen language model, joined by a small trained adapter.

Importing the package is cheap (no torch) and changes nothing of the process.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    """SLMInference, imported when it is asked for: it needs torch."""
    if name == "SLMInference":
        from slm_espnet.compat import stand_in_for_torchaudio

        stand_in_for_torchaudio()
        from slm_espnet.api.model import SLMInference

        return SLMInference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
