"""The Python API: a trained model in two lines (model.py), what it takes (audio.py, instructions.py) and gives."""
