"""The settings of each phase: one small frozen struct a phase. Plain data: nothing is computed here.

What a phase reads of its struct is in its key by value, so no two runs that differ in an effective setting
share a result. The structs of training are in `training`.
"""

from typing import Annotated, Literal

import msgspec

from tasks.settings.section import Count, Section, Share

# Prompts are drawn in minimal pairs.
Even = Annotated[int, msgspec.Meta(ge=0, le=100_000, multiple_of=2)]


class Prompts(Section, frozen=True):
    """How prompts are drawn, and which token is put before each.

    train, test: how many prompts; seed: of the draw.
    prepend: the special token before each text; "auto" is the first that the tokenizer has of bos, pad and
        eos, and none before a text that begins with a special token.
    chat: each prompt is what a user says, and the model's chat template writes it out; the answer is what the
        model says next.
    misfits: "error" refuses prompts whose answers this tokenizer splits, "skip" draws others instead.
    """

    train: Even = 80
    test: Even = 20
    seed: int = 42
    prepend: Literal["auto", "bos", "pad", "eos", "unk", "none"] = "auto"
    chat: bool = False
    misfits: Literal["error", "skip"] = "error"


class Baseline(Section, frozen=True):
    """What is kept of the model's answer, and the accuracy below which a behaviour is not worth analysing.

    top_k: most probable tokens that are kept; gate: the least accuracy.
    """

    top_k: Count = 10
    gate: Share = 0.8


class Activations(Section, frozen=True):
    """Which part of the model's activations is kept.

    layers: "all", "10-24" (inclusive) or "3,5,7"; positions: how many last positions, 0 for all.
    """

    layers: str = "all"
    positions: Annotated[int, msgspec.Meta(ge=0)] = 5


class Features(Section, frozen=True):
    """Nothing to set: every active feature of the kept activations is found."""


class Interpretation(Section, frozen=True):
    """How much is listed of each feature, and when a pattern counts.

    top_prompts: how many prompts with the largest activation.
    top_tokens: how many promoted and how many suppressed tokens.
    min_prompts: a feature is tested if it is active in so many prompts, and if there are so many observations
        inside and outside a category.
    fdr: the largest q that is significant.
    label_confidence: the least confidence that gives a label.
    """

    top_prompts: Count = 10
    top_tokens: Count = 8
    min_prompts: Count = 3
    fdr: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    label_confidence: Share = 0.5


class Attribution(Section, frozen=True):
    """Which logits are explained, which features become nodes, and how a graph is pruned.

    Source: *Circuit Tracing*, 2025, appendix.

    method: "direct" gives edges of the frozen network, pruned by influence; "gradient" gives edges of the
        real model, pruned by a threshold and by the largest edges into each node; "integrated" gives these
        with integrated gradients.
    targets: the most probable tokens, the correct and incorrect answer, or the difference of these two.
    max_logits, logit_prob: the fewest most probable tokens that hold this probability, but at most so many.
    max_feature_nodes: features that become nodes; stage: how many are chosen before influence is renewed.
    memory: what the matrix of edges may take; a graph that needs more is refused. It changes no number and is
        in no key. What is carried through the network, and what nodes are chosen by, take at most 2 GB
        beside it.
    edge_min_share, edge_top_k, max_edges: an edge is stored if it holds this share of what enters its target
        and is among the largest into it (0: any), at most so many in all. What pruning keeps is stored too.
    node_threshold, edge_threshold: shares of the influence that pruning keeps.
    gradient_threshold, gradient_top_k: of "gradient" and "integrated": a share of the largest attribution,
        edges into a node.
    integrated_steps: in how many steps gradients are integrated, also those of contributions to the margin.
    """

    method: Literal["direct", "gradient", "integrated"] = "direct"
    targets: Literal["logits", "answers", "difference"] = "logits"
    max_logits: Count = 10
    logit_prob: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.95
    max_feature_nodes: Count = 7500
    stage: Count = 2048
    memory: Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)? ?(MB|GB|TB)$")] = "4GB"
    edge_min_share: Share = 0.0
    edge_top_k: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_edges: Annotated[int, msgspec.Meta(ge=0)] = 1_000_000
    node_threshold: Share = 0.8
    edge_threshold: Share = 0.98
    gradient_threshold: Share = 0.01
    gradient_top_k: Count = 10
    integrated_steps: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8


class Pairs(Section, frozen=True):
    """Nothing to set: each prompt stands beside its minimal pair."""


class Circuit(Section, frozen=True):
    """How features are ranked over the train prompts.

    rank_by: the attribution that ranks; min_prompts: a feature has an importance if it is active in so many.
    """

    rank_by: Literal["total", "direct", "gradient", "integrated"] = "gradient"
    min_prompts: Annotated[int, msgspec.Meta(ge=3)] = 5


