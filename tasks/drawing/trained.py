"""What is known of the texts that the model of a profile was trained on, as data.

Test prompts are unseen when features are chosen. Whether the model saw them is another question, and a margin
on a prompt that it was trained on may be memory.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeldOut:
    """What the training texts hold out of a behaviour: in words, and the lexical groups that it is about."""

    words: str
    groups: frozenset[str]


TOYS = {  # profile → what a reader must know before anything else
    "tiny": "The profile tiny is a toy: a model of about a million parameters, trained from nothing on "
    "sentences made from the templates of these behaviours. It shows how the analysis works. Nothing about a "
    "model of natural language follows from it.",
}
HELD_OUT = {  # profile → behaviour → what `recipes/tiny/corpus.py` leaves out; a test compares the groups
    "tiny": {
        "plural": HeldOut(
            "a sentence in which these nouns are the subject before an attractor (alone, and as attractors, "
            "they occur)",
            frozenset(
                ["box", "bridge", "child", "lion", "man", "mouse", "sailor", "sign", "window", "woman"]
            ),
        ),
        "capital": HeldOut(
            "a question, in these templates, for the state or the capital of cities of these states (other "
            "sentences state both facts, one at a time)",
            frozenset(
                (
                    "California",
                    "Connecticut",
                    "Michigan",
                    "Nebraska",
                    "South Carolina",
                    "Tennessee",
                    "Wisconsin",
                )
            ),
        ),
        "antonym": HeldOut(
            "a question, in these templates, for these words (other sentences state the pairs)",
            frozenset(
                (
                    "always/never",
                    "buy/sell",
                    "clean/dirty",
                    "create/destroy",
                    "high/low",
                    "left/right",
                    "old/young",
                    "smooth/rough",
                    "weak/strong",
                    "win/lose",
                )
            ),
        ),
        "addition": HeldOut(
            "a sum of two-digit numbers with these ones digits, either way round (sums of one digit occur)",
            frozenset(["1+2", "1+9", "2+3", "3+4", "3+6", "4+4", "5+9", "9+9"]),
        ),
    },
}


def known(profile: str, behaviour: str, test_groups: list[str]) -> str:
    """The sentences that say which of the test prompts, of these lexical groups (prompt,), were held out."""
    if profile not in HELD_OUT:
        return (
            "What the model was trained on is not recorded here. Test prompts are unseen when features are "
            "chosen; the model itself may have seen prompts of both splits."
        )
    held_out = HELD_OUT[profile].get(behaviour)
    if held_out is None or not test_groups:
        return "Whether the training texts of the model hold these prompts is not known."
    count = sum(group in held_out.groups for group in test_groups)
    return (
        f"Of {len(test_groups)} test prompts, {count} ask for what the training texts of the model hold out: "
        f"{held_out.words}. Train prompts were not held out: the model may have read them word by word."
    )
