"""`status --all` lists every result with what makes it another one; `diff` says how two of a phase differ."""

from __future__ import annotations

import numpy as np
import pytest
from shared import shared
from workspace import BEHAVIOUR, LAYERS, PROFILE, TEXTS, Workspace, one_line_error, run

import circuitstore as cs
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, names, read_ref

PHASE = "baseline"


class Tried(Workspace):
    """Three configurations up to the features, of which the first is tagged."""

    @property
    def where(self) -> tuple[object, ...]:
        return ("--store", self.store)

    def listed(self, *words: object) -> list[dict]:
        outcome = run("status", "--all", "--json", *words, *self.where)
        assert outcome.code == 0, outcome.err
        rows: list[dict] = outcome.json["experiments"]
        return rows

    def diff(self, a: str, b: str, *words: object):
        return run("diff", a, b, "--json", "--profile", PROFILE, *words, *self.where)


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> Tried:
    return shared(tmp_path_factory, "tried", Tried, build_tried)


def build_tried(made: Tried) -> None:
    for phase in ("features", PHASE):
        assert made.build(phase=phase).code == 0
        run("tag", f"first-{phase}", f"{PROFILE}/{BEHAVIOUR}/{phase}", "--store", made.store)
    assert made.build("--set", "baseline.top_k=4", phase=PHASE).code == 0
    made.write_prompts({**TEXTS, "a": "the keys to the cabinets", "d": "the dog sat"})
    for phase in ("features", PHASE):
        assert made.build("--set", "baseline.top_k=4", phase=phase).code == 0


def test_every_result_is_listed_once(tried):
    """In the order of the phases; with its settings beyond the defaults, its names, tags and a number."""
    rows = tried.listed()
    keys = [row["key"] for row in rows]
    assert len(set(keys)) == len(keys) == len(list((tried.store / "artifacts").iterdir()))
    assert [row["phase"] for row in rows] == sorted(
        (row["phase"] for row in rows), key=("prompts", PHASE, "activations", "features").index
    )
    of_phase = [row for row in rows if row["phase"] == PHASE]
    assert [row["settings"].get("baseline.top_k") for row in of_phase] == [None, 4, 4]
    assert all(row["settings"]["baseline.gate"] == 0.0 for row in of_phase)
    assert [row["tags"] for row in of_phase] == [[f"first-{PHASE}"], [], []]
    assert [row["names"] for row in of_phase] == [[], [], [f"{PROFILE}/{BEHAVIOUR}/{PHASE}"]]
    assert all(row["headline"] == {"accuracy": row["summary"]["accuracy"]} for row in of_phase)
    assert 0 < of_phase[0]["time_ns"] < of_phase[1]["time_ns"] < of_phase[2]["time_ns"]
    features = [row for row in rows if row["phase"] == "features"]
    assert all(row["settings"]["activations.positions"] == 0 for row in features)  # of what they read
    store = Store(tried.store)
    newest = {str(name): read_ref(store, name).artifact for name in names(store)}
    assert {name: row["key"] for row in rows for name in row["names"]} == newest


def test_people_read_it_as_a_table(tried):
    """A line a result; its key opens it."""
    outcome = run("status", "--all", *tried.where)
    head, *lines = outcome.out.splitlines()
    assert head.split() == [
        "profile",
        "behaviour",
        "phase",
        "key",
        "computed",
        "names",
        "headline",
        "settings",
    ]
    assert len(lines) == len(tried.listed())
    line = next(line for line in lines if f"tag first-{PHASE}" in line)
    shown = run("show", PHASE, "-b", BEHAVIOUR, "--key", line.split()[3], "--json", *tried.where)
    assert shown.code == 0 and shown.json["components"]["config"]["top_k"] == 10


def test_a_profile_and_behaviours_choose(tried):
    """What is named and not there gives no row; what cannot be meant is refused."""
    assert tried.listed("-b", BEHAVIOUR, "--profile", PROFILE) == tried.listed()
    assert tried.listed("-b", "capital") == tried.listed("--profile", "tiny") == []
    for words in (("--set", "baseline.top_k=4"), ("--prompts", tried.prompts)):
        assert "no --prompts and no --set" in one_line_error(
            run("status", "--all", *words, *tried.where), code=2
        )


def key_of(tried: Tried, top_k: int, prompts: int) -> str:
    """The key of the baseline with so many answers of so many prompts."""
    found = [
        row["key"]
        for row in tried.listed()
        if row["phase"] == PHASE
        and (row["settings"].get("baseline.top_k", 10), row["cells"]) == (top_k, prompts)
    ]
    (key,) = found
    return key


