"""Labels of features from elsewhere: what Neuronpedia has, and what a language model says when asked."""
