"""Kaldi data directories: reading, checking, audio."""
