"""The content-addressed store on disk; `store/README.md` specifies the format.

Knows nothing of tasks or models.
"""
