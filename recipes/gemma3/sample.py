"""The corpus of profile `gemma3-270m`, sampled from the model (`recipes/sampling.py`).

    python -m recipes.gemma3.sample

Writes ``corpus.txt`` into tasks/profiles/gemma3. Most of the time goes into the logits of 262,144 tokens, so
there are fewer texts than for SmolLM2.
"""

from __future__ import annotations

from recipes.sampling import Corpus, main

CORPUS = Corpus(
    folder="gemma3",
    start="bos",
    free=256,
    free_tokens=64,
    begun={"antonym": 128, "capital": 20, "plural": 128},
    begun_tokens=12,
)

if __name__ == "__main__":
    main(CORPUS)
