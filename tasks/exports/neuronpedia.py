"""Attribution graphs ready to be uploaded to Neuronpedia: gzipped JSON of its schema, one file a prompt.

Source: Neuronpedia's `graph-schema.json` 1.0.0 and its routes `api/graph/signed-put` and `save-to-db`.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from circuitstore.errors import LimitError
from circuitstore.results.graph_file import to_bytes
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from tasks.exports.graphs import graph_files

MOST_TOKENS, MOST_BYTES = 64, 100_000_000
SITE = "https://www.neuronpedia.org/api/graph"
HEADERS = '-H "x-api-key: $NEURONPEDIA_API_KEY" -H "Content-Type: application/json"'
GENERATION = {"max_logits": "max_n_logits", "logit_prob": "desired_logit_prob"}


def files(
    store: Store,
    name: Name,
    artifact: Artifact,
    formats: tuple[str, ...],
    prompts: tuple[str, ...],
    scan: str = "",
) -> dict[str, bytes]:
    """File name → bytes of the graph of every prompt, or of these.

    `scan` is the name that the model has at Neuronpedia. Raises UsageError for a prompt that there is not,
    LimitError for a graph of more tokens or bytes than Neuronpedia takes, and DamageError.
    """
    config: Any = artifact.components.config
    generation = {theirs: config[ours] for ours, theirs in GENERATION.items()}
    generation["max_feature_nodes"] = config["max_feature_nodes"]
    pruning = {each: config[each] for each in ("node_threshold", "edge_threshold")}
    made = {}
    for prompt, file in graph_files(store, name, artifact, prompts, scan):
        if (count := len(file.metadata.prompt_tokens)) > MOST_TOKENS:
            expected = f"at most {MOST_TOKENS} tokens, which is what Neuronpedia takes"
            raise LimitError(
                f"prompt {prompt}", expected=expected, got=count, remedy="choose others: --prompt ID"
            )
        told = msgspec.structs.replace(
            file.metadata, generation_settings=generation, pruning_settings=pruning
        )
        data = gzip.compress(to_bytes(msgspec.structs.replace(file, metadata=told)), mtime=0)
        if len(data) > MOST_BYTES:
            remedy = "prune more: --set attribution.node_threshold=0.5"
            raise LimitError(f"prompt {prompt}", expected=f"{MOST_BYTES} bytes", got=len(data), remedy=remedy)
        made[f"{prompt}.json.gz"] = data
    return made


def advice(paths: Sequence[str]) -> Iterator[str]:
    """The three calls that upload the first of these files; the others go alike."""
    path = paths[0]
    asked = {"filename": os.path.basename(path), "contentLength": os.path.getsize(path)}
    body = msgspec.json.encode(asked | {"contentType": "application/json"}).decode()
    yield "to upload one, with a key of your account in NEURONPEDIA_API_KEY:"
    yield f"  curl -X POST {SITE}/signed-put {HEADERS} -d '{body}'    # gives url and putRequestId"
    gzipped = '-H "Content-Type: application/json" -H "Content-Encoding: gzip"'
    yield f"  curl -X PUT -T '{path}' {gzipped} \"$url\""
    yield f"  curl -X POST {SITE}/save-to-db {HEADERS} -d '{{\"putRequestId\": \"'$putRequestId'\"}}'"
