"""Metadata of the results for other programs: questions with their evidence, and a research object."""
