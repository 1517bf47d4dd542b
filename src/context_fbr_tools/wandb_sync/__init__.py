"""Weights & Biases: a copy of the results, which can change none of them."""
