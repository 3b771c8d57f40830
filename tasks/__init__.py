"""The pipeline's contents page: all phases in order, what each one reads and how its work is cut into cells.

Each phase is the function of its name in the file of its name. `needs` names its parameters in order. Each is
a phase above, or a resource, which no phase computes (`tasks/inputs/resources.py`). `after` names a phase
whose gate must be passed first, although nothing of it is read. `circuitstore/engine/task.py` explains every
field. The page is long because all that a pipeline has is listed in one place.
"""

from __future__ import annotations

from functools import partial

from circuitstore.engine.services import (
    Edited,
    Explained,
    Explorer,
    Export,
    Listing,
    OneText,
    Review,
    Services,
    later,
)
from circuitstore.engine.task import Pipeline, Task
from circuitstore.models.device import Machine
from tasks.inputs.resources import resources
from tasks.parts import layers
from tasks.settings import phases, training
from tasks.settings.profile import Settings
from tasks.settings.service import Service

# A graph by gradients has no identity; features that all contribute the same have no rank correlation.
UNDEFINED_IN_GRAPHS = ("identity_error", "gradient_direct_spearman")
ROUNDING_IN_GRAPHS = ("identity_error",)  # as a share of a row's largest term
RANKED_IN_GRAPHS = ("node_cumulative", "prune_node_mask", "prune_edge_mask")  # by influence

PHASES = (
    Task("prompts", phases.Prompts, needs=("behaviour", "tokenizer"), rows="prompt"),
    Task(
        "baseline",
        phases.Baseline,
        needs=("prompts", "model"),
        per=("prompt",),
        whole=("gate",),
        summary=True,
        batch=50,
    ),
    Task(
        "activations",
        phases.Activations,
        needs=("prompts", "model", "hooks"),
        per=("prompt", "layer"),
        coordinates=layers.of_activations,
        whole=("layers",),
        batch=96,
    ),
    Task(
        "features",
        phases.Features,
        needs=("activations", "transcoders"),
        per=("layer", "prompt"),
        undefined=("l0", "error_square"),  # at the prepended token; of cross-layer transcoders
        summary=True,
        batch=100,
    ),
    Task(
        "interpretation",
        phases.Interpretation,
        needs=("prompts", "features", "model", "transcoders"),
        undefined=("effect", "p", "q", "top_activation", "label_effect", "label_coverage", "label_q"),
        summary=True,
    ),
    Task("pairs", phases.Pairs, needs=("prompts", "features"), rows="prompt"),
    Task(
        "attribution",
        phases.Attribution,
        needs=("prompts", "features", "model", "transcoders"),
        after=("baseline",),
        per=("prompt",),
        bounds=("memory",),
        undefined=UNDEFINED_IN_GRAPHS,
        rounding=ROUNDING_IN_GRAPHS,
        ranked=RANKED_IN_GRAPHS,
        summary=True,
        batch=10,
    ),
    Task(
        "circuit",
        phases.Circuit,
        needs=("prompts", "baseline", "pairs", "attribution"),
        undefined=("pearson*", "spearman*"),
        summary=True,
    ),
    Task(
        "interventions",
        phases.Interventions,
        needs=("prompts", "pairs", "circuit", "attribution", "model", "transcoders"),
        after=("baseline",),
        per=("prompt",),
        whole=("bootstrap", "confidence"),
        undefined=("*_margin", "*_probability_*", "single_*", "control_*", "feature_*", "source_*"),
        summary=True,
        batch=10,
    ),
    Task(
        "figures",
        phases.Figures,
        needs=(
            "study",
            "architecture",
            "review",
            "prompts",
            "baseline",
            "features",
            "interpretation",
            "pairs",
            "attribution",
            "circuit",
            "interventions",
        ),
        rows="figure",
    ),
)

# Built only when asked for by name. A graph beside the minimal pair has what the prompt lacks.
DIFFERENCE = Task(
    "difference",
    phases.Attribution,
    table="attribution",
    needs=("prompts", "pairs", "features", "model", "transcoders"),
    after=("baseline",),
    per=("prompt",),
    bounds=("memory",),
    undefined=UNDEFINED_IN_GRAPHS,
    rounding=ROUNDING_IN_GRAPHS,
    ranked=RANKED_IN_GRAPHS,
    batch=10,
)

# Built only when asked for by name: a circuit that is found by itself, in groups of features.
SUPERNODES = Task(
    "supernodes",
    phases.Supernodes,
    needs=("prompts", "pairs", "interpretation", "circuit", "attribution", "model", "transcoders"),
    after=("baseline",),
    whole=("bootstrap", "confidence"),
    undefined=("random_*", "without_supernode_*", "supernode_likeness", "likeness_needed"),
    summary=True,
)

# One text has a graph of its own.
ATTRIBUTE = Task(
    "attribute",
    phases.Attribution,
    table="attribution",
    needs=("text", "model", "transcoders"),
    bounds=("memory",),
    undefined=UNDEFINED_IN_GRAPHS,
    rounding=ROUNDING_IN_GRAPHS,
    ranked=RANKED_IN_GRAPHS,
)

