"""Advice on the patch size and the network for a data set, before a grid is trained."""
