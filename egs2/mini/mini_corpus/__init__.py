"""The miniature corpus: a seeded grammar of everyday requests whose meaning, and so every answer, is known."""
