"""What is known of one text before a model is loaded says what the phase says."""

from __future__ import annotations

import pytest
from spaced import write_sentencepiece

from circuitstore.errors import UsageError
from circuitstore.storage.layout import Store
from tasks.inputs import one_text
from tasks.inputs.places import Folder

TEXT = {"text": "The keys", "tokens": [], "prepend": "auto", "targets": [], "against": "", "turns": ()}


@pytest.fixture
def place(tmp_path) -> Folder:
    write_sentencepiece(tmp_path)
    return Folder(str(tmp_path), Store(tmp_path / "store"))


@pytest.mark.parametrize("given", [{"targets": [" are"]}, {"against": " are"}])
def test_an_answer_is_what_it_adds_to_the_text(place, given):
    """Alone it would be two tokens of this tokenizer."""
    assert one_text.check(TEXT | given, [], place) == []


@pytest.mark.parametrize("given", [{"targets": [" hare"]}, {"against": " hare"}])
def test_an_answer_of_several_tokens_is_refused_and_they_are_shown(place, given):
    option = "--target" if "targets" in given else "--against"
    with pytest.raises(UsageError, match=rf"{option} ' hare'.*one token.*tokens: ' '"):
        one_text.check(TEXT | given, [], place)
