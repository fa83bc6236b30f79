"""The trained part: encodings of speech → input embeddings of the language model.

`adapter.py` joins three exchangeable pieces: an optional trained length reduction, a body (transformer, mlp, conv) and
an output (linear, embedding_mixture). `build.py` knows them by name.
"""
