"""The configuration of every phase, as small frozen structs, and profiles that fill them.

What a phase reads of its struct is in its key by value, so no two runs that differ in an effective setting
share a result. A profile is a TOML file with one table a struct (`tasks/profiles/`, or any path); `--set
phase.field=value` has the last word.
"""

import hashlib
import os
from typing import Annotated, Literal

import msgspec

from circuitstore.errors import UsageError
from circuitstore.memo import shared
from circuitstore.storage.layout import safe_name
from tasks.inputs.places import FIELDS, check_place, place
from tasks.settings.model import Model, Shape, Transcoders
from tasks.settings.section import Count, Section, Share
from tasks.settings.training import Corpus, CorpusActivations, Replacement, Texts, Training

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROFILES, BEHAVIOURS = os.path.join(HERE, "profiles"), os.path.join(HERE, "behaviours")

TRAINING = (
    "corpus",
    "corpus_activations",
    "transcoders",
    "replacement",
)  # phases about a corpus instead of a behaviour
SECTIONS = {"attribute": "attribution", "transcoders": "training"}  # phases whose table has another name


class Prompts(Section, frozen=True):
    """How many prompts are drawn, and what is put before each: Qwen3 has no token that begins a text.

    misfits: whether prompts whose words this tokenizer splits are an error, or are skipped for others as they
    are drawn.
    """

    train: Annotated[int, msgspec.Meta(ge=0)] = 80
    test: Annotated[int, msgspec.Meta(ge=0)] = 20
    seed: int = 42
    prepend: Literal["eos", "pad", "bos", "unk", "none"] = "eos"
    misfits: Literal["error", "skip"] = "error"


class Baseline(Section, frozen=True):
    """What is kept of the model's answer, and the accuracy below which a behaviour is not worth analysing."""

    top_k: Count = 10
    gate: Share = 0.8


class Activations(Section, frozen=True):
    """Which layers ("all", "10-24" inclusive, "3,5,7") and how many last positions (0 for all) are kept."""

    layers: str = "all"
    positions: Annotated[int, msgspec.Meta(ge=0)] = 5

    def coordinates(self, axis: str, resources: dict) -> list[int]:
        """The layers chosen, ascending. Raises UsageError for any the model does not have."""
        available = resources["model"].identity()["layers"]
        return layer_range(self.layers, available)


class Features(Section, frozen=True):
    """Nothing to set: every active feature of the kept activations."""


class Interpretation(Section, frozen=True):
    """How much is listed of each feature, and when a pattern counts.

    top_prompts: prompts with the largest activation; top_tokens: promoted and suppressed; min_prompts:
    prompts that a feature must be active in, and observations inside and outside a category, to be tested;
    fdr: the largest q that is significant; label_confidence: the least confidence that gives a label.
    """

    top_prompts: Count = 10
    top_tokens: Count = 8
    min_prompts: Count = 3
    fdr: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    label_confidence: Share = 0.5


class Attribution(Section, frozen=True):
    """Which logits are explained, which features become nodes, and how a graph is pruned (*Circuit Tracing*,
    2025, appendix).

    method: "direct", edges of the frozen network, pruned by influence; "gradient", of the real model, pruned
    by a threshold (share of the largest attribution) and the largest edges into each node. targets: the most
    probable tokens, the correct and incorrect answer, or their difference. stage: features chosen as nodes
    before influence is computed again; memory: for the matrix of edges, half as much for what is carried
    through the network. Of the edges those are stored that hold edge_min_share of what enters their target,
    the edge_top_k largest into each target (0: all), at most max_edges in all, and those pruning keeps.
    """

    method: Literal["direct", "gradient"] = "direct"

    targets: Literal["logits", "answers", "difference"] = "logits"
    max_logits: Count = 10
    logit_prob: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.95
    max_feature_nodes: Count = 7500
    stage: Count = 2048
    memory: Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)? ?(MB|GB|TB)$")] = "4GB"
    edge_min_share: Share = 0.0
    edge_top_k: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_edges: Count = 1_000_000
    node_threshold: Share = 0.8
    edge_threshold: Share = 0.98
    gradient_threshold: Share = 0.01
    gradient_top_k: Count = 10

    def memory_bytes(self) -> int:
        """`memory` in bytes, at least one."""
        return max(int(float(self.memory[:-2]) * {"MB": 1e6, "GB": 1e9, "TB": 1e12}[self.memory[-2:]]), 1)


