"""The tiny model, its transcoders, and what was measured of them."""
