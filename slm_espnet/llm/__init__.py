"""Frozen language models: input embeddings → text."""
