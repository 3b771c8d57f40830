"""Results as ordinary files: what `circuitstore export` and `circuitstore review` write, one file a kind."""
