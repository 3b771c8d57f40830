"""The corpus of profile `smollm2-135m`, sampled from the model (`recipes/sampling.py`).

    python -m recipes.smollm2.sample

Writes ``corpus.txt`` into tasks/profiles/smollm2. Documents are separated by ``<|endoftext|>``, which its
tokenizer calls unk.
"""

from __future__ import annotations

from recipes.sampling import Corpus, main

CORPUS = Corpus(
    folder="smollm2",
    start="unk",
    free=1536,
    free_tokens=96,
    begun={"antonym": 192, "capital": 40, "plural": 192},
    begun_tokens=24,
)

if __name__ == "__main__":
    main(CORPUS)
