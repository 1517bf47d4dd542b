"""Figures of context and foreground ratio apart."""
