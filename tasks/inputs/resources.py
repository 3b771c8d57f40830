"""What phases read that no phase computes: a behaviour's declaration, tokenizer, model, transcoders, and
reviewers' labels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from circuitstore.engine.fingerprint import digest
from circuitstore.engine.task import Resource
from circuitstore.errors import InputError
from circuitstore.memo import shared
from circuitstore.models import identity
from circuitstore.storage.layout import Store
from circuitstore.storage.reviews import Labels, labels_of
from tasks.inputs.places import Folder, Repository, place_of
from tasks.settings.config import Profile, Prompts, Selection, Text, layer_range

LOAD, TRANSCODERS = "circuitstore.models.load", "circuitstore.transcoders.per_layer"
Place = Folder | Repository


def resources(selection: Selection, store: str) -> dict[str, Resource]:
    """All resources of one selection. Their identities are cheap; what they load may not be."""
    profile = selection.profile
    model, transcoders = place_of(profile.model, store), place_of(profile.transcoders, store)
    return {
        "behaviour": _behaviour(selection),
        "study": Resource(partial(_study, selection), partial(_study, selection)),
        "text": Resource(partial(_text, selection), partial(_text, selection)),
        "tokenizer": Resource(
            partial(model.identity, "tokenizer"),
            partial(_load_tokenizer, model),
            (LOAD,),
            partial(_check_tokenizer, model),
        ),
        "model": Resource(
            partial(_model_identity, profile, model),
            partial(_load_model, profile, model),
            (LOAD,),
            partial(_check_model, profile, model),
        ),
        "transcoders": Resource(
            partial(transcoders.identity, "transcoders"),
            partial(_load_transcoders, selection, model, transcoders),
            (TRANSCODERS,),
            partial(_check_transcoders, selection, store, model, transcoders),
            partial(_layers, selection, model),
        ),
        "texts": Resource(partial(_texts_identity, profile), partial(_texts, profile)),
        "device": Resource(dict, partial(_torch_device, profile)),  # where to compute is no part of any key
        "review": Resource(partial(_review_identity, selection, store), partial(_review, selection, store)),
    }


def _behaviour(selection: Selection) -> Resource:
    if selection.prompts_file:
        path = selection.prompts_file
        return Resource(
            partial(_own_identity, path, selection.behaviour),
            partial(_own_prompts, path, selection.behaviour),
            ("tasks.inputs.prompt_file",),
        )
    name = selection.behaviour
    return Resource(
        lambda: {"declared": name}, lambda: partial(_declared_prompts, name), (f"tasks.behaviours.{name}",)
    )


def _study(selection: Selection) -> dict[str, object]:
    """What a figure is about, by name."""
    return {"behaviour": selection.behaviour, "profile": selection.profile_name}


def _text(selection: Selection) -> dict[str, Any]:
    text = selection.text
    asked = {name: getattr(text, name) for name in text.__struct_fields__}
    return {**asked, "prepend": selection.profile.prompts.prepend}


def _texts_identity(profile: Profile) -> dict[str, object]:
    """The file of texts, and the token that each sequence begins with."""
    path = profile.texts.path
    if not path:
        remedy = "name a file with one text a line: --set texts.path=FILE"
        raise InputError(
            "a corpus to train transcoders on",
            expected="[texts] path in the profile",
            got="none",
            remedy=remedy,
        )
    if not os.path.isfile(path):
        raise InputError(
            path, expected="a file with one text a line", got="no such file", remedy="see docs/training.md"
        )
    return {"sha256": identity.file_hash(path, shared()), "prepend": profile.prompts.prepend}


def _texts(profile: Profile) -> tuple[list[str], str]:
    """The lines of the file that are not blank, and the name of the prepended token."""
    try:
        with open(profile.texts.path, encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()], profile.prompts.prepend
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(profile.texts.path, expected="readable UTF-8 text", got=error) from error


def _torch_device(profile: Profile) -> Any:
    import torch

    _limit_threads(profile)
    return torch.device(_device(profile))


def _own_identity(path: str, behaviour: str) -> dict[str, object]:
    """Each prompt by its id, so that `explain` can name it, and their order; the layout of the file does not
    count.
    """
    from tasks.inputs import prompt_file

    rows = prompt_file.read(path, behaviour)
    return {
        "prompts": {row.id: digest("prompt", row) for row in rows},
        "order": digest("order", [row.id for row in rows]),
    }


def _own_prompts(path: str, behaviour: str) -> Callable[..., list[Any]]:
    from tasks.inputs import prompt_file

    rows = prompt_file.read(
        path, behaviour
    )  # now, for the file may change: what is loaded is what was identified
    return lambda config, fits: rows


def _declared_prompts(name: str, config: Prompts, fits: Callable[..., bool] | None) -> list[Any]:
    from tasks import behaviours

    return behaviours.generate(
        behaviours.load(name), train=config.train, test=config.test, seed=config.seed, fits=fits
    )


def _review(selection: Selection, store: str) -> Labels:
    """Reviewers' labels of this behaviour's features, (layer, feature) → Label."""
    transcoders = place_of(selection.profile.transcoders, store).identity("transcoders")
    return labels_of(Store(store), selection.profile_name, selection.behaviour, transcoders)


def _review_identity(selection: Selection, store: str) -> dict[str, object]:
    """What the labels say, whenever and in how many imports it was said."""
    labels = _review(selection, store).items()
    return {
        f"layer {layer} feature {feature}": [label.label, label.author, label.note]
        for (layer, feature), label in labels
    }


def _model_identity(profile: Profile, model: Place) -> dict[str, object]:
    return {**model.identity("model"), "dtype": profile.model.dtype}


def _load_tokenizer(model: Place) -> Any:
    loaded = _open_tokenizer(model)
    model.pin("tokenizer")
    return loaded


def _open_tokenizer(model: Place) -> Any:
    from circuitstore.models.load import load_tokenizer

    return load_tokenizer(model.fetch("tokenizer")[0])


def _check_tokenizer(model: Place) -> list[str]:
    notes = model.check("tokenizer")
    if model.here("tokenizer"):
        _open_tokenizer(model)
    return notes


def _load_model(profile: Profile, model: Place) -> Any:
    from circuitstore.models.load import load_model

    _limit_threads(profile)
    model.fetch("tokenizer")
    loaded = load_model(model.fetch("model")[0], dtype=profile.model.dtype, device=_device(profile))
    model.pin("model")
    return loaded


def _check_model(profile: Profile, model: Place) -> list[str]:
    from circuitstore.models.families import family_of
    from circuitstore.models.load import check_model

    family_of(str(model.config().get("model_type", "nothing named model_type")))
    notes = model.check("model")
    if model.here("model"):
        check_model(model.fetch("model")[0], device=_device(profile))
    return notes


def _load_transcoders(selection: Selection, model: Place, transcoders: Place) -> Any:
    loaded = _open_transcoders(selection, model, transcoders)
    transcoders.pin("transcoders")
    return loaded


def _open_transcoders(selection: Selection, model: Place, transcoders: Place) -> Any:
    from circuitstore.transcoders.per_layer import Transcoders

    _limit_threads(selection.profile)
    layers, config = _layers(selection, model), model.config()
    folder, files = transcoders.fetch("transcoders", layers)
    opened = Transcoders.open(folder, files=files, layers=layers, device=_device(selection.profile))
    opened.check_fits(config["num_hidden_layers"], config["hidden_size"])
    return opened


def _check_transcoders(selection: Selection, store: str, model: Place, transcoders: Place) -> list[str]:
    from tasks.inputs.trained_on import note

    profile, layers = selection.profile, _layers(selection, model)
    notes = transcoders.check("transcoders", layers)
    if transcoders.here("transcoders", layers):
        _open_transcoders(selection, model, transcoders)
    trained_on = profile.transcoders.trained_on or str(
        transcoders.transcoder_config().get("model_name") or ""
    )
    return notes + note(
        Store(store), selection.behaviour, profile.model.repo, trained_on, transcoders.identity("transcoders")
    )


def _layers(selection: Selection, model: Place) -> list[int] | None:
    """The layers whose transcoders are in use: those that the profile keeps of a behaviour's prompts; all, of
    one text.
    """
    about_text = selection.text != Text()
    return (
        None
        if about_text
        else layer_range(selection.profile.activations.layers, model.identity("model")["layers"])
    )


def _device(profile: Profile) -> str:
    """Where to compute: as named, or for "auto" on a GPU if there is one."""
    import torch

    return (
        profile.model.device
        if profile.model.device != "auto"
        else "cuda"
        if torch.cuda.is_available()
        else "cpu"
    )


def _limit_threads(profile: Profile) -> None:
    import torch

    if profile.model.threads:
        torch.set_num_threads(profile.model.threads)
