"""Scores of one cell on the test cases, and of two baselines."""
