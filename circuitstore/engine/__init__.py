"""The task graph: declaration, keys, planning and running. Knows nothing of the phases it runs."""
