"""Texts as arrays, for what phases yield: NumPy's own arrays of text drop a NUL at the end."""

from circuitstore.storage.content import text_array

__all__ = ["text_array"]
