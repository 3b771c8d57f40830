"""The graph of jobs, a job being one phase of one behaviour: what a failure blocks."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx

from circuitstore.engine.task import Pipeline, Task

Job = tuple[str, str]  # phase, behaviour


def jobs(pipeline: Pipeline, tasks: Sequence[Task], behaviours: Sequence[str]) -> nx.DiGraph:
    """A directed acyclic graph with an edge from each job to the jobs that read it."""
    graph = nx.DiGraph()
    for behaviour in behaviours:
        graph.add_nodes_from((task.name, behaviour) for task in tasks)
        for task in tasks:
            needs = (*pipeline.upstream(task), *task.after)
            graph.add_edges_from(((need, behaviour), (task.name, behaviour)) for need in needs)
    return graph


def blocked_by(graph: nx.DiGraph, failed: Job) -> set[Job]:
    """All jobs that need a failed one."""
    return set(nx.descendants(graph, failed))
