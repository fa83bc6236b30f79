"""Recordings of any length: pauses are found, pieces cut at them, and the pieces' texts put together again."""
