"""Prompts of the behaviours for the corpus of a model, so that the words of their templates occur in it.

None of them is among the prompts that the default settings draw, for train or for test, and none is of a
lexical group of the test split. So transcoders are not trained on what is analysed.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.behaviours import Prompt
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate

SPARE = 80  # prompts of a behaviour that may be among those analysed


def unanalysed(wanted: Mapping[str, int]) -> list[Prompt]:
    """So many prompts of each behaviour, all of train groups and none that is analysed.

    Each count is a multiple of 8. Raises UsageError for another, and PromptError for more than there are.
    """
    chosen = []
    for name, count in wanted.items():
        behaviour = declaration(name)
        analysed = {prompt.text for prompt in generate(behaviour)}
        # A fifth is test, as by default, so that the splits have the same groups.
        drawn = generate(behaviour, train=count + SPARE, test=(count + SPARE) // 4)
        others = [p for p in drawn if p.split == "train" and p.text not in analysed]
        chosen += others[:count]
    return chosen
