"""What analysis scripts use: results as lazy arrays, graphs, files."""
