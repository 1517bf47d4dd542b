"""Weights & Biases: a mirror of what files and hashes say, for those who like its pages."""
