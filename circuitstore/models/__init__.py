"""The language model: loading it, its parts, and what one run of it shows. Imports of the library only
`errors`.
"""
