"""Questions before a run: which difference a study can detect."""
