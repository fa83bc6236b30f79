"""Scores: error rates, BLEU, answers; results tables."""