class Pairs(Section, frozen=True):
    """Nothing to set: each prompt beside its minimal pair."""


class Circuit(Section, frozen=True):
    """How features are ranked over the train prompts, and how many of these a feature must be active in for
    its importance.
    """

    rank_by: Literal["total", "direct", "gradient"] = "gradient"
    min_prompts: Annotated[int, msgspec.Meta(ge=3)] = 5


class Interventions(Section, frozen=True):
    """Which features are edited, to what, and beside how many matched random controls.

    features: single features of each prompt; sizes: of the sets chosen by attribution; swap_sizes: of larger
    sets that are only patched from the partner, 100000 being all; circuit_sizes: of the circuits whose
    faithfulness is measured; inhibit: new activation = -inhibit · old; strengths: of steering, new = (1 +
    strength) · old; controls, control_pool: draws, and the most similar features that one is drawn from;
    fill: what replaces the features that are not in a circuit; effect_sources: features of each prompt, drawn
    at random, that are zeroed one by one to see what they do to others; effect_pairs: of them and others,
    drawn at random; effect_range: layers above a source to which it is constrained; bootstrap: draws, and
    confidence: share of them that an interval holds; seed: of controls, donors, features and pairs drawn,
    bootstrap.
    """

    features: Count = 10
    sizes: tuple[Count, ...] = (1, 3, 5, 10, 20)
    swap_sizes: tuple[Count, ...] = (50, 100, 200, 100_000)
    circuit_sizes: tuple[Count, ...] = (1, 3, 10, 30, 100, 300, 1000)
    inhibit: float = 1.0
    strengths: tuple[float, ...] = (-2.0, -1.0, 1.0, 2.0, 4.0)
    controls: Count = 20
    control_pool: Count = 10
    fill: Literal["mean", "zero"] = "mean"
    effect_sources: Count = 16
    effect_pairs: Count = 1000
    effect_range: Annotated[int, msgspec.Meta(ge=0)] = 2
    bootstrap: Count = 1000
    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95
    seed: int = 456


class Figures(Section, frozen=True):
    """How figures look, and how much each one shows.

    formats: files of each figure; style: type and size for a printed page or a talk; dpi: of PNG; sequential,
    diverging: colour maps of amounts and of signed values, all safe for colour-blind readers; examples:
    prompts whose graphs are drawn; graph_nodes, graph_edges: most nodes and edges of one diagram;
    heatmap_features: rows of a heatmap; bootstrap, confidence, seed: of intervals.
    """

    formats: Annotated[tuple[Literal["png", "svg", "pdf"], ...], msgspec.Meta(min_length=1)] = ("png", "svg")
    style: Literal["paper", "talk"] = "paper"
    dpi: Annotated[int, msgspec.Meta(ge=72, le=1200)] = 300
    sequential: Literal["viridis", "cividis", "magma"] = "viridis"
    diverging: Literal["PuOr", "RdBu", "BrBG"] = "PuOr"
    examples: Count = 2
    graph_nodes: Count = 30
    graph_edges: Count = 60
    heatmap_features: Count = 20
    bootstrap: Count = 1000
    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95
    seed: int = 456


class Profile(Section, frozen=True):
    """Everything that can be set, by phase."""

    model: Model
    transcoders: Transcoders
    prompts: Prompts = Prompts()
    baseline: Baseline = Baseline()
    activations: Activations = Activations()
    features: Features = Features()
    interpretation: Interpretation = Interpretation()
    pairs: Pairs = Pairs()
    attribution: Attribution = Attribution()
    circuit: Circuit = Circuit()
    interventions: Interventions = Interventions()
    figures: Figures = Figures()
    shape: Shape = Shape()
    texts: Texts = Texts()
    corpus: Corpus = Corpus()
    corpus_activations: CorpusActivations = CorpusActivations()
    training: Training = Training()
    replacement: Replacement = Replacement()