# Built only when asked for by name: one text with features edited, and such a text continued.
EDITED = (
    Task("intervene", phases.Intervene, needs=("text", "edits", "model", "transcoders")),
    Task(
        "generate",
        phases.Generate,
        needs=("text", "edits", "model", "transcoders"),
        undefined=("new_probability",),  # after the end of the sequence
    ),
)

# Built only when asked for by name: one score of attention in one text, and edges of its graph by heads.
ATTENTION = (
    Task("attention", phases.Attention, needs=("text", "model", "transcoders")),
    Task("heads", phases.Heads, needs=("text", "model", "transcoders")),
)

# Built only when asked for by name: how good a set of transcoders is, on texts.
AUDIT = Task(
    "audit",
    phases.Audit,
    about="corpus",
    needs=("texts", "model", "transcoders"),
    undefined=("edge_ratio", "sign_changed"),  # where no edge has that size
)

# Built only when asked for by name: transcoders trained on a corpus.
TRAINING = (
    Task(
        "corpus",
        training.Corpus,
        room="training",
        about="corpus",
        needs=("texts", "tokenizer"),
        rows="shard",
    ),
    Task(
        "corpus_activations",
        training.CorpusActivations,
        room="training",
        about="corpus",
        needs=("corpus", "model"),
        per=("shard", "layer"),
        coordinates=layers.of_corpus_activations,
        whole=("layers",),
        batch=64,
    ),
    Task(
        "transcoders",
        training.Training,
        room="training",
        about="corpus",
        table="training",
        needs=("corpus_activations", "device"),
        per=("layer",),
        batch=1,
    ),
    Task(
        "replacement",
        training.Replacement,
        room="training",
        about="corpus",
        needs=("corpus", "transcoders", "model"),
        summary=True,
    ),
)

GRAPH_FORMATS = ("json", "graphml", "png", "svg", "pdf")
EXPORTS = {
    "figures": Export(
        "figures", later("tasks.exports.figures:files"), ("png", "svg", "pdf"), front="report.html"
    ),
    "graphs": Export(
        "attribution",
        later("tasks.exports.graphs:files"),
        GRAPH_FORMATS,
        by_prompt=True,
        by_scan=True,
    ),
    "differences": Export(
        "difference",
        later("tasks.exports.graphs:files"),
        GRAPH_FORMATS,
        by_prompt=True,
        by_scan=True,
    ),
    "supernodes": Export(
        "supernodes",
        later("tasks.exports.supernodes:files"),
        ("json", "pinned", "png", "svg", "pdf"),
        by_prompt=True,
        by_scan=True,
    ),
    "neuronpedia": Export(
        "attribution",
        later("tasks.exports.neuronpedia:files"),
        by_prompt=True,
        by_scan=True,
        advice=later("tasks.exports.neuronpedia:advice"),
    ),
    "features": Export("interpretation", later("tasks.exports.features:files")),
    "page": Export(
        "attribution",
        later("tasks.exports.pages:files"),
        ("pruned", "full"),
        by_prompt=True,
        front="index.html",
    ),
    "transcoders": Export("transcoders", later("tasks.exports.transcoders:files")),
}

ASKED = (DIFFERENCE, SUPERNODES, ATTRIBUTE, *EDITED, *ATTENTION, AUDIT, *TRAINING)
SETTINGS = Settings.of((*PHASES, *ASKED))

SERVICES = Services(
    settings=Service(SETTINGS),
    plan=later("tasks.costs.plan:plan"),
    exports=EXPORTS,
    review=Review(
        "interpretation",
        shown=later("tasks.exports.review_table:shown"),
        export_table=later("tasks.exports.review_table:write_table"),
        import_table=later("tasks.exports.review_table:store_table"),
        labels=later("tasks.exports.feature_labels:labels"),
        import_labels=later("tasks.labelling.neuronpedia:import_labels"),
        explain=later("tasks.labelling.interpreter:explain"),
    ),
    listings={
        "prompts": Listing(later("tasks.exports.prompt_rows:rows"), later("tasks.exports.prompt_rows:line"))
    },
    findings={
        phase: later(f"tasks.exports.findings:{phase}")
        for phase in ("attribution", "interpretation", "circuit")
    },
    one_text=OneText(
        "attribute",
        limits=later("tasks.exports.one_text:limits"),
        every_edge=("attribution.max_edges=0", "attribution.edge_min_share=0", "attribution.edge_top_k=0"),
    ),
    edited=Edited("intervene", "generate"),
    explained=Explained("attention", "heads"),
    audit="audit",
    graphs="attribution",
    explorer=Explorer(later("tasks.exploring.records:Records")),
    follow=partial(later("tasks.inputs.follow:follow"), SETTINGS),
    described=later("tasks.variables:described"),
    columns={"prompts": later("tasks.exports.label_columns:columns")},
)

LIBRARIES = ("xarray", "zarr", "torch", "transformers", "transformers.modeling_utils")

PIPELINE = Pipeline(__name__, PHASES, resources, Machine(), asked=ASKED, serves=SERVICES, libraries=LIBRARIES)
