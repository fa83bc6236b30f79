"""The cache of encoded speech: a few large shards, an index, and a fingerprint of what made them."""
