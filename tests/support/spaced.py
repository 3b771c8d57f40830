"""A tokenizer of Llama 2's form: a space is put before every text, and taken away when it is decoded."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers

MERGES = ["a r", "ar e", "▁ are", "T h", "Th e", "▁ The", "k e", "ke y", "key s", "▁ keys", "▁ key"]
SAID = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}


def write_sentencepiece(folder: Path) -> None:
    """Write its files into a folder, and a config.json that tells one layer."""
    pairs = [tuple(merge.split()) for merge in MERGES]
    words = ["<s>", "</s>", "<unk>", *"▁arehTkys", *("".join(pair) for pair in pairs)]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    sizes = {"num_hidden_layers": 1, "hidden_size": 8, "vocab_size": len(words), "num_attention_heads": 1}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **sizes}))
    (folder / "tokenizer_config.json").write_text(json.dumps(SAID))
