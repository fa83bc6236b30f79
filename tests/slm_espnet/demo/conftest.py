"""A small experiment and its model, see tests/helpers/tiny_experiment.py."""

from tiny_experiment import experiment, noise, slm

__all__ = ["experiment", "noise", "slm"]
