"""YAML files: their limits while they are read, and what is wrong with their values."""
