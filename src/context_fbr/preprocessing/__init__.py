"""Preprocessing of raw volumes for training and test, and the way back."""
