"""What phases read that no phase computes: the contents page of inputs.

Each input has a module of its own in this folder, with a function `identity` (what it is, for the key) and a
function `load` (what a phase receives). The code of that module is in the key of every phase that needs it.
"""

from __future__ import annotations

from functools import partial

import msgspec

from circuitstore.engine.task import Resource
from circuitstore.storage.layout import Store
from tasks.inputs import (
    architecture,
    behaviour,
    device,
    given,
    hooks,
    model,
    one_text,
    own_prompts,
    reviews,
    study,
    texts,
    tokenizer,
    trained_on,
    transcoders,
)
from tasks.inputs.places import place_of
from tasks.settings.phases import Activations, Prompts
from tasks.settings.selection import Selection, Text


def resources(selection: Selection, store: Store) -> dict[str, Resource]:
    """All inputs of one selection by name. Their identities are cheap; what they load may not be."""
    profile, about = selection.profile, selection.behaviour
    settings, prepend = profile.model, profile.of(Prompts).prepend
    weights, coders = place_of(settings, store), place_of(profile.transcoders, store)
    # One text is explained with the features of all layers, a behaviour with those of the layers it keeps.
    layers = "" if selection.text != Text() else profile.of(Activations).layers
    labels = (store, selection.profile_name, about, coders)
    k = profile.transcoders.k
    trained = trained_on.Claim(about, settings.repo, profile.transcoders.trained_on)
    words = partial(study.study, about, selection.profile_name, selection.prompts_file)
    tags = ("GPU",) if settings.device.startswith("cuda") else ()
    edits = {"edits": [msgspec.structs.asdict(edit) for edit in selection.edits]}
    text = {**selection.text.plain(), "prepend": prepend}
    return {
        "behaviour": _behaviour(selection),
        "study": Resource(words, words, sources=partial(study.sources, about, selection.prompts_file)),
        "architecture": Resource(
            partial(architecture.identity, weights),
            partial(architecture.load, weights),
            sources=partial(architecture.sources, weights),
            keep=partial(architecture.keep, weights),
        ),
        "text": Resource(
            partial(given.given, text),
            partial(given.given, text),
            check=partial(one_text.check, text, edits["edits"], weights),
        ),
        "edits": Resource(partial(given.given, edits), partial(given.given, edits)),
        "texts": Resource(
            partial(texts.identity, profile.texts.path, prepend),
            partial(texts.load, profile.texts.path, prepend),
            sources=partial(texts.sources, profile.texts.path),
        ),
        "tokenizer": Resource(
            partial(tokenizer.identity, weights),
            partial(tokenizer.load, weights),
            check=partial(tokenizer.check, weights),
            sources=partial(tokenizer.sources, weights),
            keep=partial(tokenizer.keep, weights),
        ),
        "model": Resource(
            partial(model.identity, weights, settings.dtype),
            partial(model.load, weights, settings.dtype, settings.device, settings.threads),
            check=partial(model.check, weights, settings.device),
            sources=partial(model.sources, weights),
            keep=partial(model.keep, weights),
            tags=tags,
        ),
        "transcoders": Resource(
            partial(transcoders.identity, coders, k),
            partial(transcoders.load, coders, weights, layers, settings.device, settings.threads, k),
            check=partial(trained_on.check, trained, store, coders, weights, layers, settings.device, k),
            part=partial(transcoders.chosen, weights, layers),
            sources=partial(transcoders.sources, coders, weights),
            keep=partial(transcoders.keep, coders),
            tags=tags,
        ),
        "hooks": Resource(
            partial(hooks.identity, coders, k),
            partial(hooks.load, coders, k),
            sources=partial(hooks.sources, coders),
            keep=partial(hooks.keep, coders, k),
        ),
        # Where to compute is in no key.
        "device": Resource(dict, partial(device.load, settings.device, settings.threads), tags=tags),
        "review": Resource(
            partial(reviews.identity, *labels),
            partial(reviews.load, *labels),
            sources=partial(reviews.sources, coders),
        ),
    }


def _behaviour(selection: Selection) -> Resource:
    name, path = selection.behaviour, selection.prompts_file
    if path:
        return Resource(
            partial(own_prompts.identity, path),
            partial(own_prompts.load, path),
            sources=partial(own_prompts.sources, path),
        )
    return Resource(
        partial(behaviour.identity, name),
        partial(behaviour.load, name),
        (f"tasks.behaviours.{name}", *behaviour.declares(name)[1]),
        sources=partial(behaviour.sources, name),
    )
