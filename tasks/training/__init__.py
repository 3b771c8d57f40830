"""The phases that train transcoders on a corpus."""
