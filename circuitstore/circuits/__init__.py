"""Attribution graphs and interventions, on a model and its transcoders. Knows nothing of phases or stores."""
