"""What several phases share, one idea in a file."""
