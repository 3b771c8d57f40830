"""How the models that are shipped were made. Not part of the package."""
