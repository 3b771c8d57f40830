"""Texts of single tokens: fragments of characters are told apart, and spaces stay."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer
from workspace import ROOT

from circuitstore.models.token_text import token_text

TINY = ROOT / "tasks" / "profiles" / "tiny" / "model"


@pytest.fixture(scope="module")
def byte_level():
    return AutoTokenizer.from_pretrained(TINY)


@pytest.mark.parametrize("text", ["caf\u00e9 \u2014 \u2603 x", "\u9375 \U0001f600", "plain words\n"])
def test_fragments_are_the_bytes_of_the_text(byte_level, text):
    """All texts joined and read as Python reads them are the bytes of the text."""
    ids = byte_level.encode(text, add_special_tokens=False)
    texts = [token_text(byte_level, token) for token in ids]
    joined = b"".join(
        piece.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
        for piece in texts
    )
    assert joined == text.encode() and "\ufffd" not in "".join(texts)
    assert len(set(texts)) == len(set(ids))


def test_every_token_of_a_vocabulary_has_a_text_of_its_own(byte_level):
    """No two of two thousand read alike; those that are text read as the decoder has them."""
    texts = [token_text(byte_level, token) for token in range(len(byte_level))]
    assert len(set(texts)) == len(texts)
    assert sum(text == byte_level.decode([i]) for i, text in enumerate(texts)) > 1800


def test_sentencepiece(sentencepiece):
    """Byte fallback and spaces of Llama 2's form."""
    ids = sentencepiece.encode("\u2603 x", add_special_tokens=False)
    assert "".join(token_text(sentencepiece, token) for token in ids) == " \\xe2\\x98\\x83 x"


@pytest.fixture
def sentencepiece(tmp_path):
    """A tokenizer with tokens for single bytes, that writes a space as U+2581."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)} | {"\u2581": 256, "x": 257, "\u2581x": 258}
    backend = Tokenizer(models.BPE(vocabulary, [("\u2581", "x")], byte_fallback=True, unk_token=None))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend)
