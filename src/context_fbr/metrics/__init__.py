"""Scores of a predicted mask: numpy arrays in, numbers out."""
