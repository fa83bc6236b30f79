"""Contextual biasing: finding listed phrases in the CTC posteriors, and telling the LLM."""
