"""The corpus of profile `gemma3-270m`: paragraphs that every Python carries, and prompts of the behaviours.

    python -m recipes.gemma3.corpus

Writes ``corpus.txt`` into tasks/profiles/gemma3, one text on each line. Most texts are the paragraphs of
Python's language reference, which `help()` shows (`pydoc_data.topics`). It is English prose and some code, it
is on every machine, and it differs a little from one version of Python to the next. To sample texts from the
model, as the recipe of SmolLM2 does, takes six minutes for 16,000 tokens here, since most of a forward pass
goes into the logits of 262,144 tokens. The other texts are prompts with their answers (`recipes/unanalysed`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from pydoc_data.topics import topics

from recipes.from_gguf import PROFILES
from recipes.unanalysed import unanalysed

OUT = PROFILES / "gemma3" / "corpus.txt"
PROMPTS = {"antonym": 192, "capital": 40, "plural": 192}
FEWEST_WORDS = 12


def main(arguments: list[str] | None = None) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the corpus of profile gemma3-270m.")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="the file to write (default: tasks/profiles/gemma3/corpus.txt)"
    )
    given = parser.parse_args(arguments)
    lines = [*paragraphs(), *(prompt.text + prompt.correct for prompt in unanalysed(PROMPTS))]
    given.out.write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)), encoding="utf-8")
    print(f"{given.out}: {len(lines)} texts", file=sys.stderr)


def paragraphs() -> list[str]:
    """The paragraphs of prose of Python's language reference, each on one line."""
    found = [" ".join(part.split()) for _, topic in sorted(topics.items()) for part in topic.split("\n\n")]
    return [text for text in found if text[:1].isupper() and len(text.split()) >= FEWEST_WORDS]


if __name__ == "__main__":
    main()
