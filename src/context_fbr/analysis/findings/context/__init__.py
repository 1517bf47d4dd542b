"""Findings about context and foreground ratio apart: hypotheses of supervised cores and of twins."""