class Interventions(Section, frozen=True):
    """Which features are edited, to what, and beside how many matched random controls.

    features: how many single features of each prompt.
    sizes: of the sets that attribution chooses; swap_sizes: of larger sets that are only patched from the
        partner, 100000 being all; circuit_sizes: of the circuits whose faithfulness is measured.
    inhibit: the new activation is -inhibit times the old one.
    strengths: of steering; the new activation is (1 + strength) times the old one.
    controls, control_pool: how many draws, each from so many of the most similar features.
    control_caliper: a control within this ratio of the feature's size is zeroed as it is; another one is
        scaled to the same size.
    random_circuits: how many random circuits of each size.
    fill: what replaces the features that are not in a circuit.
    effect_sources: how many features of each prompt, drawn at random, are zeroed one by one to see what they
        do to others; effect_pairs: how many pairs of them and others are drawn; effect_range: how many layers
        above a source its effect is constrained to.
    bootstrap, confidence: how many draws, and the share of them that an interval holds.
    seed: of controls, donors, features, pairs and bootstrap.
    """

    features: Count = 10
    sizes: tuple[Count, ...] = (1, 3, 5, 10, 20)
    swap_sizes: tuple[Count, ...] = (50, 100, 200, 100_000)
    circuit_sizes: tuple[Count, ...] = (1, 3, 10, 30, 100, 300, 1000)
    inhibit: float = 1.0
    strengths: tuple[float, ...] = (-2.0, -1.0, 1.0, 2.0, 4.0)
    controls: Count = 20
    control_pool: Count = 10
    control_caliper: Annotated[float, msgspec.Meta(ge=1)] = 1.25
    random_circuits: Count = 5
    fill: Literal["mean", "zero"] = "mean"
    effect_sources: Count = 16
    effect_pairs: Count = 1000
    effect_range: Annotated[int, msgspec.Meta(ge=0)] = 2
    bootstrap: Count = 1000
    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95
    seed: int = 456


class Supernodes(Section, frozen=True):
    """How a circuit is chosen and grouped, and beside how many random circuits it is measured.

    sizes: of circuits that are tried, in units.
    sufficiency, necessity: what the chosen circuit, the smallest that can, reaches in the medians over train
        prompts: a share, and points of probability.
    shuffles, level: of the units that are in groups, chance puts at most this share into one, as so many
        shuffles tell.
    controls, control_pool, control_caliper: how many random circuits of each prompt, and how each feature of
        them is drawn, as in `Interventions`.
    splits: how often the train prompts are halved.
    bootstrap, confidence: how many draws, and the share of them that an interval holds.
    seed: of shuffles, random circuits, halves and bootstrap.
    """

    sizes: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)] = (10, 30, 100, 200, 300, 500, 1000)
    sufficiency: Annotated[float, msgspec.Meta(ge=0)] = 0.8
    necessity: Annotated[float, msgspec.Meta(ge=-100, le=100)] = 40.0
    shuffles: Count = 100
    level: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    controls: Count = 10
    control_pool: Count = 10
    control_caliper: Annotated[float, msgspec.Meta(ge=1)] = 1.25
    splits: Annotated[int, msgspec.Meta(ge=0)] = 5
    bootstrap: Count = 1000
    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95
    seed: int = 456


class Intervene(Section, frozen=True):
    """What may react to the edits of one text, and how much is kept of the answer.

    regime: "free" lets everything react; "frozen_attention" all but attention patterns; "direct" nothing, so
        that effects are those of a graph's edges.
    constrained: the layer up to which MLP outputs stay as they were, -1 for none; not with "direct".
    logits: those of the last position, or of all; top_k: how many of the most probable tokens are listed.
    """

    regime: Literal["free", "frozen_attention", "direct"] = "free"
    constrained: Annotated[int, msgspec.Meta(ge=-1)] = -1
    logits: Literal["last", "all"] = "last"
    top_k: Count = 10


class Generate(Section, frozen=True):
    """How one text is continued.

    tokens: how many are chosen; temperature: 0 takes the most probable one; seed: of the draws.
    """

    tokens: Count = 20
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    seed: int = 789


class Attention(Section, frozen=True):
    """Which score of attention is explained, and how many pairs of sources are listed.

    layer, head: of the model; query, key: positions, the prepended token being 0 and the last one -1.
    most: how many pairs, the largest first.
    """

    layer: Annotated[int, msgspec.Meta(ge=0)] = 0
    head: Annotated[int, msgspec.Meta(ge=0)] = 0
    query: int = -1
    key: int = 0
    most: Count = 100


class Heads(Section, frozen=True):
    """Which edges are split over heads.

    edges: SOURCE>TARGET. A source is feature/LAYER/POSITION/FEATURE, error/LAYER/POSITION or
        embedding/POSITION. A target is such a feature, logit/TOKEN or logit/TOKEN/AGAINST, by token ids.
    """

    edges: tuple[str, ...] = ()


class Audit(Section, frozen=True):
    """On how much the transcoders are measured.

    tokens: most tokens of all texts together; context: most of one text, the prepended token included.
    hook_texts: on how many texts the stated hooks are compared with the others.
    graphs, nodes: of how many texts edges in bfloat16 are compared with those in float32, and of how many
        feature nodes each.
    """

    tokens: Count = 4096
    context: Annotated[int, msgspec.Meta(ge=2)] = 128
    hook_texts: Count = 8
    graphs: Annotated[int, msgspec.Meta(ge=0)] = 4
    nodes: Count = 1000


class Figures(Section, frozen=True):
    """How figures look, and how much each one shows.

    formats: files of each figure; style: type and size for a printed page or a talk; dpi: of PNG.
    sequential, diverging: colour maps of amounts and of signed values, all safe for colour-blind readers.
    examples: how many prompts have their graphs drawn; graph_nodes, graph_edges: most of one diagram.
    heatmap_features: rows of a heatmap.
    bootstrap, confidence, seed: of intervals.
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
