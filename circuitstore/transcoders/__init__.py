"""Per-layer transcoders: their files, training and quality. Imports of the library only `errors` and
`models`.
"""
