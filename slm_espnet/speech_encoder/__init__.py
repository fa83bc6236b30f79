"""Frozen speech encoders: waveform → frames, lengths and, where the model has CTC, its log-probabilities."""
