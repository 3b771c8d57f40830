"""What no phase computes: models, transcoders, behaviours, reviews."""
