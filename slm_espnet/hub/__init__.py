"""A trained adapter as one package: made (package.py), described (card.py), shared (upload.py, download.py)."""
