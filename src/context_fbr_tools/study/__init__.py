"""Commands about the study: its parameters, results, experiments and predictions."""
