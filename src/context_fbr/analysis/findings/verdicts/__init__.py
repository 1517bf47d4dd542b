"""What a verdict depends on: the number of hypotheses, and single cases."""
