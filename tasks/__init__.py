"""The pipeline's contents page: all phases in order, what each one reads and how its work is cut into cells.

Each phase is the function of its name in the file of its name. What it reads are its parameters, named here in order: phases
above it, and resources (`tasks/resources.py`): `behaviour`, `tokenizer`, `model`, `transcoders`. `after` names a phase whose
gate must be passed first, although nothing of it is read.
"""

from __future__ import annotations

from circuitstore.engine.task import Pipeline, Task
from tasks import config
from tasks.resources import resources

PHASES = (
    Task("prompts", config.Prompts, needs=("behaviour", "tokenizer"), rows="prompt"),
    Task(
        "baseline",
        config.Baseline,
        needs=("prompts", "model"),
        per=("prompt",),
        whole=("gate",),
        summary=True,
        batch=50,
    ),
    Task(
        "activations",
        config.Activations,
        needs=("prompts", "model"),
        per=("prompt", "layer"),
        whole=("layers",),
        batch=96,
    ),
    Task(
        "features",
        config.Features,
        needs=("activations", "transcoders"),
        per=("layer", "prompt"),
        summary=True,
        batch=100,
    ),
    Task(
        "attribution",
        config.Attribution,
        needs=("prompts", "features", "model", "transcoders"),
        after=("baseline",),
        per=("prompt",),
        summary=True,
        batch=10,
    ),
)

# Not a phase of any behaviour: one graph of any text, built only when asked for by name.
ATTRIBUTE = Task("attribute", config.Attribution, needs=("text", "model", "transcoders"))

PIPELINE = Pipeline(__name__, PHASES, resources, asked=(ATTRIBUTE,))
