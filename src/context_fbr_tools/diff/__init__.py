"""Results of two commits compared."""
