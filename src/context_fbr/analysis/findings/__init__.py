"""Hypotheses, the statistics that decide them, and what the evidence says about each."""
