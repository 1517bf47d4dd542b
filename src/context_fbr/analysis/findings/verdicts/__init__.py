"""Influences on a verdict: the number of hypotheses, and single cases."""