def test_a_setting_and_what_it_changed(tried):
    """Only the arrays that the setting moves; their shapes."""
    found = tried.diff(key_of(tried, 10, 3), key_of(tried, 4, 3)).json
    assert [
        (each["phase"], each["kind"], each["input"], each["a"], each["b"]) for each in found["inputs"]
    ] == [(PHASE, "config", "top_k", 10, 4)]
    assert found["cells"] == {"a": 0, "b": 0, "equal": 0, "differing": 3}
    told = {each["variable"]: (each["cells"], each["shapes"], each["values"]) for each in found["variables"]}
    assert told == {f"top_{name}": (3, 3, 0) for name in ("logit", "log_prob", "text", "token")}


def test_prompts_that_changed(tried):
    """One was edited, one added: their cells alone; the numbers are those that the two results have."""
    first = key_of(tried, 4, 3)
    found = tried.diff(first, f"{BEHAVIOUR}/{PHASE}").json
    assert found["cells"] == {"a": 0, "b": 1, "equal": 2, "differing": 1}
    inputs = {(each["phase"], each["kind"]) for each in found["inputs"]}
    assert inputs == {("prompts", "cells"), ("prompts", "resources")}
    where = {"behaviour": BEHAVIOUR, "store": tried.store, "profile": PROFILE}
    old, new = cs.open(PHASE, **where, key=first), cs.open(PHASE, **where)
    row = next(each for each in found["variables"] if each["variable"] == "top_logit")
    ours, theirs = (each.top_logit.sel(prompt="a").values.astype(float) for each in (old, new))
    size = np.abs(ours - theirs)
    assert row["max_abs"] == size.max() and row["mean_abs"] == pytest.approx(size.mean())
    assert row["where"] == {"prompt": "a", "top": int(size.argmax())}
    assert (row["a"], row["b"]) == (ours[size.argmax()], theirs[size.argmax()])
    fields = {each["field"] for each in found["summary"]}
    assert {"prompts", "mean_logit_difference"} <= fields


def test_sparse_activations(tried):
    """Where either has a feature; the place is as it is opened."""
    found = tried.diff(f"{BEHAVIOUR}/features@first-features", f"{BEHAVIOUR}/features").json
    assert found["cells"] == {"a": 0, "b": LAYERS, "equal": 2 * LAYERS, "differing": LAYERS}
    row = next(each for each in found["variables"] if each["variable"] == "activation")
    where = {"behaviour": BEHAVIOUR, "store": tried.store, "profile": PROFILE}
    old, new = cs.open("features", **where, tag="first-features"), cs.open("features", **where)
    ours, theirs = (each.activation.sel(prompt="a").values.astype(float) for each in (old, new))
    ours, theirs = (each[:, -min(ours.shape[1], theirs.shape[1]) :] for each in (ours, theirs))
    assert row["max_abs"] == np.nanmax(np.abs(ours - theirs))
    assert row["values"] == int((np.nan_to_num(ours) != np.nan_to_num(theirs)).sum())
    at = {name: row["where"][name] for name in ("layer", "position", "feature")}
    assert row["where"]["prompt"] == "a" and at["position"] < 0
    assert old.activation.sel(prompt="a", **at).values == np.float32(row["a"])
    assert new.activation.sel(prompt="a", **at).values == np.float32(row["b"])


def test_a_result_and_itself(tried):
    """Nothing differs."""
    found = tried.diff(f"{BEHAVIOUR}/{PHASE}", f"{PROFILE}/{BEHAVIOUR}/{PHASE}").json
    assert (found["inputs"], found["summary"], found["variables"]) == ([], [], [])
    assert found["cells"] == {"a": 0, "b": 0, "equal": 4, "differing": 0}


def test_people_read_what_differs(tried):
    """Inputs, cells, and a line for each array."""
    outcome = run("diff", key_of(tried, 10, 3), f"{BEHAVIOUR}/{PHASE}", "--profile", PROFILE, *tried.where)
    assert outcome.code == 0, outcome.err
    assert f"{PHASE}: config: top_k 10 → 4" in outcome.out
    assert "cells: 0 equal, 3 differ, 0 only in A, 1 only in B" in outcome.out
    assert "  logit_correct: in 1 cells, 1 values, by at most " in outcome.out


@pytest.mark.parametrize(
    ("a", "b", "code", "told"),
    [
        (f"{BEHAVIOUR}/{PHASE}", f"{BEHAVIOUR}/prompts", 2, "two results of one phase"),
        (f"{BEHAVIOUR}/{PHASE}", f"{BEHAVIOUR}/a", 2, "a result like the first"),
        (f"{BEHAVIOUR}/{PHASE}", "0" * 8, 1, "an artifact"),
        (f"{BEHAVIOUR}/{PHASE}@first-features", f"{BEHAVIOUR}/{PHASE}", 2, "it names or was made from"),
        (f"{BEHAVIOUR}/circuit", f"{BEHAVIOUR}/{PHASE}", 1, "to be built"),
    ],
)
def test_what_cannot_be_compared(tried, a, b, code, told):
    error = one_line_error(run("diff", a, b, "--profile", PROFILE, *tried.where), code=code)
    assert told in error
    assert read_ref(Store(tried.store), Name(PROFILE, BEHAVIOUR, PHASE)) is not None
