"""Batched generation from speech or text: options, results, search."""
