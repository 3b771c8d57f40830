"""Per-layer transcoders: their files, training and quality."""
