"""Few prompts, and prompts that lack something: every phase is built, and says what it cannot know."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from workspace import BEHAVIOUR, PROFILE, Workspace

import circuitstore as cs
from tasks import PHASES

TEXTS = ("the keys to the cabinet", "the dog to the cabinet", "the cat on the mat")
SMALLER = """
[attribution]
max_feature_nodes = 40
[interventions]
features = 2
sizes = [1, 3]
swap_sizes = [5]
circuit_sizes = [1, 10]
strengths = [1.0]
controls = 2
effect_pairs = 20
[figures]
formats = ["svg"]
"""
PAIR = {0: 1, 1: 0}
LABELS = ("plural", "plural", "singular")
CASES = {  # how many prompts, and what they have: partners, labels, templates, splits
    "one prompt alone": (1, {}),
    "two without labels": (2, {}),
    "a pair without labels": (2, {"partners"}),
    "three of one class": (3, {"one class", "templates"}),
    "three with a test prompt": (3, {"labels", "partners", "test"}),
}


def rows(count: int, has: set[str]) -> list[dict]:
    """The rows of a prompts file."""
    result = []
    for i, text in enumerate(TEXTS[:count]):
        answers = (" are", " is") if i % 2 == 0 or "one class" in has else (" is", " are")
        row = {"id": f"p{i}", "text": text, "correct": answers[0], "incorrect": answers[1]}
        row |= {"partner": f"p{PAIR[i]}"} if "partners" in has and i in PAIR else {}
        row |= {"labels": {"number": LABELS[i]}} if "labels" in has else {}
        row |= {"template": "one"} if "templates" in has else {}
        row |= {"split": "test"} if "test" in has and i == 2 else {}
        result.append(row)
    return result


@pytest.mark.filterwarnings("error:constrained_layout")
@pytest.mark.parametrize("case", CASES)
def test_every_phase_is_built_of_few_prompts(tmp_path: Path, case: str):
    """All phases, the figures well-formed, and nothing in the numbers that was not measured."""
    made = Workspace.create(tmp_path)
    made.profile.write_text(made.profile.read_text() + SMALLER)
    made.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows(*CASES[case])))
    outcome = made.build(phase="figures")
    assert outcome.code == 0, outcome.err
    assert {row["phase"] for row in outcome.json["phases"]} == {task.name for task in PHASES}
    drawn = cs.open("figures", behaviour=BEHAVIOUR, store=made.store, profile=PROFILE)
    for name, node in drawn.children.items():
        if name != "report":
            assert ElementTree.fromstring(node.svg.values.tobytes()).tag.endswith("svg")
    page = drawn["report"].html.values.tobytes().decode()
    assert not re.findall(r"\bnan\b", re.sub(r"base64,[^\"]*", "", page), flags=re.IGNORECASE)
    summary = json.loads(
        cs.open("interventions", behaviour=BEHAVIOUR, store=made.store, profile=PROFILE).attrs["summary"]
    )
    count, has = CASES[case]
    if "test" not in has and "partners" not in has and count == 1:
        assert summary["train"]["margin"]["low"] is None  # one prompt has no interval
        resampled = [row for row in summary["train"]["sets"] if row["kind"] == "resample"]
        assert resampled and all(row["change"]["value"] is None for row in resampled)  # no donor to itself
        # Its mean over train is itself, so that replacing everything changes nothing but rounding.
        assert all(row["faithfulness"]["value"] is None for row in summary["train"]["faithfulness"])
        assert "nothing below is of unseen prompts" in page and "by split and split" not in page
    if "partners" not in has:
        assert all(row["change"]["value"] is None for row in summary["train"]["places"])
        assert summary["train"]["counterfactual"]["circuit"]["cpr"]["value"] is None


def test_prompts_that_are_all_answered_wrong_are_built_when_asked(tmp_path: Path):
    """The gate stops them with its numbers; `--ignore-gate` goes on, and no answer can flip."""
    made = Workspace.create(tmp_path)
    made.profile.write_text(made.profile.read_text().replace("gate = 0.0", "gate = 1.0") + SMALLER)
    made.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows(3, {"one class"})))
    margins = made.build(phase="baseline")
    assert margins.code == 0
    known = cs.open("baseline", behaviour=BEHAVIOUR, store=made.store, profile=PROFILE).logit_difference
    wrong = [
        row | {"correct": row["incorrect"], "incorrect": row["correct"]} if margin > 0 else row
        for row, margin in zip(rows(3, {"one class"}), known.values.tolist(), strict=True)
    ]
    made.prompts.write_text("".join(json.dumps(row) + "\n" for row in wrong))
    stopped = made.build(phase="figures")
    assert stopped.code == 1 and "accuracy 0.000" in stopped.err
    outcome = made.build("--ignore-gate", phase="figures")
    assert outcome.code == 0, outcome.err
    opened = cs.open("interventions", behaviour=BEHAVIOUR, store=made.store, profile=PROFILE)
    split = json.loads(opened.attrs["summary"])["train"]
    assert split["accuracy"]["value"] == 0 and np.isfinite(split["margin"]["value"])
    assert all(row["flips"]["value"] is None for row in split["sets"])