class Text(msgspec.Struct, frozen=True):
    """One text to attribute: as text or as token ids, with the answers that are explained, or one less
    another, if any.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    targets: tuple[str, ...] = ()
    against: str = ""


class Selection(msgspec.Struct, frozen=True):
    """What one build is about: a profile, and a behaviour that is declared, or a user's own prompts, or a
    single text.
    """

    profile_name: str
    profile: Profile
    behaviour: str
    prompts_file: str = ""
    text: Text = Text()

    def config(self, phase: str) -> Section:
        return getattr(self.profile, phase)


def select(
    profile: str,
    behaviours: tuple[str, ...],
    prompts_file: str | None,
    settings: tuple[str, ...],
    phases: tuple[str, ...] = (),
) -> list[Selection]:
    """One selection a behaviour (all when none is named), or one for a user's own prompts, or for training.
    Raises UsageError.
    """
    name, loaded = load_profile(profile, settings)
    if asked := [phase for phase in phases if phase in TRAINING]:
        if others := [
            *(phase for phase in phases if phase not in TRAINING),
            *behaviours,
            *filter(None, [prompts_file]),
        ]:
            remedy = "it is about the profile's corpus, not about a behaviour; build it by itself"
            raise UsageError(
                f"phase {asked[0]}",
                expected="no other phases, behaviours or prompts",
                got=others[0],
                remedy=remedy,
            )
        return [Selection(name, loaded, "corpus")]
    if prompts_file:
        if behaviours:
            raise UsageError(
                "--prompts",
                expected="no --behaviour: it is named after the file",
                got=f"--behaviour {behaviours[0]}",
            )
        if not os.path.isfile(prompts_file):
            raise UsageError(f"--prompts {prompts_file}", expected="a JSONL file", got="no such file")
        own = os.path.splitext(os.path.basename(prompts_file))[0]
        return [
            Selection(name, loaded, safe_name(own, "name of the prompts file"), os.path.abspath(prompts_file))
        ]
    known = behaviour_names()
    for behaviour in behaviours:
        if behaviour not in known:
            raise UsageError(
                f"unknown behaviour {behaviour!r}",
                expected="one of " + ", ".join(known),
                remedy="or --prompts FILE.jsonl",
            )
    return [Selection(name, loaded, behaviour) for behaviour in dict.fromkeys(behaviours or known)]


def select_text(profile: str, transcoders: str | None, text: Text, settings: tuple[str, ...]) -> Selection:
    """The selection of one text, with a profile; when `transcoders` (a folder or repository) is given,
    `profile` may be a model's too.

    Raises UsageError.
    """
    if text.against and len(text.targets) != 1:
        raise UsageError(
            "--against",
            expected="one --target, from whose logit it is subtracted",
            got=f"{len(text.targets)} of them",
        )
    if not (text.text or text.tokens):
        raise UsageError("text", expected="at least one token", got="nothing")
    if transcoders is None or (
        not os.path.isdir(profile) and (profile.endswith(".toml") or profile in profile_names())
    ):
        name, loaded = load_profile(
            profile, settings, {} if transcoders is None else {"transcoders": place(transcoders)}
        )
    else:
        tables: dict[str, dict] = {"model": place(profile), "transcoders": place(transcoders)}
        for setting in settings:
            _apply(tables, setting)
        name, loaded = (
            os.path.basename(tables["model"].get("path") or tables["model"]["repo"]),
            _convert(tables, profile),
        )
    identity = hashlib.sha256(msgspec.json.encode(text)).hexdigest()
    return Selection(safe_name(name, "profile"), loaded, f"text-{identity[:16]}", text=text)


def behaviour_names() -> list[str]:
    """The behaviours that come built in, one declaration file each."""
    return sorted(
        name[:-3] for name in os.listdir(BEHAVIOURS) if name.endswith(".py") and not name.startswith("_")
    )


def layer_range(text: str, available: int) -> list[int]:
    """Layers of "all", "10-24" (inclusive) or "3,5,7". Raises UsageError."""
    if text == "all":
        return list(range(available))
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(
                "activations.layers",
                expected='"all", a range like "10-24" or a list like "3,5,7"',
                got=repr(text),
            )
        chosen.update(range(int(first), int(last or first) + 1))
    if not chosen or max(chosen) >= available:
        raise UsageError("activations.layers", expected=f"layers from 0 to {available - 1}", got=repr(text))
    return sorted(chosen)


def profile_names() -> list[str]:
    """Names of the profiles that come built in."""
    return sorted(name[:-5] for name in os.listdir(PROFILES) if name.endswith(".toml"))


def profile_path(name: str) -> str:
    """The file of a built-in profile, or the file that is named."""
    return name if name.endswith(".toml") else os.path.join(PROFILES, name + ".toml")


def load_profile(
    name: str, settings: tuple[str, ...] = (), replaced: dict[str, dict] | None = None
) -> tuple[str, Profile]:
    """(name, profile) of a built-in profile or a TOML file, with whole tables `replaced` and
    `phase.field=value` settings applied.

    Raises UsageError.
    """
    path = profile_path(name)
    try:
        tables = _tables(path) | (replaced or {})
    except FileNotFoundError:
        known = ", ".join(profile_names())
        raise UsageError(
            f"unknown profile {name!r}", expected=f"one of {known}, or the path of a .toml file"
        ) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"profile {path}", expected="readable TOML", got=error) from error
    for setting in settings:
        _apply(tables, setting)
    profile = _convert(tables, path)
    base = os.path.dirname(os.path.abspath(path))
    return os.path.basename(path)[:-5], msgspec.structs.replace(
        profile,
        model=msgspec.structs.replace(profile.model, path=_absolute(base, profile.model.path)),
        transcoders=msgspec.structs.replace(
            profile.transcoders, path=_absolute(base, profile.transcoders.path)
        ),
        texts=msgspec.structs.replace(profile.texts, path=_absolute(base, profile.texts.path)),
    )


def _tables(path: str) -> dict:
    """A TOML file's tables; what was parsed once is remembered by its bytes, since importing a parser takes 8
    ms.
    """
    with open(path, "rb") as file:
        source = file.read()
    key = "toml " + hashlib.sha256(source).hexdigest()
    tables = shared().get(key)
    if tables is None:
        tables = msgspec.toml.decode(source)
        shared().put(key, tables)
    return {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}


def _absolute(base: str, path: str) -> str:
    return path and os.path.normpath(os.path.join(base, os.path.expanduser(path)))


def _apply(tables: dict, setting: str) -> None:
    target, equals, text = setting.partition("=")
    phase, dot, field = target.strip().partition(".")
    if not (equals and dot and field):
        raise UsageError(
            f"--set {setting}", expected="phase.field=value", remedy="for example --set baseline.gate=0.7"
        )
    if phase not in Profile.__struct_fields__:
        raise UsageError(
            f"--set {setting}", expected="a phase: " + ", ".join(Profile.__struct_fields__), got=repr(phase)
        )
    section = next(field.type for field in msgspec.structs.fields(Profile) if field.name == phase)
    if field not in section.__struct_fields__:
        known = ", ".join(section.__struct_fields__) or "nothing: it has no settings"
        raise UsageError(f"--set {setting}", expected=f"a field of {phase}: {known}", got=repr(field))
    kind = next(known.type for known in msgspec.structs.fields(section) if known.name == field)
    value = _value(text.strip(), kind is str)
    if (phase, field) == (
        "texts",
        "path",
    ) and value:  # unlike in a profile, from the folder in which it is typed
        value = os.path.abspath(os.path.expanduser(str(value)))
    table = tables.setdefault(phase, {})
    if (
        field in FIELDS and phase != "texts"
    ):  # the last word on where files are, also when the profile names another kind of place
        table = tables[phase] = {
            name: value for name, value in table.items() if name not in (*FIELDS, "revision")
        }
    table[field] = value


def _value(text: str, is_text: bool) -> object:
    try:
        value = msgspec.toml.decode(f"value = {text}")["value"]
    except msgspec.DecodeError:
        return text  # a bare word needs no quotes on a command line
    return (
        text if is_text and not isinstance(value, str) else value
    )  # nor does a text that looks like a number


def _convert(tables: dict, path: str) -> Profile:
    try:
        profile = msgspec.convert(tables, Profile)
        for section in ("model", "transcoders"):
            check_place(getattr(profile, section), section, os.path.basename(path))
        return profile
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        place = where.strip("`").removeprefix("$.") or "the profile"
        expected, _, got = what.removeprefix("Expected ").partition(", got ")
        raise UsageError(
            f"{place} ({os.path.basename(path)} or --set)", expected=expected, got=got or "another value"
        ) from error
