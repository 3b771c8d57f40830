"""What may be read while the cells of a phase are computed: what its key covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from circuitstore.engine.fingerprint import declared_paths
from circuitstore.engine.task import Resource, Sources, Task
from circuitstore.engine.territory import Cover
from circuitstore.errors import InputError
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components


def cover(
    task: Task, module: str, components: Components, resources: Mapping[str, Resource], store: Store
) -> Cover:
    """The code in the key, the files of the phase in `module` and of its resources, and the store."""
    sources = [_sources(resource) for resource in resources.values()]
    files = [*declared_paths(module, task.files), *(path for each in sources for path in each.files)]
    folders = [path for each in sources for path in each.folders]
    return Cover(module.partition(".")[0], components.code, files, folders, [store.root])


def consulted(resource: Resource) -> Sequence[str]:
    """The files that may be read only while a resource is loaded."""
    return _sources(resource).consulted


def _sources(resource: Resource) -> Sources:
    with suppress(InputError):  # what cannot be found cannot be loaded either, and that error is better
        return resource.sources() if resource.sources else Sources(())
    return Sources(())
