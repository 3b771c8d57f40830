"""The text of a single token, so that different tokens read differently.

A decoder is made for whole texts. A token that is a fragment of a character then reads "�", as every other
fragment does, and a word's leading space can be lost. Here, bytes that are no text are written as Python
writes them: `\\xe2\\x80`.

Tokenizers write bytes in two ways: GPT-2's map each byte to a printable character (Radford et al., 2019,
`bytes_to_unicode`); SentencePiece falls back to tokens such as `<0xE2>`, and writes a space as `▁`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNKNOWN, SPACE = "\ufffd", "\u2581"
_PLAIN = (*range(33, 127), *range(161, 173), *range(174, 256))  # bytes that are written as themselves
_OTHERS = (byte for byte in range(256) if byte not in _PLAIN)
_BYTES = {chr(byte): byte for byte in _PLAIN} | {chr(256 + i): byte for i, byte in enumerate(_OTHERS)}


def token_text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """The text of a token id, with its leading space; of bytes that are no text, their numbers."""
    piece = tokenizer.convert_ids_to_tokens(token)
    if isinstance(piece, str) and piece.startswith(SPACE):
        return piece.replace(SPACE, " ")
    text = str(tokenizer.decode([token]))
    if UNKNOWN not in text or not isinstance(piece, str):
        return text
    raw = _bytes(piece)
    return text if raw is None else raw.decode("utf-8", "backslashreplace")


def _bytes(piece: str) -> bytes | None:
    """The bytes that a token stands for; None for a token that is written in another way."""
    if number := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece):
        return bytes.fromhex(number[1])
    return bytes(_BYTES[c] for c in piece) if all(c in _BYTES for c in piece) else None
